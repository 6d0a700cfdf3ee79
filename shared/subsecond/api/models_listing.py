"""A list of models in OpenAI's shape and in Anthropic's. What is in the wanted one already is left as it is.

https://platform.openai.com/docs/api-reference/models/list, https://docs.claude.com/en/api/models-list
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def in_dialect(listing: object, *, messages: bool) -> dict[str, Any] | None:
    """The list in Anthropic's shape (`messages`) or OpenAI's; None where it is in that shape, or is no list."""
    data = listing.get("data") if isinstance(listing, Mapping) else None
    if not isinstance(data, list):
        return None
    mark = "type" if messages else "object"
    named = [one for one in data if isinstance(one, dict) and isinstance(one.get("id"), str)]
    if all(one.get(mark) == "model" for one in named):
        return None if named or not messages else _anthropics([])
    return _anthropics(named) if messages else {"object": "list", "data": [_openais(one) for one in named]}


def _anthropics(named: list[dict[str, Any]]) -> dict[str, Any]:
    data = [
        {
            "type": "model",
            "id": one["id"],
            "display_name": one.get("display_name") or one["id"],
            "created_at": one.get("created_at") or _date(one.get("created")),
        }
        for one in named
    ]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"data": data, "has_more": False, "first_id": first, "last_id": last}


def _openais(one: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": one["id"], "object": "model", "created": _seconds(one.get("created_at")), "owned_by": "anthropic"}


def _date(seconds: object) -> str:
    """RFC 3339. What is no time in the years that it can write is the beginning of the epoch."""
    try:
        found = datetime.fromtimestamp(seconds if isinstance(seconds, int | float) else 0, tz=UTC)
    except (OverflowError, OSError, ValueError):
        found = datetime.fromtimestamp(0, tz=UTC)
    return found.strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(date: object) -> int:
    try:
        return int(datetime.fromisoformat(date).timestamp()) if isinstance(date, str) else 0
    except (OverflowError, ValueError):
        return 0
