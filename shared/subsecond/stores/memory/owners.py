"""The owners of upstreams' objects, in this process: the latest ones, for as long as an upstream keeps an object."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from subsecond.config import Settings
from subsecond.ports import OWNED

MOST = 100_000


class MemoryOwners:
    """`clock`: epoch seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._owned: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()

    async def add(self, partition: str, names: Sequence[str], place: str) -> None:
        until = self._clock() + OWNED
        self._owned.update({(partition, name): (place, until) for name in names})
        while len(self._owned) > MOST:
            self._owned.popitem(last=False)

    async def places(self, partition: str, names: Sequence[str]) -> Mapping[str, str]:
        now = self._clock()
        found = {name: owned for name in names if (owned := self._owned.get((partition, name)))}
        return {name: place for name, (place, until) in found.items() if until > now}

    async def drop(self, partition: str, name: str) -> None:
        self._owned.pop((partition, name), None)


def build(_settings: Settings) -> MemoryOwners:
    return MemoryOwners()
