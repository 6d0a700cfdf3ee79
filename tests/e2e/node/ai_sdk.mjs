// Vercel's `ai` with `@ai-sdk/openai-compatible`. Listing models is not among its calls: that is a plain request.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, AISDKError, embedMany, generateText, jsonSchema, streamText, tool as define } from "ai";
import { TOOL, serve } from "./loop.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;

const NAME = "tested";
const connect = ({ base_url, key }, more) =>
  createOpenAICompatible({ name: NAME, baseURL: base_url, apiKey: key, ...more });
const weather = define({ description: TOOL.description, inputSchema: jsonSchema(TOOL.parameters) });
const common = (prompt) => ({ system: "You are brief.", prompt, maxRetries: 0 });
const usage = ({ inputTokens, outputTokens, totalTokens }) =>
  outputTokens === undefined ? null : { prompt: inputTokens, completion: outputTokens, total: totalTokens };
const told = ({ toolName, input }) => ({ name: toolName, arguments: input });

// An error that came in the stream: the SDK hands on what the server sent.
class ErrorPart extends Error {
  name = "error part";
  constructor(sent) {
    super(sent.message ?? JSON.stringify(sent));
  }
}

async function models({ base_url, key }) {
  const response = await fetch(`${base_url}/models`, { headers: { authorization: `Bearer ${key}` } });
  return { models: (await response.json()).data.map((model) => model.id) };
}

async function whole({ model, prompt, base_url, key, ...fields }) {
  const found = await generateText({
    ...common(prompt),
    model: connect({ base_url, key })(model),
    // Sent as they are: its own settings are checked before anything is sent.
    providerOptions: { [NAME]: fields },
  });
  return {
    text: found.text,
    finish: found.finishReason,
    usage: usage(found.usage),
    cache: found.response.headers["cache-status"] ?? null,
  };
}

async function stream({ model, prompt, asked, ...words }) {
  const provider = connect(words, asked ? { includeUsage: true } : {});
  const found = streamText({ ...common(prompt), model: provider(model), temperature: 0, onError: () => {} });
  const pieces = [];
  for await (const part of found.fullStream) {
    if (part.type === "error") throw part.error instanceof Error ? part.error : new ErrorPart(part.error);
    if (part.type === "text-delta") pieces.push(part.text);
  }
  return { pieces, finish: await found.finishReason, usage: usage(await found.usage) };
}

async function tool({ model, prompt, ...words }) {
  const asked = {
    ...common(prompt),
    model: connect(words)(model),
    tools: { [TOOL.name]: weather },
    toolChoice: "required",
  };
  const found = await generateText(asked);
  const streamed = await streamText(asked).toolCalls;
  return { ...told(found.toolCalls[0]), finish: found.finishReason, streamed: told(streamed[0]) };
}

async function embed({ model, texts, ...words }) {
  const found = await embedMany({ model: connect(words).embeddingModel(model), values: texts, maxRetries: 0 });
  return { vectors: found.embeddings, tokens: found.usage.tokens };
}

// Hang up after two pieces of a stream that does not end.
async function leave({ model, prompt, ...words }) {
  const hangUp = new AbortController();
  const found = streamText({ ...common(prompt), model: connect(words)(model), abortSignal: hangUp.signal });
  const pieces = [];
  for await (const part of found.fullStream) {
    if (part.type === "text-delta") pieces.push(part.text);
    if (pieces.length === 2) break;
  }
  hangUp.abort();
  return { pieces };
}

await serve({ models, whole, stream, tool, embed, leave }, (error) =>
  error instanceof ErrorPart || APICallError.isInstance(error) || AISDKError.isInstance(error)
    ? { class: error.name, status: error.statusCode ?? null, message: error.message }
    : null,
);
