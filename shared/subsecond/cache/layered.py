"""Memory before DynamoDB: what this environment has seen costs no read."""

from __future__ import annotations

from subsecond.cache import dynamodb, memory
from subsecond.config import Settings
from subsecond.model import Entry
from subsecond.ports import ExactStore


class LayeredStore:
    def __init__(self, near: ExactStore, far: ExactStore) -> None:
        self._near = near
        self._far = far

    async def get(self, partition: str, key: str) -> Entry | None:
        if entry := await self._near.get(partition, key):
            return entry
        entry = await self._far.get(partition, key)
        if entry:
            await self._near.put(entry)
        return entry

    async def put(self, entry: Entry) -> float | None:
        await self._near.put(entry)
        return await self._far.put(entry)


def build(settings: Settings) -> LayeredStore:
    return LayeredStore(memory.build(settings), dynamodb.build(settings))
