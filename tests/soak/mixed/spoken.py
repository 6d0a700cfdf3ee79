"""The dialects in which the clients of a mixed soak ask: what a question looks like, and what an answer says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

# A text, the names of the upstream calls that made it, and whether the model had ended.
Said: TypeAlias = tuple[str, set[str], bool]


@dataclass(frozen=True, slots=True)
class Spoken:
    """endpoint: as the simulator names it. body: of a model and a text. whole, events: what a body, and a stream's
    payloads, say; they raise what broken ones raise."""

    endpoint: str
    path: str
    body: Callable[[str, str], dict[str, Any]]
    whole: Callable[[Any], Said]
    events: Callable[[Sequence[Any]], Said]
    headers: tuple[str, ...] = ()


def _as_chat(model: str, text: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}]}


def _chat(told: Any) -> Said:
    return told["choices"][0]["message"]["content"], {told["id"]}, True


def _chat_events(events: Sequence[Any]) -> Said:
    frames = [event for event in events if event is not None and "choices" in event]
    text = "".join(choice["delta"].get("content") or "" for frame in frames for choice in frame["choices"])
    return text, {frame["id"] for frame in frames}, None in events


def _as_object(model: str, text: str) -> dict[str, Any]:
    """The upstream keeps it, so nobody is answered with it."""
    return {"model": model, "input": text}


def _as_response(model: str, text: str) -> dict[str, Any]:
    return {**_as_object(model, text), "store": False}


def _response(told: Any) -> Said:
    """An answer from the cache has an id of its own; its items keep theirs, which end in their place."""
    items = [item for item in told["output"] if item["type"] == "message"]
    text = "".join(part["text"] for item in items for part in item["content"])
    return text, {item["id"][:-1] for item in items}, True


def _response_events(events: Sequence[Any]) -> Said:
    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    text, names = "".join(event["delta"] for event in deltas), {event["item_id"][:-1] for event in deltas}
    if ended := ended_with(events):
        whole, of, _ = _response(ended)
        if whole != text:
            raise ValueError(f"the last event says {whole!r}, those before {text!r}")
        names |= of
    return text, names, bool(ended)


def ended_with(events: Sequence[Any]) -> Mapping[str, Any] | None:
    """The whole response in the last event of a stream."""
    return next((event["response"] for event in events if event["type"] == "response.completed"), None)


def _as_message(model: str, text: str) -> dict[str, Any]:
    return {**_as_chat(model, text), "max_tokens": 4_096}


def _message(told: Any) -> Said:
    return "".join(block["text"] for block in told["content"]), {told["id"]}, True


def _message_events(events: Sequence[Any]) -> Said:
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    names = {event["message"]["id"] for event in events if event["type"] == "message_start"}
    return "".join(delta["text"] for delta in deltas), names, events[-1:] == [{"type": "message_stop"}]


_RESPONSES = "/v1/responses"
_VERSION = ("anthropic-version: 2023-06-01",)
SPOKEN: Mapping[str, Spoken] = {
    "chat": Spoken("chat", "/v1/chat/completions", _as_chat, _chat, _chat_events),
    "responses": Spoken("responses", _RESPONSES, _as_response, _response, _response_events),
    "objects": Spoken("responses", _RESPONSES, _as_object, _response, _response_events),
    "messages": Spoken("messages", "/v1/messages", _as_message, _message, _message_events, _VERSION),
}
