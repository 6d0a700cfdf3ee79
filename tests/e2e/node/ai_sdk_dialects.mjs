// Vercel's `ai` with its default provider, which speaks Responses, and with `@ai-sdk/anthropic`.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { AISDKError, APICallError, generateText, jsonSchema, Output, stepCountIs, streamText, tool as define } from "ai";
import { PIXEL, TOOL, serve } from "./loop.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;

const CITY = jsonSchema({
  type: "object",
  properties: {
    name: { type: "string" },
    people: { type: "integer" },
    rivers: { type: "array", items: { type: "string" } },
  },
  required: ["name", "people", "rivers"],
  additionalProperties: false,
});
const weather = define({
  description: TOOL.description,
  inputSchema: jsonSchema(TOOL.parameters),
  execute: async ({ city, days }) => `${city}: ${days} days of rain`,
});
const spoken = ({ dialect, base_url, key, model }) =>
  dialect === "messages"
    ? createAnthropic({ baseURL: base_url, apiKey: key })(model)
    : createOpenAI({ baseURL: base_url, apiKey: key })(model);
const common = (words) => ({
  model: spoken(words),
  system: "You are brief.",
  prompt: words.prompt,
  maxRetries: 0,
  providerOptions: { openai: { store: words.store ?? false } },
});
const usage = ({ inputTokens, outputTokens }) => ({ prompt: inputTokens, completion: outputTokens });

// An error that came in the stream: the SDK hands on what the server sent.
class ErrorPart extends Error {
  name = "error part";
  constructor(sent) {
    super(sent.message);
  }
}

async function text(words) {
  const found = await generateText(common(words));
  return { text: found.text, usage: usage(found.usage), cache: found.response.headers["cache-status"] ?? null };
}

async function stream(words) {
  const found = streamText({ ...common(words), onError: () => {} });
  const pieces = [];
  for await (const part of found.fullStream) {
    if (part.type === "error") throw part.error instanceof Error ? part.error : new ErrorPart(part.error);
    if (part.type === "text-delta") pieces.push(part.text);
  }
  return { pieces, text: await found.text, usage: usage(await found.usage) };
}

async function tools(words) {
  const found = await generateText({ ...common(words), tools: { [TOOL.name]: weather }, stopWhen: stepCountIs(3) });
  const calls = found.steps.flatMap((step) => step.toolCalls);
  return { calls: calls.map(({ toolName, input }) => ({ name: toolName, arguments: input })), text: found.text };
}

async function structured(words) {
  const found = await generateText({ ...common(words), output: Output.object({ schema: CITY }) });
  return { value: found.output };
}

async function image(words) {
  const content = [
    { type: "text", text: words.prompt },
    { type: "image", image: Buffer.from(PIXEL, "base64"), mediaType: "image/png" },
  ];
  return text({ ...words, prompt: [{ role: "user", content }] });
}

await serve({ text, stream, tools, structured, image }, (error) =>
  error instanceof ErrorPart || APICallError.isInstance(error) || AISDKError.isInstance(error)
    ? { class: error.name, status: error.statusCode ?? null, message: error.message }
    : null,
);
