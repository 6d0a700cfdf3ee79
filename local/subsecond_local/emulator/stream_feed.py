"""A table's stream, followed and handed to a function: what Lambda's event source mapping does on AWS.

At least once and in the order of each shard. Every session begins with the oldest record: indexing twice is safe, and a
stand-in that was away may have forgotten where its readers were.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from subsecond_local.run.children import StopRequested

Record = Mapping[str, Any]
# The schedule's event: one without records.
UPKEEP: Mapping[str, Any] = {"upkeep": True}


class SourceAway(Exception):
    """The stream cannot be read now."""


class FunctionAway(Exception):
    """Nobody could be asked: no attempt."""


class FunctionFailed(Exception):
    """The function failed on the event, without saying on which record."""


@dataclass(frozen=True, slots=True)
class Shard:
    id: str
    parent: str | None = None


class Source(Protocol):
    """A stream. Records are JSON, as in a function's event. Every method raises SourceAway."""

    def shards(self) -> Sequence[Shard]:
        """All that the stream still has."""

    def oldest(self, shard: str) -> str:
        """An iterator at the shard's beginning."""

    def read(self, iterator: str, limit: int) -> tuple[Sequence[Record], str | None]:
        """What is there now, and where to go on; None when the shard has ended."""

    def stored(self) -> Iterable[Sequence[Record]]:
        """What the table holds and the stream may have forgotten, as records."""


@dataclass(frozen=True, slots=True)
class FeedLimits:
    """Times in seconds. batch: records in an event. attempts: for a record, before it is given up; with the pauses that
    is three quarters of a minute. gap, longest_gap: between two looks at a stream that has something, or had nothing
    for a while. upkeep: between two events of the schedule."""

    batch: int = 500
    attempts: int = 10
    first_pause: float = 0.25
    longest_pause: float = 10.0
    gap: float = 0.2
    longest_gap: float = 0.5
    upkeep: float = 6 * 3600.0


class Feed:
    """`run` until `rest`, which waits so many seconds, raises StopRequested.
    `invoke` raises FunctionAway, FunctionFailed.

    `say` takes a line for the log. `ticks`: monotonic seconds.
    """

    def __init__(
        self,
        source: Source,
        invoke: Callable[[Mapping[str, Any]], Any],
        rest: Callable[[float], None],
        say: Callable[[str], None],
        limits: FeedLimits = FeedLimits(),
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._invoke = invoke
        self._rest = rest
        self._say = say
        self._limits = limits
        self._ticks = ticks
        self._pause = limits.first_pause
        self._troubles: set[type[Exception]] = set()
        # Before anything was indexed nothing is to be kept up.
        self._next_upkeep = float("inf")

    def run(self) -> None:
        try:
            while True:
                self._session()
        except StopRequested:
            return

    def _session(self) -> None:
        """Follow the stream from its oldest record until it cannot be read."""
        try:
            iterators, ended = self._opened({}, set()), set[str]()
            for page in self._source.stored():
                self._deliver(page)
            gap = self._limits.gap
            while True:
                busy = False
                for shard, iterator in iterators.items():
                    records, following = self._source.read(iterator, self._limits.batch)
                    self._well(SourceAway)
                    self._deliver(records)
                    busy = busy or bool(records)
                    if following:
                        iterators[shard] = following
                    else:
                        ended.add(shard)
                if not iterators or ended & iterators.keys():
                    iterators = self._opened(iterators, ended)
                gap = self._limits.gap if busy else min(gap + 0.01, self._limits.longest_gap)
                self._rest(gap)
                self._keep_up()
        except SourceAway as error:
            self._trouble(error, "the stream cannot be read")

    def _opened(self, iterators: Mapping[str, str], ended: set[str]) -> dict[str, str]:
        """The iterators of all shards that are to be read: a shard follows its parent."""
        shards = [shard for shard in self._source.shards() if shard.id not in ended]
        waiting = {shard.id for shard in shards}
        return {
            shard.id: iterators.get(shard.id) or self._source.oldest(shard.id)
            for shard in shards
            if shard.parent not in waiting
        }

    def _deliver(self, records: Sequence[Record]) -> None:
        """Until each record is done or given up. What fails is tried again from the first failure, so that the order
        is kept; a batch that fails as a whole comes in halves, until it is one record alone that fails."""
        pending, size, attempts, pause = list(records), self._limits.batch, 0, self._limits.first_pause
        while pending:
            batch = pending[:size]
            done, why = self._done(batch)
            pending = pending[done:]
            if done:
                attempts, pause = 0, self._limits.first_pause
            if done == len(batch):
                size = min(2 * size, self._limits.batch)
                continue
            if why and len(batch) > 1:
                size = len(batch) // 2
                self._rest(self._limits.first_pause)
                continue
            attempts += 1
            if attempts == self._limits.attempts:
                self._say(f"A record is given up after {attempts} attempts: {_name(pending.pop(0))}{why}")
                attempts, pause = 0, self._limits.first_pause
            else:
                pause = self._wait(pause)

    def _done(self, batch: Sequence[Record]) -> tuple[int, str]:
        """How many records, from the first, are done; what the function failed with, when it failed as a whole."""
        while True:
            try:
                result = self._invoke({"Records": batch})
            except FunctionAway as error:
                self._trouble(error, "the function cannot be asked")
                continue
            except FunctionFailed as error:
                return 0, f" ({error})"
            self._well(FunctionAway)
            self._next_upkeep = min(self._next_upkeep, self._ticks() + self._limits.upkeep)
            return _first_failed(result, batch)

    def _keep_up(self) -> None:
        if self._ticks() < self._next_upkeep:
            return
        self._next_upkeep = self._ticks() + self._limits.upkeep
        try:
            self._invoke(UPKEEP)
        except (FunctionAway, FunctionFailed) as error:
            self._say(f"The upkeep failed: {error}")

    def _trouble(self, error: Exception, what: str) -> None:
        """Say it once, and wait."""
        if type(error) not in self._troubles:
            self._troubles.add(type(error))
            self._say(f"Indexing waits: {what} ({error}).")
        self._pause = self._wait(self._pause)

    def _well(self, kind: type[Exception]) -> None:
        self._pause = self._limits.first_pause
        if kind in self._troubles:
            self._troubles.discard(kind)
            self._say("Indexing goes on.")

    def _wait(self, pause: float) -> float:
        """Returns the next, longer pause."""
        self._rest(pause)
        return min(2 * pause, self._limits.longest_pause)


def _first_failed(result: Any, batch: Sequence[Record]) -> tuple[int, str]:
    """As Lambda reads a result: nothing is success, an unknown identifier the failure of the whole batch."""
    try:
        failed = {failure["itemIdentifier"] for failure in (result or {}).get("batchItemFailures") or ()}
        places = {record["dynamodb"]["SequenceNumber"]: at for at, record in reversed(list(enumerate(batch)))}
        return min((places[name] for name in failed), default=len(batch)), ""
    except (KeyError, TypeError, AttributeError):
        return 0, " (its result cannot be read)"


def _name(record: Record) -> str:
    return f"{record.get('eventName')} {record['dynamodb'].get('SequenceNumber')}"
