"""The same question in other words: the nearest stored ones in the same scope, and whether one may answer.

Everything here fails open and within a time box. The embedding itself cannot be cancelled once it runs; that is what an
embedder's `max_chars` is for.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from subsecond.cacheability import may_compare, may_read, may_serve_others
from subsecond.failopen import fail_open
from subsecond.model import Call, Entry, Prompt, Tenant
from subsecond.policies import Candidate, Policy, Verdict
from subsecond.ports import Embedder, ExactStore
from subsecond.semantic.reader import Reader
from subsecond.semantic.vectors import pack
from subsecond.stages.exact import young_enough
from subsecond.stats.trace import Trace

if TYPE_CHECKING:
    from subsecond.semantic.matrix import Neighbour
    from subsecond.semantic.vectors import Vector

# The nearest may be vetoed ("question 17" for "question 18") where the next one answers; each costs a read.
CANDIDATES = 3


@dataclass(frozen=True, slots=True)
class Similar:
    """The stage's parts. `box` in seconds."""

    embedder: Embedder
    reader: Reader
    policy: Policy
    box: float

    def begin(self, tenant: Tenant) -> None:
        """Look for a newer index beside what else the request waits for."""
        self.reader.begin(tenant.partition)

    async def vector(self, call: Call, prompt: Prompt, trace: Trace) -> Vector | None:
        """Of the prompt's text; None where nothing is to be compared."""
        if not may_compare(call, prompt.text):
            return None
        if len(prompt.text) > self.embedder.max_chars:
            trace.counts["embed_too_long"] += 1
            return None
        vectors = await fail_open(trace, "embed", self.embedder.embed([prompt.text]), 10 * self.box)
        return None if vectors is None else vectors[0]

    async def find(
        self, store: ExactStore, call: Call, tenant: Tenant, prompt: Prompt, vector: Vector | None, trace: Trace
    ) -> Entry | None:
        """The nearest entry that may answer."""
        if vector is None or not may_read(call):
            return None
        await fail_open(trace, "index", self.reader.refresh(tenant.partition), self.box)
        least = max(self.policy.floor, call.rules.similarity)
        for neighbour in self.reader.search(tenant.partition, prompt.scope, vector, CANDIDATES):
            if neighbour.similarity < least or not young_enough(neighbour.created, call):
                continue
            if entry := await self._judged(store, tenant, prompt, neighbour, trace):
                trace.neighbour, trace.similarity = neighbour.key, neighbour.similarity
                return entry
        return None

    async def _judged(
        self, store: ExactStore, tenant: Tenant, prompt: Prompt, neighbour: Neighbour, trace: Trace
    ) -> Entry | None:
        read = await fail_open(trace, "semantic", _read(store, tenant.partition, neighbour.key), 4 * self.box)
        if read is None:  # the store is away: the entry may well be there
            return None
        (entry,) = read
        if entry is None or entry.prompt.scope != prompt.scope:
            self.reader.forget(tenant.partition, neighbour.key, prompt.scope, neighbour.created)
            return None
        candidate = Candidate(entry.prompt.text, neighbour.similarity, max(0.0, time.time() - entry.created))
        verdict = self.policy.judge(prompt.text, candidate)
        trace.judged.append(_explained(neighbour, candidate, verdict))
        return entry if verdict.says == "hit" else None

    def marked(self, entry: Entry, vector: Vector | None) -> Entry:
        """The entry with its vector, where similar questions may be answered with it."""
        if vector is None or not may_serve_others(entry.answer):
            return entry
        return replace(entry, vector=pack(vector), embedder=self.embedder.id)

    def learn(self, entry: Entry, vector: Vector | None) -> None:
        """What this environment has just stored it finds at once."""
        if vector is not None and entry.vector:
            self.reader.add(entry.partition, entry.prompt.key, entry.prompt.scope, entry.created, entry.expires, vector)


def _explained(neighbour: Neighbour, candidate: Candidate, verdict: Verdict) -> dict[str, object]:
    """A verdict as the trace tells it: never a text."""
    return {
        "entry": neighbour.key,
        "similarity": round(neighbour.similarity, 4),
        "says": verdict.says,
        "reasons": list(verdict.reasons),
        "score": round(verdict.score, 4),
        "age": round(candidate.age, 1),
    }


async def _read(store: ExactStore, partition: str, key: str) -> tuple[Entry | None]:
    """What the store has, told apart from a store that could not say."""
    return (await store.get(partition, key),)
