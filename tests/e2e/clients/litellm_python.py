"""The `litellm` package as a client: `openai/<model>` with an `api_base`."""

from __future__ import annotations

import json
from typing import Any

import litellm
import openai
from loop import TOOL, messages, serve, usage


def _where(base_url: str, key: str, model: str) -> dict[str, Any]:
    return {"model": f"openai/{model}", "api_base": base_url, "api_key": key, "max_retries": 0, "timeout": 30}


def models(base_url: str, key: str) -> dict[str, Any]:
    asked = {"custom_llm_provider": "openai", "api_base": base_url, "api_key": key}
    return {"models": litellm.get_valid_models(check_provider_endpoint=True, **asked)}


def whole(base_url: str, key: str, model: str, prompt: str, **fields: Any) -> dict[str, Any]:
    found = litellm.completion(**_where(base_url, key, model), messages=messages(prompt), **fields)
    choice = found.choices[0]
    return {
        "text": choice.message.content,
        "finish": choice.finish_reason,
        "usage": usage(found.usage),
        "cache": found._hidden_params["additional_headers"].get("llm_provider-cache-status"),
    }


def stream(base_url: str, key: str, model: str, prompt: str, *, asked: bool) -> dict[str, Any]:
    options = {"stream_options": {"include_usage": True}} if asked else {}
    chunks = list(
        litellm.completion(
            **_where(base_url, key, model), messages=messages(prompt), stream=True, temperature=0, **options
        )
    )
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    usages = [chunk.usage for chunk in chunks if getattr(chunk, "usage", None)]
    return {
        "pieces": [choice.delta.content for choice in choices if choice.delta.content],
        "finish": next(choice.finish_reason for choice in choices if choice.finish_reason),
        "usage": usage(usages[-1]) if usages else None,
    }


def tool(base_url: str, key: str, model: str, prompt: str) -> dict[str, Any]:
    asked = {"messages": messages(prompt), "tools": [TOOL], "tool_choice": "required"}
    choice = litellm.completion(**_where(base_url, key, model), **asked).choices[0]
    chunks = list(litellm.completion(**_where(base_url, key, model), **asked, stream=True))
    joined = litellm.stream_chunk_builder(chunks).choices[0].message.tool_calls[0].function
    called = choice.message.tool_calls[0].function
    return {
        "name": called.name,
        "arguments": json.loads(called.arguments),
        "finish": choice.finish_reason,
        "streamed": {"name": joined.name, "arguments": json.loads(joined.arguments)},
    }


def embed(base_url: str, key: str, model: str, texts: list[str]) -> dict[str, Any]:
    found = litellm.embedding(**_where(base_url, key, model), input=texts)
    return {"vectors": [one["embedding"] for one in found.data], "tokens": found.usage.total_tokens}


if __name__ == "__main__":
    litellm.telemetry = False
    # Its exception classes are the openai package's, made its own.
    serve({"models": models, "whole": whole, "stream": stream, "tool": tool, "embed": embed}, openai.OpenAIError)
