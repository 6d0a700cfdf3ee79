"""One gateway's semantic cache in memory, made of the pipeline's own parts: the stage, the reader, the stores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from subsecond.model import Entry
from subsecond.ports import Policy
from subsecond.semantic.index.reader import Reader, ReaderLimits
from subsecond.semantic.verification.verified import Bounds
from subsecond.stages.semantic import SemanticCache
from subsecond.stages.store import entry_of
from subsecond.stats.trace import Trace
from subsecond.stores.memory.answers import MemoryStore
from subsecond.stores.memory.objects import MemoryObjects
from subsecond_local.evaluate.setting import ANSWER, TENANT, Asked, Setting

if TYPE_CHECKING:
    from subsecond.ports import Objects
    from subsecond.semantic.index.vectors import Vector

# Large enough that nothing is evicted and nothing times out: a busy machine must not change the result.
MEMORY = 1 << 40
BOX = 60.0


@dataclass(frozen=True, slots=True)
class Hit:
    """key: of the entry that answered. similarity, score (the policy's): None for an exact repeat. served: False where
    it is decided and checked alone, because of a bound."""

    key: str
    similarity: float | None
    score: float | None = None
    served: bool = True


class Cache:
    """`rows`: how many own writes it keeps in its index. bounds: as the stage's. Used within one event loop."""

    def __init__(
        self, setting: Setting, policy: Policy, rows: int, objects: Objects | None = None, bounds: Bounds | None = None
    ) -> None:
        self._settings = setting.settings
        embedder = setting.embedder
        limits = ReaderLimits(memtable_rows=rows, memory=MEMORY)
        self.reader = Reader(objects or MemoryObjects(), embedder.id, embedder.dim, limits)
        self.store = MemoryStore(MEMORY)
        self.semantic = SemanticCache(embedder, self.reader, policy, BOX, bounds=bounds)

    def __len__(self) -> int:
        return len(self.store)

    async def ask(self, asked: Asked, vector: Vector | None) -> Hit | None:
        """The hit for this question: an exact repeat, else a similar one."""
        if await self.store.get(TENANT.partition, asked.prompt.key, asked.call.form):
            return Hit(asked.prompt.key, None)
        return await self.find(asked, vector, Trace())

    async def find(self, asked: Asked, vector: Vector | None, trace: Trace) -> Hit | None:
        """The semantic stage alone."""
        entry = await self.semantic.find(self.store, asked.request(trace), vector)
        if entry is None and trace.shadow:
            key = trace.shadow.prompt.key
            told = next(one for one in trace.verdicts if one["entry"] == key)
            return Hit(key, float(str(told["similarity"])), float(str(told["score"])), served=False)
        if entry is None:
            return None
        score = trace.verdicts[-1]["score"]
        assert isinstance(score, float)
        return Hit(entry.prompt.key, trace.similarity, score)

    async def keep(self, asked: Asked, vector: Vector | None) -> Entry | None:
        """Store an answer to it and index it. None where the gateway would store nothing."""
        entry = await self.put(asked, vector)
        if entry:
            self.semantic.learn(entry, vector)
        return entry

    async def put(self, asked: Asked, vector: Vector | None) -> Entry | None:
        """Store an answer to it, without the index. None as in `keep`."""
        made = entry_of(self._settings, asked.request(Trace()), ANSWER)
        entry = made and self.semantic.with_vector(made, vector)
        if entry:
            await self.store.put(entry)
        return entry

    async def forget(self, asked: Asked) -> None:
        """Drop what is stored for it, from store and index."""
        partition, key = TENANT.partition, asked.prompt.key
        entry = await self.store.get(partition, key, asked.call.form)
        if entry:
            await self.store.drop(partition, key, math.inf)
            self.reader.forget(partition, key, asked.prompt.scope, entry.created)

    async def close(self) -> None:
        await self.reader.close()
