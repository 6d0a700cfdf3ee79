// As clients/loop.py: one JSON line in says what to do, one JSON line out says what the client saw.
import { createInterface } from "node:readline";

export const TOOL = {
  name: "weather",
  description: "The weather of a city.",
  parameters: {
    type: "object",
    properties: { city: { type: "string" }, days: { type: "integer" } },
    required: ["city", "days"],
  },
};

// A dot.
export const PIXEL =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

export const messages = (prompt) => [
  { role: "system", content: "You are brief." },
  { role: "user", content: prompt },
];

export const usage = (found) =>
  found ? { prompt: found.prompt_tokens, completion: found.completion_tokens, total: found.total_tokens } : null;

// `told(error)` is what to report of an error that the client documents, null for any other.
export async function serve(actions, told) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { do: name, ...words } = JSON.parse(line);
    let seen;
    try {
      seen = await actions[name](words);
    } catch (error) {
      const known = told(error);
      seen = known ? { error: known } : { crash: String(error?.stack ?? error) };
    }
    process.stdout.write(JSON.stringify(seen) + "\n");
  }
}
