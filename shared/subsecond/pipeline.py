"""The life of a request, top to bottom.

    authenticate -> prepare -> exact -> flight -> embed -> semantic -> route -> optimise -> upstream -> store -> record

What the upstream says reaches the client as it was said. The first event is a Head, so whatever fails before it has a
proper status. The writes come after Done, before the generator ends, because Lambda freezes what would run later.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from subsecond.aio.fail_open import fail_open
from subsecond.aio.lazy import Lazy
from subsecond.cache.invalidation import Rules
from subsecond.cache.key import KeyPolicy
from subsecond.config import Settings
from subsecond.errors import NotCached
from subsecond.model import Call, Done, Entry, Request, Tenant
from subsecond.ports import ExactStore, HitLog, Keys, Ledger
from subsecond.single_flight.lease import LeaderRole
from subsecond.stages.authenticate import authenticate
from subsecond.stages.exact import entry_of, keep, look_up, served
from subsecond.stages.flight import Events, Sharing
from subsecond.stages.record import note
from subsecond.stages.upstream import Models
from subsecond.stats.trace import Step, Trace

if TYPE_CHECKING:
    from subsecond.semantic.index.vectors import Vector  # it loads numpy, which a hit does not need
    from subsecond.stages.embeddings import Embeddings
    from subsecond.stages.semantic import Nearest, SemanticCache


@dataclass(frozen=True, slots=True)
class Gateway:
    """One environment's gateway: the adapters that `bootstrap` chose. semantic: None where that cache is off."""

    settings: Settings
    keys: Keys
    exact: ExactStore
    models: Models
    embeddings: Embeddings
    ledger: Ledger
    rules: Rules
    hits: HitLog
    sharing: Sharing
    keying: KeyPolicy
    semantic: Lazy[SemanticCache] | None = None

    async def authenticate(self, token: str | None, trace: Trace) -> Tenant:
        return await authenticate(self.keys, token, trace)

    async def complete(self, tenant: Tenant, call: Call, trace: Trace) -> Events:
        """Head, then Chunks, then Done; after a hit's Head, Done alone. Raises SubsecondError. To be closed."""
        trace.model, trace.operation = call.model, call.endpoint
        try:
            with trace.step(Step.PREPARE):
                self.models.know(call.model)
                request = Request(tenant, call, self.keying.prepare(call, tenant), trace)
            look = partial(look_up, self.exact, self.rules, self.settings, request)
            if self.semantic and self.semantic.made:
                self.semantic.made.begin(tenant)
            with trace.step(Step.EXACT):
                entry = await look()
            hit = served("exact", entry, trace) if entry else None
            async with aclosing(hit or self.sharing.share(request, look, partial(self._lead, request))) as events:
                async for event in events:
                    yield event
            await note(self.hits, self.exact, request, self.settings.store_timeout)
        except BaseException as error:
            trace.fail(error)
            raise
        finally:
            await self.record(trace)

    async def _lead(self, request: Request, call: Call, turn: LeaderRole) -> Events:
        """Everything after an exact miss; runs once for all who ask the same at the same time."""
        trace = request.trace
        async with turn:
            similar, vector = await self._near(request)
            if call.rules.only_if_cached and not similar:
                raise NotCached("Nothing is cached for this request, and `only-if-cached` forbids asking the model.")
            stored = similar or await turn.wait()
            hit = served("semantic" if similar else "coalesced", stored, trace) if stored else None
            async with aclosing(hit or self.models.ask(request, call)) as events:
                async for event in events:
                    yield event
            if stored is None and isinstance(event, Done):
                entry = entry_of(self.settings, request, event.recording)
                turn.stored = await self._store(entry, vector, trace)

    async def _near(self, request: Request) -> Nearest:
        trace = request.trace
        if not self.semantic or not self.models.semantic_budget.allows(request.call.deadline, trace):
            return None, None
        with trace.step(Step.EMBED):
            semantic = await fail_open(trace, "embed", self.semantic.get(), self.settings.loading_timeout)
            vector = await semantic.vector(request.call, request.prompt, trace) if semantic else None
        with trace.step(Step.SEMANTIC):
            return await semantic.find(self.exact, request, vector) if semantic else None, vector

    async def _store(self, entry: Entry | None, vector: Vector | None, trace: Trace) -> bool:
        semantic = self.semantic and self.semantic.made
        entry = semantic.with_vector(entry, vector) if entry and semantic else entry
        with trace.step(Step.STORE):
            stored = entry and await keep(self.exact, self.settings, entry, trace)
        if entry and stored and semantic:
            semantic.learn(entry, vector)
        return bool(stored)

    async def record(self, trace: Trace) -> None:
        """On every exit. The merge into the shared table comes after the last byte, every few seconds at the most."""
        trace.finish()
        self.ledger.record(trace)
        await fail_open(trace, "flush", self.ledger.flush(), self.settings.store_timeout)
        await fail_open(trace, "health", self.models.learn(trace), self.settings.store_timeout)
