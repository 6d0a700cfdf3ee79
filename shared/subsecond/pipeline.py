"""The life of a request, top to bottom.

    authenticate -> prepare -> exact -> flight -> embed -> semantic -> route -> optimise -> upstream -> store -> record

What the upstream says reaches the client as it was said. The first event is a Head, so whatever fails before it has a
proper status. The writes come after Done, before the generator ends, because Lambda freezes what would run later.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from subsecond.aio.lazy import Lazy
from subsecond.cache.invalidation import Rules
from subsecond.cache.key import KeyPolicy
from subsecond.config import Settings
from subsecond.errors import NotCached
from subsecond.model import Call, Done, Entry, Head, Request, Tenant
from subsecond.ports import CheckLog, ExactStore, HitLog, Keys, Ledger
from subsecond.single_flight.lease import LeaderRole, NoLease
from subsecond.stages.authenticate import Claim, authenticate
from subsecond.stages.embed import embed
from subsecond.stages.exact import look_up, served
from subsecond.stages.flight import Events, Seat, Sharing, await_turn
from subsecond.stages.optimise import Optimising
from subsecond.stages.prepare import prepare
from subsecond.stages.record import note, record
from subsecond.stages.store import store
from subsecond.stages.upstream import Models
from subsecond.stats.trace import Step, Trace

if TYPE_CHECKING:
    from subsecond.semantic.index.vectors import Vector  # it loads numpy, which a hit does not need
    from subsecond.stages.embeddings import Embeddings
    from subsecond.stages.route import Routed
    from subsecond.stages.semantic import SemanticCache


@dataclass(frozen=True, slots=True)
class Gateway:
    """One environment's gateway: what `bootstrap` chose. semantic, checks: None where these are off."""

    settings: Settings
    keys: Keys
    exact: ExactStore
    models: Models
    optimising: Optimising
    embeddings: Embeddings
    ledger: Ledger
    rules: Rules
    hits: HitLog
    sharing: Sharing
    keying: KeyPolicy
    semantic: Lazy[SemanticCache] | None = None
    checks: CheckLog | None = None

    async def authenticate(self, token: str | None, trace: Trace) -> Tenant:
        return await authenticate(self.keys, token, trace)

    async def complete(self, tenant: Tenant, call: Call, trace: Trace, claim: Claim | None = None) -> Events:
        """Head, then Chunks, then Done; after a hit's Head, Done alone. Raises SubsecondError. To be closed."""
        try:
            request = prepare(self.models, self.keying, tenant, call, trace)
            with trace.step(Step.EXACT):
                entry = await look_up(self.exact, self.rules, self.settings, request)
            if claim:
                await claim.confirmed(trace)
            if entry:
                answer = served("exact", entry, trace)
            elif seat := self.sharing.seat(request):
                answer = self._shared(request, seat)
            else:
                answer = self._led(request, call, NoLease())
            async with aclosing(answer) as events:
                async for event in events:
                    yield event
            await note(self.hits, self.exact, self.checks, self.keying, request, self.settings.store_timeout)
        except BaseException as error:
            trace.fail(error)
            raise
        finally:
            await self.record(trace)

    async def _shared(self, request: Request, seat: Seat) -> Events:
        """The events of the flight that the request joins, or leads."""
        async with seat:
            while not seat.served:
                if not seat.join():
                    seat.lead(self._led(request, seat.call, seat.lease()))
                while event := await seat.next():
                    yield event

    async def _led(self, request: Request, call: Call, lease: LeaderRole) -> Events:
        """Everything after an exact miss, once for all who ask the same at a time: `call` then has no deadline."""
        async with lease:
            similar, vector = await self._near(request)
            if call.rules.only_if_cached and not similar:
                raise NotCached("Nothing is cached for this request, and `only-if-cached` forbids asking the model.")
            stored = similar or await await_turn(lease, self.exact, self.rules, self.settings, request)
            hit = served("semantic" if similar else "coalesced", stored, request.trace) if stored else None
            async with aclosing(hit or await self._asked(request, call)) as events:
                async for event in events:
                    yield event
                    if self.semantic and not hit and not isinstance(event, Head):
                        self.semantic.begin()
            if stored is None and isinstance(event, Done):
                self.optimising.learn(call, request.trace)
                lease.stored = await store(self.exact, self.settings, request, event.recording, self.semantic, vector)

    async def _near(self, request: Request) -> tuple[Entry | None, Vector | None]:
        """The entry of a similar question that may answer, and this question's vector."""
        if not self.semantic or not self.models.semantic_budget.allows(request.call.deadline, request.trace):
            return None, None
        vector = await embed(self.semantic, request, self.settings.loading_timeout)
        semantic = self.semantic.made
        with request.trace.step(Step.SEMANTIC):
            return await semantic.find(self.exact, request, vector) if semantic else None, vector

    async def _asked(self, request: Request, call: Call) -> Events:
        routed: Routed | None = self.models.routed
        chosen = routed.choose(request, call) if routed else None
        # Of several models each has a window and a template of its own: a prompt is optimised when its turn comes.
        sent = call if chosen else await self.optimising.trimmed(call, request.trace)
        return self.models.ask_chosen(chosen, self.optimising) if chosen else self.models.ask(request, sent)

    async def record(self, trace: Trace) -> None:
        """On every exit."""
        await record(self.ledger, self.models, trace, self.settings.store_timeout)
