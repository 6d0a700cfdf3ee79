"""Hits in this process: the last ones, for a day."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from subsecond.config import Settings
from subsecond.model import Hit

KEPT = 86_400
MOST = 10_000


class MemoryHits:
    """`clock`: epoch seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._hits: OrderedDict[tuple[str, str], Hit] = OrderedDict()

    async def note(self, partition: str, hit: Hit) -> None:
        self._hits[partition, hit.request_id] = hit
        if len(self._hits) > MOST:
            self._hits.popitem(last=False)

    async def find(self, partition: str, request_id: str) -> Hit | None:
        hit = self._hits.get((partition, request_id))
        return hit if hit and hit.at + KEPT > self._clock() else None


def build(_settings: Settings) -> MemoryHits:
    return MemoryHits()
