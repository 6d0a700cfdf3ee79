"""`langchain-openai`. Listing models is not among its calls: that is the `openai` package's, which it brings."""

from __future__ import annotations

from typing import Any

from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from loop import TOOL, messages, serve
from openai import OpenAIError


def _chat(base_url: str, key: str, model: str, **more: Any) -> ChatOpenAI:
    return ChatOpenAI(base_url=base_url, api_key=key, model=model, max_retries=0, timeout=30, **more)


def models(base_url: str, key: str) -> dict[str, Any]:
    return {"models": [model.id for model in _chat(base_url, key, "none").root_client.models.list()]}


def whole(base_url: str, key: str, model: str, prompt: str, **fields: Any) -> dict[str, Any]:
    found = _chat(base_url, key, model, include_response_headers=True, **fields).invoke(messages(prompt))
    return {
        "text": found.content,
        "finish": found.response_metadata["finish_reason"],
        "usage": _usage(found.usage_metadata),
        "cache": found.response_metadata["headers"].get("cache-status"),
    }


def stream(base_url: str, key: str, model: str, prompt: str, *, asked: bool) -> dict[str, Any]:
    # Unset, it asks for usage only where the base URL is OpenAI's own.
    more = {"stream_usage": True} if asked else {}
    chunks = list(_chat(base_url, key, model, temperature=0, **more).stream(messages(prompt)))
    finishes = [chunk.response_metadata.get("finish_reason") for chunk in chunks]
    usages = [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata]
    return {
        "pieces": [chunk.content for chunk in chunks if chunk.content],
        "finish": next(finish for finish in finishes if finish),
        "usage": _usage(usages[-1]) if usages else None,
    }


def tool(base_url: str, key: str, model: str, prompt: str) -> dict[str, Any]:
    bound = _chat(base_url, key, model).bind_tools([TOOL], tool_choice="required")
    found = bound.invoke(messages(prompt))
    first, *rest = bound.stream(messages(prompt))
    streamed = sum(rest, start=first).tool_calls[0]
    return {
        "name": found.tool_calls[0]["name"],
        "arguments": found.tool_calls[0]["args"],
        "finish": found.response_metadata["finish_reason"],
        "streamed": {"name": streamed["name"], "arguments": streamed["args"]},
    }


def embed(base_url: str, key: str, model: str, texts: list[str]) -> dict[str, Any]:
    # Its check of lengths would download OpenAI's tokenizer.
    client = OpenAIEmbeddings(
        base_url=base_url, api_key=key, model=model, check_embedding_ctx_length=False, max_retries=0
    )
    return {"vectors": client.embed_documents(texts)}


def _usage(found: Any) -> dict[str, int] | None:
    if found is None:
        return None
    return {"prompt": found["input_tokens"], "completion": found["output_tokens"], "total": found["total_tokens"]}


if __name__ == "__main__":
    serve({"models": models, "whole": whole, "stream": stream, "tool": tool, "embed": embed}, OpenAIError)
