"""Compact JSON as bytes."""

from __future__ import annotations

import json
from typing import Any

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def names_twice(data: bytes) -> bool:
    """Whether an object in this JSON has two fields of one name. Servers differ in which of them counts (RFC 8259,
    section 4), so such bytes may ask another server for something else than they ask of us."""
    found = False

    def made(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        fields = dict(pairs)
        found = found or len(fields) < len(pairs)
        return fields

    json.loads(data, object_pairs_hook=made)
    return found


def dump(value: Any) -> bytes:
    """A lone surrogate, which JSON's escapes can carry but UTF-8 cannot, stays an escape."""
    try:
        return _encode(value).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()
