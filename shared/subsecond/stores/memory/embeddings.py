"""Embeddings in this process: bounded in bytes, each partition's least recently used first. There is no table behind
it: to write a vector of 1,536 numbers to DynamoDB and read it again costs more than to embed a text again."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from subsecond.cache.embeddings import KeptEmbedding

# What the objects around a vector take, roughly.
OVERHEAD = 400


class EmbeddingMemory:
    """`limit` in bytes, of all partitions; the clock gives epoch seconds. Where it is full
    the partition goes back that has most of it: who embeds a library pushes out nobody else's few texts."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.time) -> None:
        self._limit = limit
        self._clock = clock
        self._partitions: dict[str, OrderedDict[bytes, KeptEmbedding]] = {}
        self._sizes: dict[str, int] = {}
        self.size = 0

    def get(self, partition: str, key: bytes) -> KeptEmbedding | None:
        mine = self._partitions.get(partition)
        kept = mine.get(key) if mine else None
        if mine is None or kept is None:
            return None
        if kept.expires <= self._clock():
            self._drop(partition, key)
            return None
        mine.move_to_end(key)
        return kept

    def put(self, partition: str, key: bytes, kept: KeptEmbedding) -> None:
        if _size(kept) > self._limit:
            return
        if key in self._partitions.get(partition, {}):
            self._drop(partition, key)
        self._partitions.setdefault(partition, OrderedDict())[key] = kept
        self._resize(partition, _size(kept))
        while self.size > self._limit:
            largest = max(self._sizes, key=self._sizes.__getitem__)
            self._drop(largest, next(iter(self._partitions[largest])))

    def _drop(self, partition: str, key: bytes) -> None:
        mine = self._partitions[partition]
        self._resize(partition, -_size(mine.pop(key)))
        if not mine:
            del self._partitions[partition], self._sizes[partition]

    def _resize(self, partition: str, by: int) -> None:
        self.size += by
        self._sizes[partition] = self._sizes.get(partition, 0) + by


def _size(kept: KeptEmbedding) -> int:
    return len(kept.embedding.value) + OVERHEAD
