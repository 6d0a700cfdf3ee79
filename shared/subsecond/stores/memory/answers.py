"""Answers in this process: least recently used go first, bounded in bytes."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace

from subsecond.config import Settings
from subsecond.model import Entry


class MemoryStore:
    """`limit` in bytes. The clock gives epoch seconds, like an entry's `expires`."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.time) -> None:
        self._limit = limit
        self._clock = clock
        self._entries: OrderedDict[tuple[str, str], Entry] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, partition: str, key: str) -> Entry | None:
        place = (partition, key)
        entry = self._entries.get(place)
        if entry is None:
            return None
        if entry.expires <= self._clock():
            self._drop(place)
            return None
        self._entries.move_to_end(place)
        return entry

    async def put(self, entry: Entry) -> float | None:
        place = (entry.partition, entry.prompt.key)
        old = self._entries.get(place)
        if old is not None and old.created > entry.created:
            return None
        if old is not None:
            self._drop(place)
            entry = replace(entry, false_hits=entry.false_hits | old.false_hits)
        if _size(entry) > self._limit:
            return None
        self._keep(entry)
        return old.expires if old is not None and old.expires > self._clock() else 0.0

    async def fresh(self, partition: str, key: str) -> Entry | None:
        return await self.get(partition, key)

    async def report(self, partition: str, key: str, digest: str, *, wrong: bool) -> None:
        entry = await self.get(partition, key)
        if entry is None:
            return
        false_hits = entry.false_hits | {digest} if wrong else entry.false_hits - {digest}
        self._drop((partition, key))
        self._keep(replace(entry, false_hits=false_hits))

    async def touch(self, partition: str, key: str) -> None:
        await self.get(partition, key)

    async def drop(self, partition: str, key: str, before: float) -> bool:
        entry = self._entries.get((partition, key))
        if entry is None or entry.created > before or entry.false_hits:
            return False
        self._drop((partition, key))
        return True

    def in_memory(self, partition: str) -> Sequence[Entry]:
        now = self._clock()
        return [entry for (of, _), entry in self._entries.items() if of == partition and entry.expires > now]

    def _keep(self, entry: Entry) -> None:
        self._entries[entry.partition, entry.prompt.key] = entry
        self.bytes += _size(entry)
        while self.bytes > self._limit:
            self._drop(next(iter(self._entries)))

    def _drop(self, place: tuple[str, str]) -> None:
        self.bytes -= _size(self._entries.pop(place))


def _size(entry: Entry) -> int:
    return entry.answer.size + 4 * len(entry.prompt.text) + len(entry.vector) + 100 * len(entry.false_hits)


def build(settings: Settings) -> MemoryStore:
    return MemoryStore(settings.memory_bytes)
