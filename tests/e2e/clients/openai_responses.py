"""The `openai` package's Responses."""

from __future__ import annotations

import json
from typing import Any

from loop import IMAGE, QUESTION, TOOL, instructions, result_of, serve
from openai import OpenAI, OpenAIError
from pydantic import BaseModel

FUNCTION = {"type": "function", **TOOL["function"], "strict": False}


class City(BaseModel):
    """What `structured` asks for."""

    name: str
    people: int
    rivers: list[str]


def _client(base_url: str, key: str) -> OpenAI:
    return OpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=30)


def _asked(model: str, prompt: Any, *, store: bool) -> dict[str, Any]:
    return {"model": model, "input": prompt, "instructions": instructions(), "store": store}


def text(base_url: str, key: str, model: str, prompt: str, *, store: bool = False) -> dict[str, Any]:
    with _client(base_url, key) as client:
        raw = client.responses.with_raw_response.create(**_asked(model, prompt, store=store))
        found = raw.parse()
    return {"text": found.output_text, "usage": _usage(found.usage), "cache": raw.headers.get("cache-status")}


def stream(base_url: str, key: str, model: str, prompt: str, *, store: bool = False) -> dict[str, Any]:
    with (
        _client(base_url, key) as client,
        client.responses.stream(**_asked(model, prompt, store=store)) as events,
    ):
        seen = list(events)
        for event in seen:
            # It hands on what the server sent.
            if event.type == "error":
                raise OpenAIError(event.message)
        found = events.get_final_response()
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    pieces = [event.delta for event in seen if event.type == "response.output_text.delta"]
    return {"pieces": pieces, "text": found.output_text, "usage": _usage(found.usage)}


def tools(base_url: str, key: str, model: str, prompt: str, *, store: bool = False) -> dict[str, Any]:
    asked = [{"role": "user", "content": prompt}]
    with _client(base_url, key) as client:
        first = client.responses.create(**_asked(model, asked, store=store), tools=[FUNCTION])
        calls = [item for item in first.output if item.type == "function_call"]
        results = [
            {"type": "function_call_output", "call_id": call.call_id, "output": result_of(json.loads(call.arguments))}
            for call in calls
        ]
        if store:
            then = client.responses.create(
                **_asked(model, results, store=store), tools=[FUNCTION], previous_response_id=first.id
            )
        else:
            said = [*asked, *(call.to_dict() for call in calls), *results]
            then = client.responses.create(**_asked(model, said, store=store), tools=[FUNCTION])
    told = [{"name": call.name, "arguments": json.loads(call.arguments)} for call in calls]
    return {"calls": told, "text": then.output_text}


def structured(base_url: str, key: str, model: str, prompt: str, *, store: bool = False) -> dict[str, Any]:
    with _client(base_url, key) as client:
        found = client.responses.parse(**_asked(model, prompt, store=store), text_format=City)
    return {"value": found.output_parsed.model_dump()}


def image(base_url: str, key: str, model: str, prompt: str, *, store: bool = False) -> dict[str, Any]:
    content = [{"type": "input_text", "text": prompt}, {"type": "input_image", "image_url": IMAGE, "detail": "auto"}]
    return text(base_url, key, model, [{"role": "user", "content": content}], store=store)


def thoughts(base_url: str, key: str, model: str, prompt: str) -> dict[str, Any]:
    """What was thought, and the answer to a turn that gives it back."""
    asked = {"reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"]}
    with _client(base_url, key) as client:
        found = client.responses.create(**_asked(model, prompt, store=False), **asked)
        said = [
            {"role": "user", "content": prompt},
            *(item.to_dict() for item in found.output),
            {"role": "user", "content": QUESTION},
        ]
        then = client.responses.create(**_asked(model, said, store=False), **asked)
    thought = next(item for item in found.output if item.type == "reasoning")
    return {"thought": thought.summary[0].text, "text": then.output_text}


def kept(base_url: str, key: str, model: str, prompt: str) -> dict[str, Any]:
    """What a server keeps of a response, until it is deleted."""
    with _client(base_url, key) as client:
        made = client.responses.create(**_asked(model, prompt, store=True))
        got = client.responses.retrieve(made.id)
        items = list(client.responses.input_items.list(made.id))
        client.responses.delete(made.id)
        try:
            client.responses.retrieve(made.id)
        except OpenAIError as error:
            gone = getattr(error, "status_code", None)
    return {"same": got.output_text == made.output_text, "asked": items[0].content[0].text, "gone": gone}


def _usage(found: Any) -> dict[str, int]:
    return {"prompt": found.input_tokens, "completion": found.output_tokens}


if __name__ == "__main__":
    served = {"text": text, "stream": stream, "tools": tools, "structured": structured, "image": image}
    serve(served | {"thoughts": thoughts, "kept": kept}, OpenAIError)
