"""OpenAI's Responses."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from subsecond.errors import UpstreamError
from subsecond_local.simulator.dialects import responses_request
from subsecond_local.simulator.dialects.completions import error_body
from subsecond_local.simulator.dialects.dialect import Dialect
from subsecond_local.simulator.simulated_answer import Finish, Move, Part, Payload, SimulatedAnswer, as_json
from subsecond_local.simulator.thoughts import sealed

_PREFIXES = {"thought": "rs", "text": "msg", "call": "fc"}
_REASONS: Mapping[Finish, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
# What a response says again of its request, and what it says where the request is silent.
_DEFAULTS: Mapping[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


def whole(answer: SimulatedAnswer) -> dict[str, Any]:
    """The response object."""
    (choice,) = answer.choices
    output = [_item(answer, at, part, part.text) for at, part in enumerate(choice.parts)]
    reason = _REASONS.get(choice.finish)
    ending = {"status": "incomplete" if reason else "completed", "output": output, "usage": _usage(answer)}
    return _head(answer) | ending | {"incomplete_details": {"reason": reason} if reason else None}


def _head(answer: SimulatedAnswer) -> dict[str, Any]:
    """The response before anything is said."""
    asked = answer.asked
    echoed = {name: asked.get(name) if asked.get(name) is not None else value for name, value in _DEFAULTS.items()}
    reasoning = {"effort": None, "summary": None} | (asked.get("reasoning") or {})
    text = {"format": {"type": "text"}, "verbosity": "medium"} | (asked.get("text") or {})
    head: dict[str, Any] = {"id": f"resp_{answer.identity}", "object": "response", "created_at": answer.created}
    head |= {"status": "in_progress", "error": None, "incomplete_details": None, "model": answer.model}
    return (
        head
        | {"output": [], "usage": None}
        | echoed
        | {"reasoning": reasoning, "text": text, "service_tier": "default"}
    )


def _usage(answer: SimulatedAnswer) -> dict[str, Any]:
    used = answer.usage
    return {
        "input_tokens": used.asked,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": used.answered,
        "output_tokens_details": {"reasoning_tokens": used.thought},
        "total_tokens": used.asked + used.answered,
    }


def _item(answer: SimulatedAnswer, at: int, part: Part, said: str, status: str = "completed") -> dict[str, Any]:
    """One item of the output, of which so much is said."""
    begun = {"id": _identity(answer, at, part), "type": "message", "status": status}
    if part.kind == "thought":
        summed = _summed(answer) and status == "completed"
        found = {**begun, "type": "reasoning", "summary": [_summary(said)] if summed else []}
        include = answer.asked.get("include") or []
        return found | ({"encrypted_content": sealed(part.text)} if "reasoning.encrypted_content" in include else {})
    if part.kind == "call":
        call = f"call_{answer.identity}{at}"
        return {**begun, "type": "function_call", "call_id": call, "name": part.name, "arguments": said}
    return {**begun, "role": "assistant", "content": [_text(said)] if status == "completed" else []}


def _identity(answer: SimulatedAnswer, at: int, part: Part) -> str:
    return f"{_PREFIXES[part.kind]}_{answer.identity}{at}"


def _summed(answer: SimulatedAnswer) -> bool:
    return bool((answer.asked.get("reasoning") or {}).get("summary"))


def _summary(text: str) -> dict[str, Any]:
    return {"type": "summary_text", "text": text}


def _text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def steps(answer: SimulatedAnswer, *, usage: bool) -> Iterator[list[Payload]]:
    """The events by token. Usage comes in the last one, whether the request asks for it or not."""
    del usage
    (choice,) = answer.choices
    numbers = itertools.count()

    def numbered(kind: str, said: Mapping[str, Any]) -> Payload:
        event = {"type": f"response.{kind}", "sequence_number": next(numbers), **said}
        return Payload(as_json(event), f"response.{kind}".encode())

    head = _head(answer)
    events = [numbered(kind, {"response": head}) for kind in ("created", "in_progress")]
    for number, moves in enumerate(choice.moves(len(answer.times))):
        events += [numbered(kind, said) for move in moves for kind, said in _events(answer, move)]
        if number == len(answer.times) and "nodone" not in answer.faults:
            found = whole(answer)
            events.append(numbered(found["status"], {"response": found}))
        yield events
        events = []


_Event = tuple[str, dict[str, Any]]


def _events(answer: SimulatedAnswer, move: Move) -> list[_Event]:
    part = answer.choices[0].parts[move.at]
    item = {"item_id": _identity(answer, move.at, part), "output_index": move.at}
    inner = _inner(answer, part, move, item)
    if move.kind == "open":
        shell = _item(answer, move.at, part, "", "in_progress")
        return [("output_item.added", {"output_index": move.at, "item": shell}), *inner]
    if move.kind == "close":
        done = _item(answer, move.at, part, part.text)
        return [*inner, ("output_item.done", {"output_index": move.at, "item": done})]
    return inner


def _inner(answer: SimulatedAnswer, part: Part, move: Move, item: dict[str, Any]) -> list[_Event]:
    """The events within an item."""
    if part.kind == "call":
        if move.kind == "open":
            return []
        if move.kind == "piece":
            return [("function_call_arguments.delta", item | {"delta": move.piece})]
        return [("function_call_arguments.done", item | {"name": part.name, "arguments": part.text})]
    if part.kind == "thought":
        if not _summed(answer):
            return []
        return _parted("reasoning_summary_part", "reasoning_summary_text", item | {"summary_index": 0}, part, move)
    return _parted("content_part", "output_text", item | {"content_index": 0}, part, move)


def _parted(outer: str, inner: str, place: dict[str, Any], part: Part, move: Move) -> list[_Event]:
    """The events of a text that lies in a part of its own."""
    spoken = inner == "output_text"
    made = _text if spoken else _summary
    more: dict[str, Any] = {"logprobs": []} if spoken else {}
    if move.kind == "open":
        return [(f"{outer}.added", place | {"part": made("")})]
    if move.kind == "piece":
        return [(f"{inner}.delta", place | {"delta": move.piece} | more)]
    return [
        (f"{inner}.done", place | {"text": part.text} | more),
        (f"{outer}.done", place | {"part": made(part.text)}),
    ]


def error_event(error: UpstreamError, sent: int) -> Payload:
    """The error as the last event of a stream that has begun."""
    told = error.body()["error"]
    event = {"type": "error", "sequence_number": sent, "code": told["code"], "message": told["message"], "param": None}
    return Payload(as_json(event), b"error")


RESPONSES = Dialect(responses_request.read, whole, steps, error_body, error_event, piece=b"response.output_text.delta")
