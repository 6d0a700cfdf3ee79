"""The life of a request, top to bottom.

    authenticate -> prepare -> exact -> flight -> embed -> semantic -> route -> optimise -> upstream -> store -> record

There is one path, and it streams: a whole reply is a stream that somebody joined, a hit is a stored answer replayed.
The first event is a Head, so whatever fails before it has a proper status. After Done nothing is owed to the client:
the writes come then, before the generator ends, because Lambda freezes what would run later.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from subsecond.aio.fail_open import fail_open
from subsecond.aio.lazy import Lazy
from subsecond.cache.invalidation import Rules
from subsecond.cache.key import prepare
from subsecond.config import Settings
from subsecond.errors import NotCached
from subsecond.model import Call, Done, Entry, Prompt, Tenant
from subsecond.ports import ExactStore, HitLog, Keys, Ledger
from subsecond.single_flight.lease import Turn
from subsecond.stages.authenticate import authenticate
from subsecond.stages.exact import entry_of, keep, look_up, served
from subsecond.stages.flight import Events, Sharing
from subsecond.stages.record import note
from subsecond.stages.upstream import Models
from subsecond.stats.trace import Step, Trace

if TYPE_CHECKING:
    from subsecond.semantic.index.vectors import Vector  # it loads numpy, which a hit does not need
    from subsecond.stages.semantic import Nearest, SemanticCache


@dataclass(frozen=True, slots=True)
class Gateway:
    """One environment's gateway: the adapters that `bootstrap` chose. semantic: None where that cache is off."""

    settings: Settings
    keys: Keys
    exact: ExactStore
    models: Models
    ledger: Ledger
    rules: Rules
    hits: HitLog
    sharing: Sharing
    semantic: Lazy[SemanticCache] | None = None

    async def authenticate(self, token: str | None, trace: Trace) -> Tenant:
        """Who asks, before anything is read, looked up or spent. Raises Unauthorized, Unavailable."""
        return await authenticate(self.keys, token, trace)

    async def complete(self, tenant: Tenant, call: Call, trace: Trace) -> Events:
        """Head, then Chunks, then Done; after a hit's Head, Done alone. Raises SubsecondError. To be closed."""
        trace.model, trace.operation = call.model, call.endpoint
        try:
            with trace.step(Step.PREPARE):
                self.models.know(call.model)
                prompt = prepare(call, tenant)
            look = partial(look_up, self.exact, self.rules, self.settings, call, tenant, prompt, trace)
            work = partial(self._work, tenant, prompt, call.deadline, trace)
            if self.semantic and self.semantic.made:
                self.semantic.made.begin(tenant)
            with trace.step(Step.EXACT):
                entry = await look()
            share = partial(self.sharing.share, tenant, call, prompt, trace, look, work)
            async with aclosing(served("exact", entry, trace) if entry else share()) as events:
                async for event in events:
                    yield event
            await note(self.hits, self.exact, tenant, prompt, trace, self.settings.store_timeout)
        except BaseException as error:
            trace.fail(error)
            raise
        finally:
            await self.record(trace)

    async def _work(
        self, tenant: Tenant, prompt: Prompt, within: float | None, trace: Trace, call: Call, turn: Turn
    ) -> Events:
        """What comes after the exact miss: once for all who ask the same at the same time."""
        async with turn:
            similar, vector = await self._near(tenant, call, prompt, within, trace)
            if call.rules.only_if_cached and not similar:
                raise NotCached("Nothing is cached for this request, and `only-if-cached` forbids asking the model.")
            stored = similar or await turn.wait()
            hit = served("semantic" if similar else "coalesced", stored, trace) if stored else None
            async with aclosing(hit or self.models.ask(tenant, call, within, trace)) as events:
                async for event in events:
                    yield event
            if stored is None and isinstance(event, Done):
                entry = entry_of(self.settings, call, tenant, prompt, event.answer, trace)
                turn.stored = await self._store(entry, vector, trace)

    async def _near(self, tenant: Tenant, call: Call, prompt: Prompt, within: float | None, trace: Trace) -> Nearest:
        if not self.semantic or not self.models.semantic_budget.allows(within, trace):
            return None, None
        with trace.step(Step.EMBED):
            semantic = await fail_open(trace, "embed", self.semantic.get(), self.settings.loading_timeout)
            vector = await semantic.vector(call, prompt, trace) if semantic else None
        with trace.step(Step.SEMANTIC):
            return await semantic.find(self.exact, call, tenant, prompt, vector, trace) if semantic else None, vector

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
