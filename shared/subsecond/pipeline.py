"""The life of a request, top to bottom.

    authenticate -> prepare -> exact -> embed -> semantic -> upstream -> store -> record

There is one path, and it streams: a whole reply is a stream that somebody joined, a hit is a stored answer replayed.
The first event is a Head, so whatever fails before it has a proper status. After Done nothing is owed to the client:
the writes come then, before the generator ends, because Lambda freezes what would run later.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from subsecond.config import Settings
from subsecond.errors import NotCached
from subsecond.failopen import fail_open
from subsecond.model import Call, Done, Entry, Event, Prompt, Source, Tenant
from subsecond.ports import ExactStore, Keys, Ledger, Upstream
from subsecond.prompts.canonical import prepare
from subsecond.stages.authenticate import authenticate
from subsecond.stages.exact import entry_of, head_of_hit, keep, look_up, usage_of
from subsecond.stages.upstream import ask
from subsecond.stats.trace import Trace

if TYPE_CHECKING:
    # numpy, which an environment without the semantic stage never loads
    from subsecond.semantic.vectors import Vector
    from subsecond.stages.semantic import Similar


@dataclass(frozen=True, slots=True)
class Gateway:
    """One environment's gateway: the adapters that `bootstrap` chose."""

    settings: Settings
    keys: Keys
    exact: ExactStore
    upstream: Upstream
    ledger: Ledger
    # None: the semantic cache is off.
    similar: Similar | None = None

    async def authenticate(self, token: str | None, trace: Trace) -> Tenant:
        """Who asks, before anything is read, looked up or spent. Raises Unauthorized, Unavailable."""
        return await authenticate(self.keys, token, trace)

    async def complete(self, tenant: Tenant, call: Call, trace: Trace) -> AsyncGenerator[Event]:
        """Head, then Chunks, then Done; after a hit's Head, Done alone. Raises SubsecondError. To be closed."""
        trace.model = call.model
        try:
            async with aclosing(self._answer(tenant, call, trace)) as events:
                async for event in events:
                    yield event
        except BaseException as error:
            trace.fail(error)
            raise
        finally:
            await self.record(trace)

    async def _answer(self, tenant: Tenant, call: Call, trace: Trace) -> AsyncGenerator[Event]:
        with trace.step("prepare"):
            prompt = prepare(call, tenant)

        source, entry, vector = await self._cached(tenant, call, prompt, trace)
        if entry:
            yield head_of_hit(source, entry, trace)
            yield Done(entry.answer)
            trace.usage = usage_of(entry.answer)
            return
        if call.rules.only_if_cached:
            raise NotCached("Nothing is cached for this request, and `only-if-cached` forbids asking the model.")

        async with aclosing(ask(self.upstream, call, trace)) as events:
            async for event in events:
                yield event
        assert isinstance(event, Done)

        await self._store(entry_of(self.settings, call, tenant, prompt, event.answer), vector, trace)

    async def _cached(
        self, tenant: Tenant, call: Call, prompt: Prompt, trace: Trace
    ) -> tuple[Source, Entry | None, Vector | None]:
        if self.similar:
            self.similar.begin(tenant)
        with trace.step("exact"):
            entry = await look_up(self.exact, self.settings, call, tenant, prompt, trace)
        if entry or not self.similar:
            return "exact", entry, None
        with trace.step("embed"):
            vector = await self.similar.vector(call, prompt, trace)
        with trace.step("semantic"):
            return "semantic", await self.similar.find(self.exact, call, tenant, prompt, vector, trace), vector

    async def _store(self, entry: Entry | None, vector: Vector | None, trace: Trace) -> None:
        if entry and self.similar:
            entry = self.similar.marked(entry, vector)
        with trace.step("store"):
            stored = entry and await keep(self.exact, self.settings, entry, trace)
        if entry and stored and self.similar:
            self.similar.learn(entry, vector)

    async def record(self, trace: Trace) -> None:
        """On every exit. The merge into the shared table comes after the last byte, every few seconds at the most."""
        trace.finish()
        self.ledger.record(trace)
        await fail_open(trace, "flush", self.ledger.flush(), self.settings.store_timeout)
