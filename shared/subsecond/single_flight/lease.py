"""Across environments: who asks the model, and who waits for its answer to be stored.

asked ---> taken: we lead. Ask the model, renewing the lease; store; release.
  |------> held: we follow. Look for the stored answer, in growing gaps, until
  |          it is there                                     -> it is ours too
  |          the lease is free, released or run out          -> look once more, then ask for the lease again
  |          the leader's answer could not be stored         -> ask the model alone
  |          the leases cannot be read                       -> ask the model alone
  '------> no answer from the leases: ask the model as if we led.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from subsecond.aio.fail_open import fail_open
from subsecond.config import Settings
from subsecond.errors import UpstreamTimeout
from subsecond.ports import Acquired, Leases
from subsecond.stats.trace import Step, Trace

# Renewals in a lease's time: two may fail before it is lost.
BEATS = 3
# Seconds that two environments' clocks may be apart.
SKEW = 1.0


class LeaderRole(Protocol):
    """A request's part in a flight: entered before other work begins, left when all is written."""

    # Whether our answer was stored; None as long as there is none. To be set before leaving.
    stored: bool | None

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...

    def looks(self) -> AsyncGenerator[bool]:
        """Waits, and gives each moment at which the answer of another may be in the exact store: whether what all
        environments have written must be seen then. It ends when it is our turn to ask the model. To be closed."""


@dataclass(slots=True)
class NoLease:
    """The part of a request that shares with nobody."""

    stored: bool | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        pass

    async def looks(self) -> AsyncGenerator[bool]:
        return
        yield


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """Seconds: a lease's time; the box of each call to the leases; the first and the longest gap between two looks; how
    long a follower waits in all."""

    seconds: float
    box: float
    first_gap: float
    longest_gap: float
    patience: float

    @classmethod
    def of(cls, settings: Settings) -> LeaseTerms:
        gaps = settings.poll_gap, settings.longest_poll_gap
        return cls(settings.lease_seconds, settings.lease_timeout, *gaps, settings.total_timeout)

    def gaps(self) -> Iterator[float]:
        """Doubled from the first to the longest one, each up to a quarter shorter, so that followers spread."""
        gap = self.first_gap
        while True:
            yield gap * random.uniform(0.75, 1)
            gap = min(2 * gap, self.longest_gap)


class LeaseClaim:
    """A claim to the lease of `place`, which is partition and key."""

    def __init__(
        self,
        leases: Leases,
        terms: LeaseTerms,
        place: tuple[str, str],
        trace: Trace,
    ) -> None:
        self.stored: bool | None = None
        self._leases = leases
        self._terms = terms
        self._place = place
        self._trace = trace
        # The process is named for whoever looks at the table.
        self._owner = f"{os.getpid()}-{os.urandom(16).hex()}"
        self._ours = False
        self._asking: asyncio.Task[Acquired | None] | None = None
        # The timer of the next renewal, or the renewal.
        self._beating: asyncio.TimerHandle | asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Ask for the lease; the request goes on meanwhile."""
        self._now = asyncio.get_running_loop().time
        self._looked = self._begun = self._now()
        self._asking = asyncio.create_task(self._acquire())
        try:
            # The question leaves before an embedder takes the processor.
            await asyncio.sleep(0)
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._leave()

    async def _leave(self) -> None:
        if self._asking:
            # A write on its way cannot be called back: were the release to overtake it, the lease would stay.
            self._ours = _is_ours(await self._asking)
        if self._beating:
            self._beating.cancel()
        if self._ours:
            release = self._leases.release(*self._place, self._owner, alone=self.stored is False)
            await fail_open(self._trace, "lease", release, self._terms.box)

    async def looks(self) -> AsyncGenerator[bool]:
        """See LeaderRole. Raises UpstreamTimeout when it waited for as long as an answer may take."""
        with self._trace.step(Step.FLIGHT):
            acquired = await self._outcome()
            gaps = self._terms.gaps()
            while not self._ours:
                await self._pause(next(gaps))
                yield self._look(fresh=False)
                standing = await fail_open(self._trace, "lease", self._leases.look(*self._place), self._terms.box)
                if standing == "held":
                    continue
                # Stored and released since we looked, most likely.
                yield self._look(fresh=True)
                if standing != "free":
                    return
                self._asking = asyncio.create_task(self._acquire())
                acquired = await self._outcome()
            # Who holds the lease now looks once more, where another may have stored since the last look.
            if acquired and acquired.ago <= self._now() - self._looked + SKEW:
                yield self._look(fresh=True)

    async def _pause(self, gap: float) -> None:
        if self._now() - self._begun + gap > self._terms.patience:
            raise UpstreamTimeout(f"No answer of the call in flight within {self._terms.patience:g} s.")
        await asyncio.sleep(gap)

    def _look(self, *, fresh: bool) -> bool:
        self._looked = self._now()
        return fresh

    async def _acquire(self) -> Acquired | None:
        acquire = self._leases.acquire(*self._place, self._owner, self._terms.seconds)
        return await fail_open(self._trace, "lease", acquire, self._terms.box)

    async def _outcome(self) -> Acquired | None:
        """What came of asking for the lease. The question outlives who waits here: see _leave."""
        assert self._asking
        acquired = await asyncio.shield(self._asking)
        self._asking = None
        self._ours = _is_ours(acquired)
        if self._ours:
            self._hold()
        return acquired

    def _hold(self) -> None:
        """Renew the lease for as long as this environment lives and works. Most answers are there before the first
        renewal: a timer costs them less than a task that sleeps."""
        self._beating = asyncio.get_running_loop().call_later(self._terms.seconds / BEATS, self._beat)

    def _beat(self) -> None:
        self._beating = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        renewal = self._leases.renew(*self._place, self._owner, self._terms.seconds)
        if await fail_open(self._trace, "lease", renewal, self._terms.box) is False:
            # Another has taken it. Our client gets our answer all the same.
            self._trace.counts["lease_lost"] += 1
            self._ours = False
            return
        self._hold()


def _is_ours(acquired: Acquired | None) -> bool:
    """Unless somebody holds it: an acquisition that failed may have been written all the same."""
    return acquired is None or acquired.taken
