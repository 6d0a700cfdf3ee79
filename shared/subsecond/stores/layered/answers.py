"""Memory before DynamoDB: what this environment has seen costs no read."""

from __future__ import annotations

from collections.abc import Sequence

from subsecond.config import Settings
from subsecond.model import Entry, Form
from subsecond.ports import ExactStore
from subsecond.stores.dynamodb import answers as dynamodb
from subsecond.stores.memory import answers as memory


class LayeredStore:
    """The port `ExactStore`: `near` (memory) is asked before `far` (a table), and keeps what `far` finds."""

    def __init__(self, near: ExactStore, far: ExactStore) -> None:
        self._near = near
        self._far = far

    async def get(self, partition: str, key: str, form: Form) -> Entry | None:
        near = await self._near.get(partition, key, form)
        if near and near.recording.form == form:
            return near
        # Memory has the other form, or nothing. Another environment may have recorded this one, and did if the other
        # does not convert: then a read of some milliseconds saves a call of the model, and every one after it.
        far = await self._far.get(partition, key, form)
        if far is None:
            return near
        await self._near.put(far)
        return near if near and _is_newer(near, far) else far

    async def fresh(self, partition: str, key: str, form: Form) -> Entry | None:
        """Past this environment's memory, which another one's report or newer answer does not reach."""
        entry = await self._far.fresh(partition, key, form)
        if entry:
            await self._near.put(entry)
        return entry

    async def report(self, partition: str, key: str, digest: str, *, wrong: bool) -> None:
        # Only the table: what is read for a similar question is read there.
        await self._far.report(partition, key, digest, wrong=wrong)

    async def touch(self, partition: str, key: str) -> None:
        await self._far.touch(partition, key)

    async def drop(self, partition: str, key: str, before: float) -> bool:
        dropped = await self._far.drop(partition, key, before)
        if dropped and (entry := await self._near.get(partition, key, "whole")):
            # The table's had no reports: those that this memory still has were taken back.
            for digest in entry.false_hits:
                await self._near.report(partition, key, digest, wrong=False)
        await self._near.drop(partition, key, before)
        return dropped

    def in_memory(self, partition: str) -> Sequence[Entry]:
        return self._near.in_memory(partition)

    async def put(self, entry: Entry) -> float | None:
        await self._near.put(entry)
        return await self._far.put(entry)


def _is_newer(near: Entry, far: Entry) -> bool:
    """Whether the table's is an older one of the same form: its reads lag behind."""
    return near.recording.form == far.recording.form and near.created > far.created


def build(settings: Settings) -> LayeredStore:
    return LayeredStore(memory.build(settings), dynamodb.build(settings))
