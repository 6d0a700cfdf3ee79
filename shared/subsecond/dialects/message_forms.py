"""A message as events, and events as a message: only what says the same both ways. Anything else is not converted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from subsecond.streaming.events import parsed
from subsecond.streaming.json_bytes import dump

# Of each block that grows in a stream: the fields that grow, with the delta that carries them, and what they start as.
_GROWS: Mapping[str, tuple[tuple[str, str, str, str], ...]] = {
    "text": (("text", "text_delta", "text", ""),),
    "thinking": (("thinking", "thinking_delta", "thinking", ""), ("signature", "signature_delta", "signature", "")),
}
# The blocks whose input comes as JSON's text.
_CALLS = ("tool_use", "server_tool_use", "mcp_tool_use")
# The blocks that come whole with their start.
_WHOLE = frozenset({"redacted_thinking", "web_search_tool_result", "web_fetch_tool_result", "mcp_tool_result"})
_FIELD_OF = {delta: (field, carried) for grown in _GROWS.values() for field, delta, carried, _ in grown}
_JSON_DELTA = "input_json_delta"
_EVENTS: Mapping[str, frozenset[str]] = {
    "message_start": frozenset({"message"}),
    "content_block_start": frozenset({"index", "content_block"}),
    "content_block_delta": frozenset({"index", "delta"}),
    "content_block_stop": frozenset({"index"}),
    "message_delta": frozenset({"delta", "usage"}),
    "message_stop": frozenset(),
    "ping": frozenset(),
}


def converts(payload: bytes) -> bool:
    """Whether an event, looked at alone, goes over."""
    return _known(parsed(payload)) is not None


def _known(value: object) -> dict[str, Any] | None:
    """The event, where each of its fields is one that the body has too."""
    fields = _EVENTS.get(str(value.get("type"))) if isinstance(value, dict) else None
    if not isinstance(value, dict) or fields is None or not value.keys() <= fields | {"type"}:
        return None
    kind, delta = value["type"], value.get("delta")
    if kind == "content_block_delta" and not _is_delta(delta):
        return None
    if kind == "content_block_start" and not _is_block(value.get("content_block")):
        return None
    return value if kind != "message_delta" or isinstance(delta, dict) else None


def _is_block(block: object) -> bool:
    kind = block.get("type") if isinstance(block, dict) else None
    return kind in _GROWS or kind in _CALLS or kind in _WHOLE


def _is_delta(delta: object) -> bool:
    if not isinstance(delta, dict) or len(delta) != 2:  # noqa: PLR2004 -- its type, and what it carries
        return False
    carried = "partial_json" if delta.get("type") == _JSON_DELTA else _FIELD_OF.get(str(delta.get("type")), ("", ""))[1]
    return isinstance(delta.get(carried), str)


def to_whole(payloads: Iterable[bytes]) -> bytes | None:
    """The message that these events are; None where an event or its order is not known."""
    try:
        joined = _Joined()
        for payload in payloads:
            event = _known(parsed(payload))
            if event is None:
                return None
            joined.add(event)
        return joined.body()
    except (KeyError, IndexError, TypeError, ValueError):
        return None  # blocks out of order, a call whose input is no JSON


class _Joined:
    def __init__(self) -> None:
        self._message: dict[str, Any] | None = None
        self._blocks: list[dict[str, Any]] = []
        self._inputs: dict[int, list[str]] = {}
        self._over = False

    def add(self, event: Mapping[str, Any]) -> None:
        kind = event["type"]
        if kind == "message_start":
            self._message = dict(event["message"])
        elif kind == "content_block_start":
            if event["index"] != len(self._blocks):
                raise IndexError
            self._blocks.append(dict(event["content_block"]))
        elif kind == "content_block_delta":
            self._grow(event["index"], event["delta"])
        elif kind == "message_delta":
            self._end(event)
        elif kind == "message_stop":
            self._over = True

    def _grow(self, index: int, delta: Mapping[str, Any]) -> None:
        block = self._blocks[index]
        if delta["type"] == _JSON_DELTA:
            self._inputs.setdefault(index, []).append(delta["partial_json"])
            return
        field, carried = _FIELD_OF[delta["type"]]
        if field not in dict.fromkeys(one[0] for one in _GROWS[block["type"]]):
            raise KeyError(field)
        block[field] = block.get(field, "") + delta[carried]

    def _end(self, event: Mapping[str, Any]) -> None:
        if self._message is None:
            raise KeyError("message_start")
        usage = {name: n for name, n in (event.get("usage") or {}).items() if n is not None}
        self._message |= event["delta"]
        self._message["usage"] = {**(self._message.get("usage") or {}), **usage}

    def body(self) -> bytes | None:
        if self._message is None or not self._over or self._message.get("content"):
            return None
        for index, parts in self._inputs.items():
            if self._blocks[index]["type"] not in _CALLS:
                return None
            self._blocks[index]["input"] = json.loads("".join(parts) or "{}")
        return dump({**self._message, "content": self._blocks})


def to_stream(body: bytes) -> tuple[bytes, ...] | None:
    """The events that say the same as this message; None where a block does not go over."""
    message = parsed(body)
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(content, list) or message.get("type") != "message":
        return None
    blocks = [_told(index, block) for index, block in enumerate(content)]
    if None in blocks or not isinstance(message.get("usage"), dict):
        return None
    start, *end = _frame({**message, "content": []})
    return tuple(map(dump, (start, *(event for told in blocks for event in told or ()), *end)))


def framed(body: bytes) -> tuple[bytes, ...]:
    """The first and the last events of a message that does not go over, its blocks whole within the first: for the one
    client that asked for it. Without an end it would wait for one, or take nothing for an answer."""
    message = parsed(body)
    return tuple(map(dump, _frame(message))) if isinstance(message, dict) else (body,)


def _frame(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    usage = message["usage"] if isinstance(message.get("usage"), dict) else {}
    end = {name: message[name] for name in ("stop_reason", "stop_sequence") if name in message}
    # What it took is known at the end, as in a stream: nothing has been said yet.
    begun = {**message, **dict.fromkeys(end), "usage": {**usage, "output_tokens": 0}}
    return [
        {"type": "message_start", "message": begun},
        {"type": "message_delta", "delta": end, "usage": usage},
        {"type": "message_stop"},
    ]


def _told(index: int, block: object) -> list[dict[str, Any]] | None:
    if not isinstance(block, dict) or not _is_block(block):
        return None
    start, deltas = _begun(block)
    if start is None:
        return None
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _begun(block: dict[str, Any]) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """A block as it starts, and what makes it grow; None where it has a field that no delta carries here."""
    kind = block["type"]
    if kind in _CALLS:
        return {**block, "input": {}}, [{"type": _JSON_DELTA, "partial_json": dump(block.get("input", {})).decode()}]
    if kind in _WHOLE:
        return block, []
    grown = _GROWS[kind]
    known = {"type", *(field for field, *_ in grown)}
    if any(value is not None for name, value in block.items() if name not in known):
        return None, []
    deltas = list(_deltas(block, grown))
    return {**block, **{field: empty for field, *_, empty in grown if field in block}}, deltas


def _deltas(block: Mapping[str, Any], grown: tuple[tuple[str, str, str, str], ...]) -> Iterator[dict[str, Any]]:
    for field, delta, carried, _ in grown:
        if block.get(field):
            yield {"type": delta, carried: block[field]}
