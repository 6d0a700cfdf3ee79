"""Who asks what is being asked already joins that call: in this process live, across environments by the stored answer.

A flight's work is all that comes after the exact miss, done once for all who join. Its events pass through unchanged,
so a joined stream begins with its first chunk. When it fails, whoever has given nothing to a client yet may lead the
next one: one at a time, because the others join that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Hashable
from contextlib import aclosing
from dataclasses import dataclass, replace
from hashlib import sha256
from time import monotonic
from types import TracebackType
from typing import Self

from subsecond.cache.cacheability import may_coalesce
from subsecond.cache.canonical import canonical
from subsecond.cache.end_user import tags_of
from subsecond.cache.fields_left_out import PARTS_FLIGHTS
from subsecond.cache.forms import converted
from subsecond.cache.invalidation import Rules
from subsecond.config import Settings
from subsecond.dialects.lookup import dialect_of
from subsecond.errors import SubsecondError
from subsecond.model import Call, Chunk, Done, Endpoint, Entry, Event, Head, Request
from subsecond.ports import ExactStore, Leases
from subsecond.single_flight.in_process import Flight, Flights, Watcher
from subsecond.single_flight.lease import LeaderRole, LeaseClaim, LeaseTerms
from subsecond.stages.exact import look_up
from subsecond.stats.trace import Step, Trace

Events = AsyncGenerator[Event]


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

    def seat(self, request: Request) -> Seat | None:
        """The request's part in the flights of its question; None where it asks for itself."""
        if self.leases is None or not may_coalesce(request.call):
            return None
        return Seat(self, request, self.leases)


class Seat:
    """One request's part in the flights of its question: it joins one or leads one, until it is served. Each flight is
    watched to its end, or to where the request can do better: it leads the next one where that failed before it gave
    anything, and asks for itself where a stream does not convert. To be left, as a context."""

    def __init__(self, sharing: Sharing, request: Request, leases: Leases) -> None:
        call = request.call
        self.served = False
        # Each watcher has its own deadline; the leader's shall not end the call for the others.
        self.call = replace(call, deadline=None) if call.deadline is not None else call
        self._sharing = sharing
        self._request = request
        self._leases = leases
        self._time = asyncio.get_running_loop().time
        self._begun = self._time()
        self._until = None if call.deadline is None else self._begun + call.deadline - monotonic()
        self._what = _what(sharing.rules, request)
        self._streams = call.form == "whole"
        self._given = False
        self._watch: Led | Joined | AsWhole | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._leave()

    def lease(self) -> LeaseClaim:
        """What a leader claims across environments."""
        place = self._request.tenant.partition, f"{self._request.prompt.key}.{self.call.form}{_tier(self.call)}"
        return LeaseClaim(self._leases, self._sharing.terms, place, self._request.trace)

    def join(self) -> bool:
        """Whether somebody asks this here already; then that call's events come next.

        The form belongs to the flight: a stream joins a stream. A whole request may join one too, and asks for itself
        at the first event that a whole reply cannot hold. A stream never joins a whole call: its first token would come
        last."""
        flights, call = self._sharing.flights, self.call
        own = flights.find((*self._what, call.form))
        flight = own or (flights.find((*self._what, "stream")) if self._streams else None)
        if flight is None:
            return False
        joined = Joined(flight, flight.watch(self._until, stay=False), self._request.trace)
        self._watch = joined if own else AsWhole(joined, call.endpoint)
        return True

    def lead(self, events: Events) -> None:
        """Let these be the events of the flight that others join."""
        flight = self._sharing.flights.start((*self._what, self.call.form), self._request.trace, events)
        self._watch = Led(flight, flight.watch(self._until, stay=True), self._request.trace)

    async def next(self) -> Event | None:
        """The next event; None where this flight has no more: the request is served, or may join or lead another."""
        assert self._watch
        try:
            event = await self._watch.next()
        except DoesNotConvert:
            self._streams = False
        except SubsecondError as error:
            if not self._has_another_chance(error):
                raise
        else:
            self._given, self.served = True, event is None
            return event
        await self._leave()
        return None

    def _has_another_chance(self, error: SubsecondError) -> bool:
        """A failure before the first event is the chance of those who had joined, for as long as a first token may
        take. An error that says something of the request, or of how busy we are, is everybody's answer."""
        watch = self._watch
        if self._given or watch is None or isinstance(watch, Led) or error is not watch.flight.error:
            return False
        return error.status not in range(400, 500) and self._time() - self._begun < self._sharing.patience

    async def _leave(self) -> None:
        watch, self._watch = self._watch, None
        if watch:
            await watch.leave()


@dataclass(frozen=True, slots=True)
class Led:
    """The events of a flight for the request that began it."""

    flight: Flight
    watcher: Watcher
    trace: Trace

    def next(self) -> Awaitable[Event | None]:
        return self.watcher.next()

    async def leave(self) -> None:
        # The leader's trace is recorded now: what the call comes to cost later is not in it.
        self.flight.unpaid = self.trace.usage is None
        await self.watcher.leave()


@dataclass(slots=True)
class Joined:
    """The events of a flight that another leads, and what the trace of who joined it must say of them."""

    flight: Flight
    watcher: Watcher
    trace: Trace
    head: Head | None = None

    async def next(self) -> Event | None:
        if self.head is None:
            with self.trace.step(Step.FLIGHT):
                event = await self.watcher.next()
            assert isinstance(event, Head)
            self.head = event
            _note(event, self.flight.trace, self.trace)
            return event
        event = await self.watcher.next()
        if isinstance(event, Done):
            self.trace.usage = event.recording.usage
            # One answer that was paid for and had by one client alone saves nobody anything.
            self.trace.paid, self.flight.unpaid = self.flight.unpaid and self.head.source == "upstream", False
        return event

    async def leave(self) -> None:
        await self.watcher.leave()


class DoesNotConvert(Exception):
    """What the stream has said cannot stand in a whole reply."""


@dataclass(slots=True)
class AsWhole:
    """A joined stream's events as those of a whole answer: nothing is given before its end."""

    joined: Joined
    endpoint: Endpoint
    done: Done | None = None

    @property
    def flight(self) -> Flight:
        return self.joined.flight

    async def next(self) -> Event | None:
        """Head, then Done, then None. Raises DoesNotConvert."""
        if done := self.done:
            self.done = None
            return done
        dialect = dialect_of(self.endpoint)
        while event := await self.joined.next():
            if isinstance(event, Chunk) and not event.comment and not dialect.converts(event.data):
                raise DoesNotConvert
            if isinstance(event, Done):
                told = event.recording
                recording = told if told.form == "whole" else converted(self.endpoint, told)
                if recording is None:
                    raise DoesNotConvert
                self.done = Done(recording)
                return self.joined.head
        return None

    async def leave(self) -> None:
        await self.joined.leave()


async def await_turn(
    lease: LeaderRole, store: ExactStore, rules: Rules, settings: Settings, request: Request
) -> Entry | None:
    """Until it is this request's turn to ask the model (None), or another environment's answer is there."""
    async with aclosing(lease.looks()) as looks:
        async for fresh in looks:
            if entry := await look_up(store, rules, settings, request, fresh=fresh):
                return entry
    return None


def _what(rules: Rules, request: Request) -> tuple[Hashable, ...]:
    """Whose answers are interchangeable, whatever the work finds: a similar question's answer included, and nothing
    that was begun before an invalidation. Those who differ in their rules alone meet at the lease."""
    call, prompt, partition = request.call, request.prompt, request.tenant.partition
    invalid = _invalid_until(rules, request)
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


def _note(head: Head, leader: Trace, trace: Trace) -> None:
    trace.first_byte()
    trace.source = "coalesced" if head.source == "upstream" else head.source
    trace.entry, trace.served = leader.entry, leader.served or leader.model
    trace.counted = leader.counted or leader.model
    trace.neighbour, trace.similarity, trace.verdicts = leader.neighbour, leader.similarity, leader.verdicts
