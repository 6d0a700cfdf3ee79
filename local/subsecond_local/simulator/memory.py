"""What the simulator keeps from one request to the next: responses, and the prefixes of prompts that were there."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

# Of each, the latest.
_MOST = 1_000


@dataclass(frozen=True, slots=True)
class Kept:
    """A response. before: what was said until its own input."""

    response: dict[str, Any]
    before: tuple[Any, ...]
    input: list[Any]


class SimulatedMemory:
    """See `dialects.dialect.Memory`."""

    def __init__(self) -> None:
        self._responses: OrderedDict[str, Kept] = OrderedDict()
        self._items: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._prefixes: OrderedDict[str, None] = OrderedDict()

    def keep(self, kept: Kept) -> None:
        """The response and its items, from now on."""
        _put(self._responses, kept.response["id"], kept)
        for item in kept.response["output"]:
            _put(self._items, item["id"], item)

    def response(self, identity: str) -> Kept | None:
        return self._responses.get(identity)

    def forget(self, identity: str) -> None:
        """The response; nothing where there is none."""
        for item in self._responses.pop(identity).response["output"] if identity in self._responses else ():
            self._items.pop(item["id"], None)

    def conversation(self, identity: str) -> list[Any] | None:
        kept = self._responses.get(identity)
        return None if kept is None else [*kept.before, *kept.input, *kept.response["output"]]

    def item(self, identity: str) -> dict[str, Any] | None:
        return self._items.get(identity)

    def prefix(self, prefixes: list[str]) -> int:
        digests = [hashlib.sha256(prefix.encode("utf-8", "backslashreplace")).hexdigest() for prefix in prefixes]
        known = max((at for at, digest in enumerate(digests) if digest in self._prefixes), default=-1)
        for digest in digests:
            _put(self._prefixes, digest, None)
        return known


def _put(kept: OrderedDict[str, Any], name: str, value: Any) -> None:
    kept[name] = value
    kept.move_to_end(name)
    if len(kept) > _MOST:
        kept.popitem(last=False)
