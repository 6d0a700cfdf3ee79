"""The events of a server that streams though it was asked for a whole reply, as one body, whatever is in them.

Only for the client that asked: nothing else can be told it. What is made here is never stored, because fields that
nobody knows are joined by their shape: texts of a message are put together, lists grow, objects are joined field by
field, and of anything else the last word counts. What surely converts goes through `convert.py` instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from subsecond.model import Endpoint
from subsecond.streaming.events import choices_of, index_of, parsed
from subsecond.streaming.json_bytes import dump

_OBJECTS: Mapping[Endpoint, str] = {"chat": "chat.completion", "text": "text_completion"}
# Texts that come in pieces. Other texts (ids, names, reasons) are said whole.
_PIECES = frozenset({"content", "text", "refusal", "reasoning", "reasoning_content", "arguments", "thinking"})


def joined_loosely(endpoint: Endpoint, payloads: Iterable[bytes]) -> bytes | None:
    """The whole reply's body; None where no event has a choice."""
    top: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for payload in payloads:
        chunk = parsed(payload)
        if not isinstance(chunk, dict):
            continue
        for place, choice in enumerate(choices_of(chunk)):
            kept = choices.setdefault(index_of(choice, place), {"message": {}} if endpoint == "chat" else {})
            _add(kept, {name: value for name, value in choice.items() if name not in ("delta", "message")})
            if endpoint == "chat":
                _add(kept["message"], choice.get("delta") or choice.get("message") or {})
        _add(top, {name: value for name, value in chunk.items() if name not in ("choices", "object")})
    if not choices:
        return None
    told = [choices[index] for index in sorted(choices)]
    return dump(_told({**top, "object": _OBJECTS[endpoint], "choices": told}))


class _Text(list[str]):
    """A text in its pieces, put together at the end: adding to a string copies it."""


def _add(kept: dict[str, Any], more: object) -> None:
    """Puts what an event says to what was said, in place."""
    for name, value in more.items() if isinstance(more, dict) else ():
        have = kept.get(name)
        if value is None:
            kept.setdefault(name, None)
        elif isinstance(value, str) and name in _PIECES:
            _say(kept, name, value)
        elif isinstance(have, dict) and isinstance(value, dict):
            _add(have, value)
        elif isinstance(have, list) and isinstance(value, list) and not isinstance(have, _Text):
            _extend(have, value)
        else:
            kept[name] = value


def _say(kept: dict[str, Any], name: str, piece: str) -> None:
    have = kept.get(name)
    if isinstance(have, _Text):
        have.append(piece)
    elif isinstance(have, list) and name == "content":
        _extend(have, [{"type": "text", "text": piece}] if piece else [])
    else:
        kept[name] = _Text([piece])


def _told(value: Any) -> Any:
    if isinstance(value, _Text):
        return "".join(value)
    if isinstance(value, dict):
        return {name: _told(one) for name, one in value.items()}
    return [_told(one) for one in value] if isinstance(value, list) else value


def _extend(have: list[Any], more: list[Any]) -> None:
    """List items that have an `index` (tool calls) are joined by it; others follow each other."""
    places = {item["index"]: item for item in have if isinstance(item, dict) and "index" in item}
    for item in more:
        known = places.get(item.get("index")) if isinstance(item, dict) else None
        if known is not None and item.get("id") in (None, "", known.get("id")):
            _add(known, item)
        else:
            have.append(item)
