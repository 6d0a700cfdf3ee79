"""The `anthropic` package."""

from __future__ import annotations

from typing import Any

from anthropic import Anthropic, AnthropicError
from loop import PIXEL, QUESTION, TOOL, instructions, questions, result_of, serve
from pydantic import BaseModel

FUNCTION = {
    "name": TOOL["function"]["name"],
    "description": TOOL["function"]["description"],
    "input_schema": TOOL["function"]["parameters"],
}


class City(BaseModel):
    """What `structured` asks for."""

    name: str
    people: int
    rivers: list[str]


def _client(base_url: str, key: str) -> Anthropic:
    # It says `/v1` itself.
    return Anthropic(base_url=base_url.removesuffix("/v1"), api_key=key, max_retries=0, timeout=30)


def _asked(model: str, prompt: Any) -> dict[str, Any]:
    said = {"system": instructions(), "messages": [{"role": "user", "content": prompt}]}
    return {"model": model, "max_tokens": 2000, **said}


def text(base_url: str, key: str, model: str, prompt: Any) -> dict[str, Any]:
    with _client(base_url, key) as client:
        raw = client.messages.with_raw_response.create(**_asked(model, prompt))
        found = raw.parse()
    return {"text": _text(found), "usage": _usage(found.usage), "cache": raw.headers.get("cache-status")}


def stream(base_url: str, key: str, model: str, prompt: str) -> dict[str, Any]:
    with _client(base_url, key) as client, client.messages.stream(**_asked(model, prompt)) as events:
        pieces = [event.delta.text for event in events if event.type == "content_block_delta"]
        found = events.get_final_message()
    return {"pieces": pieces, "text": _text(found), "usage": _usage(found.usage)}


def tools(base_url: str, key: str, model: str, prompt: str) -> dict[str, Any]:
    asked = _asked(model, prompt) | {"tools": [FUNCTION]}
    with _client(base_url, key) as client:
        first = client.messages.create(**asked)
        calls = [block for block in first.content if block.type == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": one.id, "content": result_of(one.input)} for one in calls]
        asked["messages"] += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
        then = client.messages.create(**asked)
    return {"calls": [{"name": call.name, "arguments": call.input} for call in calls], "text": _text(then)}


def agent(base_url: str, key: str, model: str, prompt: str, turns: int, other: int) -> dict[str, Any]:
    """What an agent says last in each turn of a conversation. other: the turn in which the tool says something else."""
    asked = _asked(model, prompt) | {"tools": [FUNCTION], "messages": []}
    texts = []
    with _client(base_url, key) as client:
        for number, question in enumerate(questions(prompt, turns)):
            more = ", and then snow" if number == other else ""
            asked["messages"].append({"role": "user", "content": question})
            while (found := client.messages.create(**asked)).stop_reason == "tool_use":
                results = [
                    {"type": "tool_result", "tool_use_id": one.id, "content": result_of(one.input) + more}
                    for one in found.content
                    if one.type == "tool_use"
                ]
                asked["messages"] += [
                    {"role": "assistant", "content": found.content},
                    {"role": "user", "content": results},
                ]
            asked["messages"].append({"role": "assistant", "content": found.content})
            texts.append(_text(found))
    return {"texts": texts}


def structured(base_url: str, key: str, model: str, prompt: str) -> dict[str, Any]:
    with _client(base_url, key) as client:
        found = client.messages.parse(**_asked(model, prompt), output_format=City)
    return {"value": found.parsed_output.model_dump()}


def image(base_url: str, key: str, model: str, prompt: str) -> dict[str, Any]:
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    return text(base_url, key, model, [{"type": "image", "source": source}, {"type": "text", "text": prompt}])


def thoughts(base_url: str, key: str, model: str, prompt: str) -> dict[str, Any]:
    """What was thought, and the answer to a turn that gives it back."""
    asked = _asked(model, prompt) | {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    with _client(base_url, key) as client:
        with client.messages.stream(**asked) as events:
            found = events.get_final_message()
        said = [{"role": "assistant", "content": found.content}, {"role": "user", "content": QUESTION}]
        then = client.messages.create(**asked | {"messages": asked["messages"] + said})
    return {"thought": found.content[0].thinking, "text": _text(then)}


def counted(base_url: str, key: str, model: str, prompt: str) -> dict[str, Any]:
    """How many tokens a request has, by the two ways to find out, and the models that are listed."""
    asked = _asked(model, prompt)
    with _client(base_url, key) as client:
        found = client.messages.create(**asked).usage.input_tokens
        asked.pop("max_tokens")
        counted = client.messages.count_tokens(**asked).input_tokens
        names = [one.id for one in client.models.list()]
    return {"counted": counted, "found": found, "models": names}


def _text(found: Any) -> str:
    return "".join(block.text for block in found.content if block.type == "text")


def _usage(found: Any) -> dict[str, int]:
    return {"prompt": found.input_tokens, "completion": found.output_tokens}


if __name__ == "__main__":
    served = {"text": text, "stream": stream, "tools": tools, "structured": structured, "image": image}
    serve(served | {"thoughts": thoughts, "counted": counted, "agent": agent}, AnthropicError)
