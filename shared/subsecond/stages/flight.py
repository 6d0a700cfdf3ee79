"""Who asks what is being asked already joins that call: in this process live, across environments by the stored answer.

A flight's work is all that comes after the exact miss, done once for all who join. Its events pass through unchanged,
so a joined stream begins with its first chunk. When it fails, whoever has given nothing to a client yet may lead the
next one: one at a time, because the others join that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic

from subsecond.cache.cacheability import may_coalesce
from subsecond.cache.invalidation import Rules
from subsecond.config import Settings
from subsecond.errors import SubsecondError
from subsecond.model import Call, Done, Event, Head, Prompt, Tenant
from subsecond.ports import Leases
from subsecond.single_flight.in_process import Flight, Flights
from subsecond.single_flight.lease import Alone, Claim, Look, Terms, Turn
from subsecond.stages.exact import usage_of
from subsecond.stats.trace import Step, Trace

Events = AsyncGenerator[Event]
Work = Callable[[Call, Turn], Events]


@dataclass(frozen=True, slots=True)
class Sharing:
    """The stage's parts. leases: None where everybody asks for themselves. patience: seconds within which a first token
    is due. A request that has waited longer gets the failure of the call that it had joined."""

    flights: Flights
    leases: Leases | None
    rules: Rules
    terms: Terms
    patience: float

    @classmethod
    def of(cls, leases: Leases | None, rules: Rules, settings: Settings) -> Sharing:
        flights = Flights(drain=settings.drain)
        return cls(flights, leases, rules, Terms.of(settings), settings.first_token_timeout)

    def share(self, tenant: Tenant, call: Call, prompt: Prompt, trace: Trace, look: Look, work: Work) -> Events:
        """The events of the call in flight, or of `work`, which then is the flight. `look`: into the exact store."""
        if self.leases is None or not may_coalesce(call):
            return work(call, Alone())
        claim = partial(Claim, self.leases, self.terms, (tenant.partition, prompt.key), look, trace)
        # Each watcher has its own deadline; the leader's shall not end the call for the others.
        endless = replace(call, deadline=None) if call.deadline is not None else call
        return self._fly(self._what(tenant, call, prompt), call.deadline, trace, lambda: work(endless, claim()))

    async def _fly(self, what: Hashable, deadline: float | None, trace: Trace, start: Callable[[], Events]) -> Events:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        until = None if deadline is None else begun + deadline - monotonic()
        while True:
            flight = self.flights.find(what)
            leads = flight is None
            flight = flight or self.flights.start(what, trace, start())
            given = False
            try:
                async with aclosing(_watch(flight, until, trace, leads=leads)) as events:
                    async for event in events:
                        given = True
                        yield event
            except SubsecondError as error:
                chance = error is flight.error and not _is_answer(error) and loop.time() - begun < self.patience
                if leads or given or not chance:
                    raise
            else:
                return

    def _what(self, tenant: Tenant, call: Call, prompt: Prompt) -> Hashable:
        """Whose answers are interchangeable, whatever the work finds: a similar question's answer included, and nothing
        that was begun before an invalidation. Those who differ in their rules alone meet at the lease."""
        invalid = _invalid_until(self.rules, tenant.partition, call, prompt)
        return tenant.partition, prompt.key, prompt.scope, call.compared, call.rules, invalid


def _invalid_until(rules: Rules, partition: str, call: Call, prompt: Prompt) -> float:
    """Until when what answers this call is invalid, as far as this environment knows. Which model's name the answer
    will have (a dated one of the asked, a routed one) nobody knows before it is there: any model's rule counts."""
    places = [("namespace", ""), ("scope", prompt.scope), ("entry", prompt.key)]
    places += [("tag", tag) for tag in call.rules.tags]
    return max(rules.models(partition), *(rules.date(partition, *place) for place in places))


def _is_answer(error: SubsecondError) -> bool:
    """Whether it says something of the request, or of how busy we are: asking the same again gets the same."""
    return 400 <= error.status < 500  # noqa: PLR2004


async def _watch(flight: Flight, until: float | None, trace: Trace, *, leads: bool) -> Events:
    """The flight's events; for those who joined it, what their trace must say of them."""
    async with aclosing(flight.watch(until, stay=leads)) as events:
        if leads:
            try:
                async for event in events:
                    yield event
            finally:
                # The leader's trace is recorded now: what the call comes to cost later is not in it.
                flight.unpaid = trace.usage is None
            return
        with trace.step(Step.FLIGHT):
            head = await anext(events)
        assert isinstance(head, Head)
        _note(head, flight.trace, trace)
        yield head
        async for event in events:
            yield event
            if isinstance(event, Done):
                trace.usage = usage_of(event.answer)
                # One answer that was paid for and had by one client alone saves nobody anything.
                trace.paid, flight.unpaid = flight.unpaid and head.source == "upstream", False


def _note(head: Head, leader: Trace, trace: Trace) -> None:
    trace.cacheable = True
    trace.first_byte()
    trace.source = "coalesced" if head.source == "upstream" else head.source
    trace.entry, trace.served = leader.entry, leader.served or leader.model
    trace.neighbour, trace.similarity, trace.verdicts = leader.neighbour, leader.similarity, leader.verdicts
