"""Anthropic's Messages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from subsecond.errors import UpstreamError
from subsecond_local.simulator.dialects import messages_request
from subsecond_local.simulator.dialects.dialect import Dialect
from subsecond_local.simulator.simulated_answer import Choice, Finish, Move, Part, Payload, SimulatedAnswer, as_json
from subsecond_local.simulator.thoughts import sealed, signature

_REASONS: Mapping[Finish, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_ERRORS = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_SERVERS_FAULT = 500


def whole(answer: SimulatedAnswer) -> dict[str, Any]:
    """The message object."""
    (choice,) = answer.choices
    content = [_block(answer, at, part, whole=True) for at, part in enumerate(choice.parts)]
    return _head(answer) | {"content": content, **_ending(choice), "usage": _usage(answer, answer.usage.answered)}


def _head(answer: SimulatedAnswer) -> dict[str, Any]:
    """The message before anything is said."""
    head = {"id": f"msg_{answer.identity}", "type": "message", "role": "assistant", "model": answer.model}
    return head | {"content": [], "stop_reason": None, "stop_sequence": None, "usage": _usage(answer, 1)}


def _ending(choice: Choice) -> dict[str, Any]:
    reason = "stop_sequence" if choice.stop is not None else _REASONS[choice.finish]
    return {"stop_reason": reason, "stop_sequence": choice.stop}


def _usage(answer: SimulatedAnswer, answered: int) -> dict[str, Any]:
    used = answer.usage
    return {
        "input_tokens": max(0, used.asked - used.written - used.read),
        "cache_creation_input_tokens": used.written,
        "cache_read_input_tokens": used.read,
        "cache_creation": {"ephemeral_5m_input_tokens": used.written, "ephemeral_1h_input_tokens": 0},
        "output_tokens": answered,
        "service_tier": "standard",
    }


def _block(answer: SimulatedAnswer, at: int, part: Part, *, whole: bool) -> dict[str, Any]:
    """One block of the content: all of it, or before anything is said."""
    if part.kind == "thought":
        shown = part.text if whole and _shown(answer) else ""
        return {"type": "thinking", "thinking": shown, "signature": _signature(answer, part) if whole else ""}
    if part.kind == "call":
        given = json.loads(part.text) if whole else {}
        return {"type": "tool_use", "id": f"toolu_{answer.identity}{at}", "name": part.name, "input": given}
    return {"type": "text", "text": part.text if whole else ""}


def _shown(answer: SimulatedAnswer) -> bool:
    return (answer.asked.get("thinking") or {}).get("display") != "omitted"


def _signature(answer: SimulatedAnswer, part: Part) -> str:
    return signature(part.text) if _shown(answer) else sealed("")


def steps(answer: SimulatedAnswer, *, usage: bool) -> Iterator[list[Payload]]:
    """The events by token. Usage comes at the beginning and at the end, whether the request asks for it or not."""
    del usage
    (choice,) = answer.choices
    events = [_event("message_start", {"message": _head(answer)})]
    pinged = False
    for number, moves in enumerate(choice.moves(len(answer.times))):
        for move in moves:
            events += _events(answer, move)
            if not pinged:
                events.append(_event("ping", {}))
                pinged = True
        if number == len(answer.times):
            ending = {"delta": _ending(choice), "usage": _usage(answer, answer.usage.answered)}
            events.append(_event("message_delta", ending))
            if "nodone" not in answer.faults:
                events.append(_event("message_stop", {}))
        yield events
        events = []


def _event(kind: str, said: Mapping[str, Any]) -> Payload:
    return Payload(as_json({"type": kind, **said}), kind.encode())


def _events(answer: SimulatedAnswer, move: Move) -> list[Payload]:
    part = answer.choices[0].parts[move.at]
    if move.kind == "open":
        block = _block(answer, move.at, part, whole=False)
        return [_event("content_block_start", {"index": move.at, "content_block": block})]
    deltas = _deltas(answer, part, move)
    events = [_event("content_block_delta", {"index": move.at, "delta": delta}) for delta in deltas]
    return events if move.kind == "piece" else [*events, _event("content_block_stop", {"index": move.at})]


def _deltas(answer: SimulatedAnswer, part: Part, move: Move) -> list[dict[str, Any]]:
    if move.kind == "close":
        signed = part.kind == "thought"
        return [{"type": "signature_delta", "signature": _signature(answer, part)}] if signed else []
    if part.kind == "call":
        return [{"type": "input_json_delta", "partial_json": move.piece}]
    if part.kind == "text":
        return [{"type": "text_delta", "text": move.piece}]
    return [{"type": "thinking_delta", "thinking": move.piece}] if _shown(answer) else []


def error_body(error: UpstreamError) -> dict[str, Any]:
    """Anthropic's error object."""
    kind = _ERRORS.get(error.status, "api_error" if error.status >= _SERVERS_FAULT else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": error.message}, "request_id": "req_simulated"}


def error_event(error: UpstreamError, sent: int) -> Payload:
    """The error as the last event of a stream that has begun."""
    del sent
    return Payload(as_json(error_body(error)), b"error")


MESSAGES = Dialect(messages_request.read, whole, steps, error_body, error_event, piece=b"content_block_delta")
