"""Small questions to one payload or body: whatever it holds, they answer and never raise."""

from __future__ import annotations

import json
import re
from typing import Any

# Whether there are no choices in it can be seen without parsing. Some servers send `"usage": null` with every chunk.
_NO_CHOICE = re.compile(rb'"choices"\s*:\s*(?:\[\s*\]|null)')
# What some servers put before it all the same.
_BOM = b"\xef\xbb\xbf"
# What a choice says outside its delta.
_BESIDE_DELTA = ("text", "finish_reason")


def parsed(payload: bytes) -> Any:
    """The JSON value; None where it is not JSON (as for `null`). Python's reader guesses other encodings than UTF-8: to
    a body in these nothing can be added, and clients need not read them (RFC 8259, section 8.1)."""
    try:
        return json.loads(payload.removeprefix(_BOM).decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return None


def choices_of(value: object) -> list[dict[str, Any]]:
    """The choices of a parsed chunk or body that are objects."""
    found = value.get("choices") if isinstance(value, dict) else None
    return [choice for choice in found if isinstance(choice, dict)] if isinstance(found, list) else []


def index_of(choice: dict[str, Any], place: int) -> int:
    """Which choice it is. Some servers leave it out, where the place among its neighbours says it."""
    index = choice.get("index")
    return index if isinstance(index, int) else place


def part_of(choice: dict[str, Any]) -> dict[str, Any]:
    """What the assistant says in a choice: its delta, or its message where it has no delta."""
    part = choice.get("delta") or choice.get("message")
    return part if isinstance(part, dict) else {}


def text_in(content: object) -> str:
    """The text of a message's or delta's `content`: a string, or the text parts of a list (Mistral)."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    texts = (part.get("text") for part in parts if isinstance(part, dict) and part.get("type", "text") == "text")
    return "".join(text for text in texts if isinstance(text, str))


def looks_like_a_chunk(payload: bytes) -> bool:
    """Whether it has choices in it, as far as can be seen without parsing it."""
    return b'"choices"' in payload and not _NO_CHOICE.search(payload)


def is_usage_only(payload: bytes) -> bool:
    """Whether it is the chunk that `include_usage` adds: usage, and no choice."""
    if b'"usage"' not in payload or looks_like_a_chunk(payload):
        return False
    value = parsed(payload)
    return isinstance(value, dict) and isinstance(value.get("usage"), dict) and not value.get("choices")


def speaks(payload: bytes) -> bool:
    """Whether a chunk has more than a role in it: text, a thought, a call, or an end."""
    return any(_says(choice) for choice in choices_of(parsed(payload)))


def _says(choice: dict[str, Any]) -> bool:
    said = any(value for name, value in part_of(choice).items() if name != "role")
    return said or any(choice.get(name) for name in _BESIDE_DELTA)
