"""Responses of OpenAI from one form to the other: a whole `response`, or the typed events that lead to it.

The last event of a stream holds the whole response, so that way nothing is put together. The other way each item is
told as OpenAI's streams tell it, by a table of the fields that items and parts have; any other field with a value
declines, and the answer is asked for in the other form. Pure, and linear in the payloads' bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from subsecond.streaming.convert import pieces
from subsecond.streaming.convert_fields import Declined, is_empty, list_, object_, text
from subsecond.streaming.events import parsed
from subsecond.streaming.json_bytes import dump

Event = dict[str, Any]

_COMPLETED, _INCOMPLETE = "response.completed", "response.incomplete"
ENDS: Final = frozenset({b"response.completed", b"response.incomplete", b"response.failed", b"response.cancelled"})
_DONE: Final = "response.output_item.done"
# What an item of each type, and a part, may have. Whatever else has a value declines.
_ITEMS: Final = {
    "message": {"id", "type", "status", "role", "content", "phase"},
    "function_call": {"id", "type", "status", "arguments", "call_id", "name"},
    "custom_tool_call": {"id", "type", "status", "input", "call_id", "name"},
    "reasoning": {"id", "type", "status", "summary", "encrypted_content"},
}
_PARTS: Final = {"output_text": {"type", "text", "annotations"}, "refusal": {"type", "refusal"}}
# What has come to be only at the end of a stream.
_LATE: Final[Event] = {
    "status": "in_progress",
    "output": [],
    "usage": None,
    "completed_at": None,
    "incomplete_details": None,
}


def ended_with(events: Iterable[Event]) -> dict[str, Any]:
    """The response of the event that ended them; empty where none did, or several: two answers are none."""
    ends = [event.get("response") for event in events if event.get("type") in (_COMPLETED, _INCOMPLETE)]
    return ends[0] if len(ends) == 1 and isinstance(ends[0], dict) else {}


def items_done(events: Iterable[Event]) -> list[dict[str, Any]]:
    """The items that were complete, in their order. Some servers leave them out of the last event."""
    items = [event.get("item") for event in events if event.get("type") == _DONE]
    return [item for item in items if isinstance(item, dict)]


def to_whole(payloads: Iterable[bytes]) -> bytes | None:
    """The last event's response; None where there is none, or it leaves out what was said."""
    events = _events(payloads)
    found = ended_with(events)
    if not found or not isinstance(found.get("output"), list) or len(found["output"]) < len(items_done(events)):
        return None
    return dump(found)


def joined_loosely(payloads: Iterable[bytes]) -> bytes | None:
    """As `to_whole`, with the items that were told beside it."""
    events = _events(payloads)
    found = ended_with(events)
    return dump({**found, "output": items_done(events) or found.get("output") or []}) if found else None


def to_stream(body: bytes) -> tuple[bytes, ...] | None:
    """The payloads of a stream that says the same; None where the body does not go over."""
    try:
        return tuple(map(dump, _numbered(_told(object_(parsed(body))))))
    except (Declined, RecursionError):
        return None


def framed(body: bytes) -> tuple[bytes, ...]:
    """The first and the last event of a response that does not go over, for the one client that asked for it."""
    whole = parsed(body)
    return tuple(map(dump, _numbered(iter(_frame(whole)) if isinstance(whole, dict) else iter(()))))


def _events(payloads: Iterable[bytes]) -> list[Event]:
    return [event for payload in payloads if isinstance(event := parsed(payload), dict)]


def _numbered(events: Iterator[Event]) -> Iterator[Event]:
    for number, event in enumerate(events):
        yield {"type": event.pop("type"), "sequence_number": number, **event}


def _frame(whole: dict[str, Any]) -> list[Event]:
    begun = {**whole, **{name: value for name, value in _LATE.items() if name in whole}, "output": []}
    end = _INCOMPLETE if whole.get("status") == "incomplete" else _COMPLETED
    return [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": end, "response": whole},
    ]


def _told(whole: dict[str, Any]) -> Iterator[Event]:
    if whole.get("status") not in ("completed", "incomplete") or whole.get("error"):
        raise Declined("status")
    created, in_progress, end = _frame(whole)
    yield created
    yield in_progress
    for at, item in enumerate(list_(whole.get("output"))):
        yield from _item(at, object_(item))
    yield end


def _checked(value: dict[str, Any], table: dict[str, set[str]]) -> str:
    """Its type. Raises Declined for one, or a field, that is not in the table."""
    kind = text(value.get("type"))
    if kind not in table:
        raise Declined(kind)
    for name, inner in value.items():
        if name not in table[kind] and not is_empty(inner):
            raise Declined(name)
    return kind


def _item(at: int, item: dict[str, Any]) -> Iterator[Event]:
    kind = _checked(item, _ITEMS)
    here = {"output_index": at, "item_id": text(item.get("id"))}
    begun = {**item, "status": "in_progress"} if "status" in item else dict(item)
    if kind == "message":
        begun["content"], inside = [], _content(here, list_(item.get("content")))
    elif kind == "reasoning":
        begun["summary"], inside = [], _summary(here, list_(item.get("summary")))
        begun.pop("encrypted_content", None)
    else:
        name = "arguments" if kind == "function_call" else "input"
        begun[name], inside = "", _call(here, f"{kind}_{name}", name, item)
    yield {"type": "response.output_item.added", "output_index": at, "item": begun}
    yield from inside
    yield {"type": _DONE, "output_index": at, "item": item}


def _call(here: Event, event: str, name: str, item: dict[str, Any]) -> Iterator[Event]:
    said = text(item.get(name))
    if said:
        yield {"type": f"response.{event}.delta", **here, "delta": said}
    more = {"name": item["name"]} if name == "arguments" and "name" in item else {}
    yield {"type": f"response.{event}.done", **here, **more, name: said}


def _content(here: Event, parts: Sequence[Any]) -> Iterator[Event]:
    for index, part in enumerate(map(object_, parts)):
        kind, place = _checked(part, _PARTS), {**here, "content_index": index}
        field = "text" if kind == "output_text" else "refusal"
        said, silent = text(part.get(field)), {**part, field: ""}
        tokens: Event = {"logprobs": []} if field == "text" else {}
        if "annotations" in part:
            silent["annotations"] = []
        yield {"type": "response.content_part.added", **place, "part": silent}
        for piece in pieces(said):
            yield {"type": f"response.{kind}.delta", **place, "delta": piece, **tokens}
        for number, one in enumerate(list_(part.get("annotations") or [])):
            yield _annotation(place, number, one)
        yield {"type": f"response.{kind}.done", **place, field: said, **tokens}
        yield {"type": "response.content_part.done", **place, "part": part}


def _annotation(place: Event, number: int, one: Any) -> Event:
    name = "response.output_text.annotation.added"
    return {"type": name, **place, "annotation_index": number, "annotation": one}


def _summary(here: Event, parts: Sequence[Any]) -> Iterator[Event]:
    name = "response.reasoning_summary"
    for index, part in enumerate(map(object_, parts)):
        _checked(part, {"summary_text": {"type", "text"}})
        said, place = text(part.get("text")), {**here, "summary_index": index}
        yield {"type": f"{name}_part.added", **place, "part": {**part, "text": ""}}
        for piece in pieces(said):
            yield {"type": f"{name}_text.delta", **place, "delta": piece}
        yield {"type": f"{name}_text.done", **place, "text": said}
        yield {"type": f"{name}_part.done", **place, "part": part}
