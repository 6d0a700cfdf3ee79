"""Answers a question from a stored one that means the same: finds the nearest in its scope, and asks the policy.

The pipeline calls it on an exact miss, with the vector from `stages.embed`. Everything here fails open and within a
time limit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from subsecond.aio.fail_open import fail_open
from subsecond.cache.cacheability import may_compare, may_read, may_serve_others
from subsecond.cache.false_hits import objection
from subsecond.cache.invalidation import Rules, places
from subsecond.cache.normal_form import sounds_like
from subsecond.model import Call, Entry, Form, Prompt, Recording, Request, Tenant
from subsecond.ports import TOO_LONG, Embedder, ExactStore, Policy, StoredQuestion, Verdict
from subsecond.semantic.index.reader import Reader
from subsecond.semantic.index.vectors import SCALE, pack, unpack
from subsecond.stages.exact import in_form, young_enough

if TYPE_CHECKING:
    from subsecond.semantic.index.partition_index import Neighbour
    from subsecond.semantic.index.vectors import Vector
    from subsecond.semantic.verification.samples import Sample
    from subsecond.semantic.verification.sampling import Sampling
    from subsecond.semantic.verification.verified import Bounds
    from subsecond.stats.trace import Trace

# 1-tuple: `(None,)` is a missing entry. None in its place is a failed read.
Read = tuple[Entry | None]

# Candidates of one question. The nearest may be refused ("question 17" for "question 18") where the next one answers;
# each costs a read.
CANDIDATES = 3
# Neighbours searched for that many valid candidates: the index keeps invalidated entries until they expire.
PAST = 300
# Characters of questions and candidates that one request has judged, at most; the nearest candidate is always judged.
# Judging holds the event loop. The worst texts (snake-case names, letters beyond ASCII) take 11 ms for a pair of 2,000
# characters each, the longest that the guards read; prose takes 4 ms. Three pairs would take 33 ms. Little is lost:
# a text of more than 60 words with a content must be equal to answer, and an equal text is the nearest.
JUDGED_CHARS = 4_000
# Entries of a scope that are counted, at most.
COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class SemanticCache:
    """The stage's parts. timeout_s: of a refresh of the index; others are multiples of it. rules None: nothing is ever
    invalidated. tools: whether they may be attached. bounds: what was learned from checks, where the owner has set a
    bound of wrong hits. sampling: which hits are checked, None for none. shadow: nothing is served, only decided."""

    embedder: Embedder
    reader: Reader
    policy: Policy
    timeout_s: float
    rules: Rules | None = None
    tools: bool = False
    bounds: Bounds | None = None
    sampling: Sampling | None = None
    shadow: bool = False

    def begin(self, tenant: Tenant) -> None:
        """Start to load the index, where nothing of it is there yet, and to read what was learned, beside what else the
        request waits for."""
        if not self.reader.has(tenant.partition):
            self.reader.begin(tenant.partition)
        if self.bounds:
            self.bounds.begin(tenant.partition)

    def takes(self, call: Call, prompt: Prompt) -> bool:
        """Whether the request takes part in similarity."""
        return may_compare(call, prompt.text, tools=self.tools)

    async def find(self, store: ExactStore, request: Request, vector: Vector | None) -> Entry | None:
        """The nearest entry that may answer, its recording in the request's form."""
        tenant, call, prompt, trace = request.tenant, request.call, request.prompt, request.trace
        if vector is None or not may_read(call):
            return None
        if not await self._is_ready(tenant.partition, trace):
            return None
        least = max(self.policy.floor, call.rules.similarity)
        near = [
            one
            for one in await self.nearest(tenant.partition, prompt.scope, vector, alone=not call.batch)
            if one.similarity >= least and young_enough(one.created, call)
        ]
        # Side by side: a miss, before which all are judged, waits for one trip to the table and not for three.
        reads = [self._read(store, request, one) for one in near]
        chars = 0
        for neighbour, read in zip(near, await _gathered(reads), strict=True):
            entry = self._servable(read, request, neighbour)
            if entry is None:
                continue
            pair = len(prompt.text) + len(entry.prompt.text)
            if chars and chars + pair > JUDGED_CHARS:
                trace.counts["semantic_unjudged"] += 1
                continue
            chars += pair
            if not self._may_answer(entry, request, vector, neighbour):
                continue
            if told := in_form(entry, request):
                trace.neighbour, trace.similarity = neighbour.key, neighbour.similarity
                return told
            trace.sample = None  # it was not served after all
        return None

    async def _is_ready(self, partition: str, trace: Trace) -> bool:
        """The index is there as far as it can be; whether it is known what was invalidated, and what was learned of
        wrong hits."""
        if self.reader.has(partition):
            # What others have stored meanwhile is found by the next request: no answer waits for the bucket.
            self.reader.begin(partition)
        else:
            await fail_open(trace, "index", self.reader.refresh(partition), self.timeout_s)
        if self.rules and not await self.rules.ready(partition, trace):
            return False
        return self.bounds is None or await self.bounds.ready(partition, trace, self.timeout_s)

    async def nearest(self, partition: str, scope: str, vector: Vector, *, alone: bool = False) -> list[Neighbour]:
        """The nearest entries of the scope, without those that a rule for namespace, scope or entry covers. alone: not
        of a list, whose prompts share a search two turns of the loop later."""
        if alone:
            found = self.reader.search(partition, scope, vector, CANDIDATES)
        else:
            found = await self.reader.search_batched(partition, scope, vector, CANDIDATES)
        rules = self.rules
        if rules is None or not any(rules.outdated(partition, scope, one.key, one.created) for one in found):
            return found
        valid = []
        for one in self.reader.search(partition, scope, vector, PAST):
            if rules.outdated(partition, scope, one.key, one.created):
                self.reader.forget(partition, one.key, scope, one.created)
            else:
                valid.append(one)
        return valid[:CANDIDATES]

    async def _read(self, store: ExactStore, request: Request, neighbour: Neighbour) -> Read | None:
        """Past this environment's memory: what was reported elsewhere is on the table's item. It costs a consistent
        read (1 unit for each 4 KB of item) for each candidate."""
        read = _read(store, request.tenant.partition, neighbour.key, request.call.form)
        return await fail_open(request.trace, "semantic", read, 4 * self.timeout_s)

    def _servable(self, read: Read | None, request: Request, neighbour: Neighbour) -> Entry | None:
        """The entry that was read, where it is still what the index says; else the index forgets it."""
        if read is None:  # the store is away: the entry may well be there
            return None
        (entry,), prompt = read, request.prompt
        if entry is None or entry.prompt.scope != prompt.scope or self._is_covered(entry, neighbour.created):
            self.reader.forget(request.tenant.partition, neighbour.key, prompt.scope, neighbour.created)
            return None
        # The index's row is of both forms, and dated by the newer one. This one may be older, or have ended otherwise.
        if self._is_covered(entry, entry.created) or not young_enough(entry.created, request.call):
            return None
        return entry if may_serve_others(entry.recording) else None

    def _is_covered(self, entry: Entry, created: float) -> bool:
        """Whether it would be invalid, had it been created then."""
        return self.rules is not None and self.rules.covers(entry.partition, created, places(entry))

    def _may_answer(self, entry: Entry, request: Request, vector: Vector, neighbour: Neighbour) -> bool:
        """Whether the policy, and the bound where there is one, let the entry answer. The trace keeps the verdict."""
        trace = request.trace
        candidate, verdict = self.judge(request.prompt.text, entry, neighbour.similarity)
        if verdict.decision == "hit":
            if reason := self._withheld(entry, request, vector, verdict):
                verdict = Verdict("unsure", (reason, *verdict.reasons), verdict.score)
            else:
                trace.sample = self._sample(entry, request, vector, verdict, shadow=False)
        trace.verdicts.append(explained(neighbour.key, candidate, verdict))
        if TOO_LONG in verdict.reasons:
            trace.counts["semantic_too_long"] += 1
        return verdict.decision == "hit"

    def _withheld(self, entry: Entry, request: Request, vector: Vector, verdict: Verdict) -> str:
        """Why a hit of the policy is not served; empty where it is. What no hit at all is served for goes on in shadow:
        it is compared with what the model says, and checked."""
        trace = request.trace
        reason, in_shadow = ("decided in shadow, not served", True) if self.shadow else ("", False)
        if self.bounds:
            known = self.bounds.of(request.tenant.partition)
            stored = unpack(entry.vector).astype(np.float32) / np.float32(SCALE)
            reason, in_shadow = known.withheld(vector, stored, verdict.score)
            trace.retreated |= not known.accuracy.served
        if in_shadow and trace.shadow is None:
            trace.shadow = entry
            trace.counts["shadow_hits"] += 1
            trace.sample = self._sample(entry, request, vector, verdict, shadow=True)
        return reason

    def _sample(
        self, entry: Entry, request: Request, vector: Vector, verdict: Verdict, *, shadow: bool
    ) -> Sample | None:
        """The hit, where it is to be checked."""
        if self.sampling is None:
            return None
        watch = self.bounds.of(request.tenant.partition).watch if self.bounds else None
        return self.sampling.sample(request, entry, pack(vector), verdict.score, shadow=shadow, watch=watch)

    def compare(self, trace: Trace, said: Recording) -> None:
        """What the model said where `trace.shadow` would have answered."""
        assert trace.shadow is not None
        trace.counts["shadow_same"] += sounds_like(trace.shadow.recording.text) == sounds_like(said.text)
        if trace.sample:
            trace.sample = replace(trace.sample, said=said.text)

    def judge(self, asked: str, entry: Entry, similarity: float) -> tuple[StoredQuestion, Verdict]:
        """The policy's verdict; a miss where this text was reported as a false hit of the entry."""
        candidate = StoredQuestion(entry.prompt.text, similarity, max(0.0, time.time() - entry.created))
        verdict = self.policy.judge(asked, candidate)
        if reason := objection(entry, asked):
            verdict = Verdict("miss", (reason, *verdict.reasons), verdict.score)
        return candidate, verdict

    async def against(self, entry: Entry, asked: str) -> dict[str, object]:
        """The verdict on this entry for that text, whatever its rank, for `POST /v1/cache/explain`. Raises what the
        embedder raises."""
        if entry.embedder != self.embedder.id:
            return {"says": "miss", "reasons": ["it is not in the index of this embedder"]}
        if len(asked) > self.embedder.max_chars:
            return {"says": "miss", "reasons": ["the text is too long to be compared"]}
        (vector,) = await self.embedder.embed([asked])
        similarity = float(vector @ unpack(entry.vector)) / SCALE
        candidate, verdict = self.judge(asked, entry, similarity)
        if similarity < self.policy.floor:
            reason = f"similarity below {self.policy.floor:.3f}, the policy's floor"
            verdict = Verdict("miss", (reason, *verdict.reasons), verdict.score)
        return explained(entry.prompt.key, candidate, verdict)

    def held(self, partition: str, scope: str, before: float) -> int:
        """How many entries of the scope that were created until then this environment's index has; COUNTED at most."""
        anything = np.eye(1, self.embedder.dim, dtype=np.float32)[0]
        return sum(one.created <= before for one in self.reader.search(partition, scope, anything, COUNTED))

    def with_vector(self, entry: Entry, vector: Vector | None) -> Entry:
        """The entry with its vector, where similar questions may be answered with it."""
        if vector is None or not may_serve_others(entry.recording):
            return entry
        return replace(entry, vector=pack(vector), embedder=self.embedder.id)

    def learn(self, entry: Entry, vector: Vector | None) -> None:
        """Add an entry that was just stored to this environment's index, so that it is found at once."""
        if vector is not None and entry.vector:
            self.reader.add(entry.partition, entry.prompt.key, entry.prompt.scope, entry.created, entry.expires, vector)


def explained(key: str, candidate: StoredQuestion, verdict: Verdict) -> dict[str, object]:
    """A verdict as the trace holds it: never a text."""
    return {
        "entry": key,
        "similarity": round(candidate.similarity, 4),
        "says": verdict.decision,
        "reasons": list(verdict.reasons),
        "score": round(verdict.score, 4),
        "age": round(candidate.age, 1),
    }


async def _gathered(reads: list[Coroutine[None, None, Read | None]]) -> list[Read | None]:
    """The reads' results, concurrently where there are several."""
    return await asyncio.gather(*reads) if len(reads) > 1 else [await one for one in reads]


async def _read(store: ExactStore, partition: str, key: str, form: Form) -> Read:
    """What the store has, told apart from a store that could not say."""
    return (await store.fresh(partition, key, form),)
