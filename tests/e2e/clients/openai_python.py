"""The `openai` package."""

from __future__ import annotations

import json
from typing import Any

from loop import TOOL, messages, serve, usage
from openai import OpenAI, OpenAIError


def _client(base_url: str, key: str) -> OpenAI:
    return OpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=30)


def models(base_url: str, key: str) -> dict[str, Any]:
    with _client(base_url, key) as client:
        return {"models": [model.id for model in client.models.list()]}


def whole(base_url: str, key: str, model: str, prompt: str, **fields: Any) -> dict[str, Any]:
    with _client(base_url, key) as client:
        raw = client.chat.completions.with_raw_response.create(model=model, messages=messages(prompt), **fields)
        found = raw.parse()
    choice = found.choices[0]
    return {
        "text": choice.message.content,
        "finish": choice.finish_reason,
        "usage": usage(found.usage),
        "cache": raw.headers.get("cache-status"),
    }


def stream(base_url: str, key: str, model: str, prompt: str, *, asked: bool) -> dict[str, Any]:
    options = {"stream_options": {"include_usage": True}} if asked else {}
    with _client(base_url, key) as client:
        chunks = list(
            client.chat.completions.create(
                model=model, messages=messages(prompt), stream=True, temperature=0, **options
            )
        )
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    usages = [chunk.usage for chunk in chunks if chunk.usage]
    return {
        "pieces": [choice.delta.content for choice in choices if choice.delta.content],
        "finish": choices[-1].finish_reason,
        "usage": usage(usages[-1]) if usages else None,
        "ids": len({chunk.id for chunk in chunks}),
    }


def tool(base_url: str, key: str, model: str, prompt: str) -> dict[str, Any]:
    asked = {"model": model, "messages": messages(prompt), "tools": [TOOL], "tool_choice": "required"}
    with _client(base_url, key) as client:
        choice = client.chat.completions.create(**asked).choices[0]
        with client.chat.completions.stream(**asked) as events:
            streamed = events.get_final_completion().choices[0].message.tool_calls[0].function
    called = choice.message.tool_calls[0].function
    return {
        "name": called.name,
        "arguments": json.loads(called.arguments),
        "finish": choice.finish_reason,
        "streamed": {"name": streamed.name, "arguments": json.loads(streamed.arguments)},
    }


def embed(base_url: str, key: str, model: str, texts: list[str]) -> dict[str, Any]:
    with _client(base_url, key) as client:
        found = client.embeddings.create(model=model, input=texts)
    return {"vectors": [one.embedding for one in found.data], "tokens": found.usage.total_tokens}


def leave(base_url: str, key: str, model: str, prompt: str) -> dict[str, Any]:
    """Hang up after two pieces of a stream that does not end."""
    pieces = []
    with _client(base_url, key) as client:
        found = client.chat.completions.create(model=model, messages=messages(prompt), stream=True)
        for chunk in found:
            if chunk.choices[0].delta.content:
                pieces.append(chunk.choices[0].delta.content)
            if len(pieces) == 2:
                break
        found.close()
    return {"pieces": pieces}


if __name__ == "__main__":
    served = {"models": models, "whole": whole, "stream": stream, "tool": tool, "embed": embed, "leave": leave}
    serve(served, OpenAIError)
