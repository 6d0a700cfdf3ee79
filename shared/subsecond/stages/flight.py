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
from hashlib import sha256
from time import monotonic

from subsecond.cache.cacheability import may_coalesce
from subsecond.cache.canonical import canonical
from subsecond.cache.end_user import tags_of
from subsecond.cache.forms import converted
from subsecond.cache.invalidation import Rules
from subsecond.cache.key_fields import PARTS_FLIGHTS
from subsecond.config import Settings
from subsecond.errors import SubsecondError
from subsecond.model import Call, Chunk, Done, Endpoint, Event, Form, Head, Request
from subsecond.ports import Leases
from subsecond.single_flight.in_process import Flight, Flights
from subsecond.single_flight.lease import LeaderRole, LeaseClaim, LeaseTerms, Look, NoLease
from subsecond.stats.trace import Step, Trace
from subsecond.streaming.convert import converts

Events = AsyncGenerator[Event]
Work = Callable[[Call, LeaderRole], Events]


@dataclass(frozen=True, slots=True)
class Sharing:
    """The stage's parts. leases: None where everybody asks for themselves. patience: seconds within which a first token
    is due. A request that has waited longer gets the failure of the call that it had joined."""

    flights: Flights
    leases: Leases | None
    rules: Rules
    terms: LeaseTerms
    patience: float

    @classmethod
    def of(cls, leases: Leases | None, rules: Rules, settings: Settings) -> Sharing:
        flights = Flights(drain=settings.drain)
        return cls(flights, leases, rules, LeaseTerms.of(settings), settings.first_token_timeout)

    def share(self, request: Request, look: Look, work: Work) -> Events:
        """The events of the call in flight, or of `work`, which then is the flight. `look`: into the exact store.

        The form belongs to the flight: a stream joins a stream. A whole request may join one too, and asks for itself
        at the first event that a whole reply cannot hold. A stream never joins a whole call: its first token would come
        last."""
        call = request.call
        if self.leases is None or not may_coalesce(call):
            return work(call, NoLease())
        place = request.tenant.partition, f"{request.prompt.key}.{call.form}{_tier(call)}"
        claim = partial(LeaseClaim, self.leases, self.terms, place, look, request.trace)
        # Each watcher has its own deadline; the leader's shall not end the call for the others.
        endless = replace(call, deadline=None) if call.deadline is not None else call
        return self._fly(request, lambda: work(endless, claim()))

    async def _fly(self, request: Request, start: Callable[[], Events]) -> Events:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        deadline, what = request.call.deadline, self._what(request)
        until = None if deadline is None else begun + deadline - monotonic()
        streams = request.call.form == "whole"
        while True:
            flight, streamed = self._find(what, request.call.form, streams=streams)
            leads = flight is None
            flight = flight or self.flights.start((*what, request.call.form), request.trace, start())
            watched = flight.watch(until, stay=leads)
            told = led(watched, flight, request.trace) if leads else joined(watched, flight, request.trace)
            given = False
            try:
                async with aclosing(as_whole(told, request.call.endpoint) if streamed else told) as events:
                    async for event in events:
                        given = True
                        yield event
            except DoesNotConvert:
                streams = False
            except SubsecondError as error:
                chance = error is flight.error and not _is_answer(error) and loop.time() - begun < self.patience
                if leads or given or not chance:
                    raise
            else:
                return

    def _find(self, what: tuple[Hashable, ...], form: Form, *, streams: bool) -> tuple[Flight | None, bool]:
        """The flight to join, and whether it is a stream that a whole request joins."""
        if (own := self.flights.find((*what, form))) or not streams:
            return own, False
        stream = self.flights.find((*what, "stream"))
        return stream, stream is not None

    def _what(self, request: Request) -> tuple[Hashable, ...]:
        """Whose answers are interchangeable, whatever the work finds: a similar question's answer included, and nothing
        that was begun before an invalidation. Those who differ in their rules alone meet at the lease."""
        call, prompt, partition = request.call, request.prompt, request.tenant.partition
        invalid = _invalid_until(self.rules, request)
        return partition, prompt.key, prompt.scope, call.compared, call.rules, invalid, _tier(call)


def _tier(call: Call) -> str:
    """What parts flights though it is no part of the key; empty where nothing does."""
    asked = {name: call.body[name] for name in PARTS_FLIGHTS if call.body.get(name) is not None}
    return f".{sha256(canonical(asked)).hexdigest()[:16]}" if asked else ""


def _invalid_until(rules: Rules, request: Request) -> float:
    """Until when what answers this call is invalid, as far as this environment knows. Which model's name the answer
    will have (a dated one of the asked, a routed one) nobody knows before it is there: any model's rule counts."""
    partition, prompt = request.tenant.partition, request.prompt
    places = [("namespace", ""), ("scope", prompt.scope), ("entry", prompt.key)]
    places += [("tag", tag) for tag in tags_of(request.call, request.tenant)]
    return max(rules.models(partition), *(rules.date(partition, *place) for place in places))


def _is_answer(error: SubsecondError) -> bool:
    """Whether it says something of the request, or of how busy we are: asking the same again gets the same."""
    return 400 <= error.status < 500  # noqa: PLR2004


async def led(watched: Events, flight: Flight, trace: Trace) -> Events:
    """The events of a flight for the request that began it."""
    async with aclosing(watched) as events:
        try:
            async for event in events:
                yield event
        finally:
            # The leader's trace is recorded now: what the call comes to cost later is not in it.
            flight.unpaid = trace.usage is None


async def joined(watched: Events, flight: Flight, trace: Trace) -> Events:
    """The events of a flight that another leads, and what the trace of who joined it must say of them."""
    async with aclosing(watched) as events:
        with trace.step(Step.FLIGHT):
            head = await anext(events)
        assert isinstance(head, Head)
        _note(head, flight.trace, trace)
        yield head
        async for event in events:
            yield event
            if isinstance(event, Done):
                trace.usage = event.recording.usage
                # One answer that was paid for and had by one client alone saves nobody anything.
                trace.paid, flight.unpaid = flight.unpaid and head.source == "upstream", False


class DoesNotConvert(Exception):
    """What the stream has said cannot stand in a whole reply."""


async def as_whole(told: Events, endpoint: Endpoint) -> Events:
    """A stream's events as those of a whole answer: nothing is given before its end. Raises DoesNotConvert."""
    head: Event | None = None
    async with aclosing(told) as events:
        async for event in events:
            if isinstance(event, Chunk):
                if not event.comment and not converts(endpoint, event.data):
                    raise DoesNotConvert
            elif isinstance(event, Done):
                recording = event.recording if event.recording.form == "whole" else converted(endpoint, event.recording)
                if recording is None or head is None:
                    raise DoesNotConvert
                yield head
                yield Done(recording)
            else:
                head = event


def _note(head: Head, leader: Trace, trace: Trace) -> None:
    trace.cacheable = True
    trace.first_byte()
    trace.source = "coalesced" if head.source == "upstream" else head.source
    trace.entry, trace.served = leader.entry, leader.served or leader.model
    trace.neighbour, trace.similarity, trace.verdicts = leader.neighbour, leader.similarity, leader.verdicts
