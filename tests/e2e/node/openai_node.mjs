// The `openai` package for Node.
import OpenAI, { OpenAIError } from "openai";
import { TOOL, messages, serve, usage } from "./loop.mjs";

const connect = ({ base_url, key }) => new OpenAI({ baseURL: base_url, apiKey: key, maxRetries: 0, timeout: 30_000 });
const asked = (prompt, model) => ({
  model,
  messages: messages(prompt),
  tools: [{ type: "function", function: TOOL }],
  tool_choice: "required",
});
const told = ({ name, arguments: text }) => ({ name, arguments: JSON.parse(text) });

async function models(words) {
  const found = [];
  for await (const model of connect(words).models.list()) found.push(model.id);
  return { models: found };
}

async function whole({ base_url, key, model, prompt, ...fields }) {
  const call = connect({ base_url, key }).chat.completions.create({ model, messages: messages(prompt), ...fields });
  const { data, response } = await call.withResponse();
  const [choice] = data.choices;
  return {
    text: choice.message.content,
    finish: choice.finish_reason,
    usage: usage(data.usage),
    cache: response.headers.get("cache-status"),
  };
}

async function stream({ base_url, key, model, prompt, asked }) {
  const options = asked ? { stream_options: { include_usage: true } } : {};
  const body = { model, messages: messages(prompt), stream: true, temperature: 0, ...options };
  const chunks = [];
  for await (const chunk of await connect({ base_url, key }).chat.completions.create(body)) chunks.push(chunk);
  const choices = chunks.flatMap((chunk) => chunk.choices);
  return {
    pieces: choices.map((choice) => choice.delta.content).filter(Boolean),
    finish: choices.at(-1).finish_reason,
    usage: usage(chunks.findLast((chunk) => chunk.usage)?.usage),
    ids: new Set(chunks.map((chunk) => chunk.id)).size,
  };
}

async function tool({ prompt, model, ...words }) {
  const { completions } = connect(words).chat;
  const [choice] = (await completions.create(asked(prompt, model))).choices;
  const streamed = (await completions.stream(asked(prompt, model)).finalChatCompletion()).choices[0];
  return {
    ...told(choice.message.tool_calls[0].function),
    finish: choice.finish_reason,
    streamed: told(streamed.message.tool_calls[0].function),
  };
}

async function embed({ model, texts, ...words }) {
  const found = await connect(words).embeddings.create({ model, input: texts });
  return { vectors: found.data.map((one) => one.embedding), tokens: found.usage.total_tokens };
}

// Hang up after two pieces of a stream that does not end.
async function leave({ model, prompt, ...words }) {
  const pieces = [];
  const body = { model, messages: messages(prompt), stream: true };
  for await (const chunk of await connect(words).chat.completions.create(body)) {
    if (chunk.choices[0].delta.content) pieces.push(chunk.choices[0].delta.content);
    if (pieces.length === 2) break;
  }
  return { pieces };
}

await serve({ models, whole, stream, tool, embed, leave }, (error) =>
  error instanceof OpenAIError
    ? { class: error.constructor.name, status: error.status ?? null, message: error.message }
    : null,
);
