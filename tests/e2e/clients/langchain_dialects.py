"""LangChain: `langchain-openai` with `use_responses_api`, and `langchain-anthropic`."""

from __future__ import annotations

from typing import Any

from anthropic import AnthropicError
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI
from loop import IMAGE, TOOL, instructions, result_of, serve
from openai import OpenAIError
from pydantic import BaseModel


class City(BaseModel):
    """What `structured` asks for."""

    name: str
    people: int
    rivers: list[str]


def _chat(dialect: str, base_url: str, key: str, model: str) -> Any:
    if dialect == "messages":
        return ChatAnthropic(
            base_url=base_url.removesuffix("/v1"), api_key=key, model=model, max_retries=0, timeout=30, max_tokens=2000
        )
    return ChatOpenAI(
        base_url=base_url, api_key=key, model=model, max_retries=0, timeout=30, use_responses_api=True, store=False
    )


def _asked(prompt: Any) -> list[AnyMessage]:
    return [SystemMessage(instructions()), HumanMessage(prompt)]


def text(base_url: str, key: str, model: str, prompt: Any, *, dialect: str) -> dict[str, Any]:
    found = _chat(dialect, base_url, key, model).invoke(_asked(prompt))
    return {"text": found.text, "usage": _usage(found.usage_metadata)}


def stream(base_url: str, key: str, model: str, prompt: str, *, dialect: str) -> dict[str, Any]:
    first, *rest = _chat(dialect, base_url, key, model).stream(_asked(prompt))
    found = sum(rest, start=first)
    pieces = [chunk.text for chunk in (first, *rest) if chunk.text]
    return {"pieces": pieces, "text": found.text, "usage": _usage(found.usage_metadata)}


def tools(base_url: str, key: str, model: str, prompt: str, *, dialect: str) -> dict[str, Any]:
    bound = _chat(dialect, base_url, key, model).bind_tools([TOOL])
    said = _asked(prompt)
    first = bound.invoke(said)
    results = [ToolMessage(result_of(call["args"]), tool_call_id=call["id"]) for call in first.tool_calls]
    then = bound.invoke([*said, first, *results])
    calls = [{"name": call["name"], "arguments": call["args"]} for call in first.tool_calls]
    return {"calls": calls, "text": then.text}


def structured(base_url: str, key: str, model: str, prompt: str, *, dialect: str) -> dict[str, Any]:
    bound = _chat(dialect, base_url, key, model).with_structured_output(City, method="json_schema")
    return {"value": bound.invoke(_asked(prompt)).model_dump()}


def image(base_url: str, key: str, model: str, prompt: str, *, dialect: str) -> dict[str, Any]:
    mime, _, data = IMAGE.removeprefix("data:").partition(";base64,")
    content = [{"type": "text", "text": prompt}, {"type": "image", "base64": data, "mime_type": mime}]
    return text(base_url, key, model, content, dialect=dialect)


def _usage(found: Any) -> dict[str, int]:
    return {"prompt": found["input_tokens"], "completion": found["output_tokens"]}


if __name__ == "__main__":
    served = {"text": text, "stream": stream, "tools": tools, "structured": structured, "image": image}
    # The last for an error in a stream of responses.
    serve(served, (OpenAIError, AnthropicError, ValueError))
