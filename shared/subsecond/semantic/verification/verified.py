"""What stands between the policy and a served hit where the owner has set a bound (`SUBSECOND_SEMANTIC=verified`).

The semantic stage asks it for each candidate that the policy would let answer. What checks teach comes in by `learn`,
or is read from where the checker has noted it (`Bounds`). Nothing here widens: it takes hits away from the policy and
never adds one.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from subsecond.aio.fail_open import fail_open
from subsecond.aio.shared_refresh import SharedRefresh
from subsecond.semantic.index.vectors import DTYPE, SCALE
from subsecond.semantic.verification.accuracy import Accuracy, Check, checked, seeded
from subsecond.semantic.verification.checks import Checks
from subsecond.semantic.verification.exclusions import Exclusions
from subsecond.semantic.verification.surge import UNPACED, Watch

if TYPE_CHECKING:
    import asyncio

    from subsecond.semantic.index.vectors import Vector
    from subsecond.semantic.verification.learned import Learned
    from subsecond.stats.trace import Trace


class Verified:
    """One for each partition. bound: the share of semantic hits that may be wrong. cut: the policy's own. dim: of the
    embedder's vectors. trial: whether a cut is tried before it serves, which takes checks. watch: of surges, which
    counts the requests that are compared."""

    def __init__(self, bound: float, cut: float, dim: int, *, trial: bool) -> None:
        self.accuracy = Accuracy.begin(bound, cut, trial=trial)
        self._exclusions = Exclusions(dim)
        self.watch = Watch()

    def take_over(self, learned: Learned, embedder: str) -> None:
        """Know what a checker has noted. What another embedder's vectors excluded is not known here. Where no trial
        would follow, no surge is seen."""
        least, known = self.accuracy, learned.accuracy
        self.accuracy = replace(
            known,
            bound=least.bound,
            cut=max(least.cut, known.cut),
            trial=known.trial and least.trial,
            pace=known.pace if least.trial else UNPACED,
        )
        if learned.embedder == embedder and learned.wrong:
            asked, stored = (
                np.stack([np.frombuffer(row, DTYPE) for row in rows]).astype(np.float32) / np.float32(SCALE)
                for rows in zip(*learned.wrong, strict=True)
            )
            self._exclusions.add_all(asked, stored)

    def withheld(self, asked: Vector, stored: Vector, score: float) -> tuple[str, bool]:
        """Why the hit is not served, empty where it is; and whether it goes on in shadow."""
        if not self.accuracy.served:
            return "the bound of wrong hits could not be kept: exact hits only", True
        if score < self.accuracy.cut:
            return f"score {score:.3f} is below {self.accuracy.cut:.3f}, the verified cut", False
        if self._exclusions.cover(asked, stored):
            return "near a hit that was found wrong", False
        surges = self.watch.hit(self.accuracy.pace, self.accuracy.surges)
        if self.accuracy.trial:
            return "the cut is on trial: hits are checked, not served", True
        return ("hits come much oftener than those that were checked", True) if surges else ("", False)

    def learn(self, check: Check, asked: Vector, stored: Vector) -> None:
        """A check of one hit."""
        if check.wrong:
            self._exclusions.add(asked, stored)
        self.accuracy = checked(self.accuracy, check)

    def learn_of_judge(self, *, truly_wrong: bool, said_wrong: bool) -> None:
        """The judge's verdict on a seeded pair."""
        self.accuracy = seeded(self.accuracy, truly_wrong=truly_wrong, said_wrong=said_wrong)


# Partitions of which an environment remembers what was learned; the one unused for longest goes first.
MOST = 256
# Seconds between two looks at what a partition has learned.
EVERY = 5.0


@dataclass(slots=True, eq=False)
class _Known:
    """One partition. read: whether it was ever read what it has learned."""

    verified: Verified
    refresh: SharedRefresh
    etag: str | None = None
    read: bool = False


class Bounds:
    """What each partition has learned. bound, cut, dim, trial: of `Verified`; embedder: whose vectors they are. checks:
    where it is noted; None: nowhere but here. `ticks`: seconds."""

    def __init__(
        self,
        bound: float,
        cut: float,
        dim: int,
        embedder: str = "",
        checks: Checks | None = None,
        *,
        trial: bool,
        ticks: Callable[[], float] = time.time,
    ) -> None:
        self._make = partial(Verified, bound, cut, dim, trial=trial)
        self._embedder = embedder
        self._checks = checks
        self._ticks = ticks
        self._partitions: OrderedDict[str, _Known] = OrderedDict()

    def begin(self, partition: str) -> asyncio.Task[None] | None:
        """Start to read what is new, unless that was done within EVERY: `SharedRefresh.begin`."""
        return self._known(partition).refresh.begin()

    async def ready(self, partition: str, trace: Trace, timeout_s: float) -> bool:
        """Whether it is known what was learned: without that an environment would serve what others have given up. It
        is waited for once; later a refresh goes on beside the requests."""
        known = self._known(partition)
        known.refresh.begin()
        known.verified.watch.requests += 1
        if not known.read:
            await fail_open(trace, "accuracy", known.refresh.wait(), timeout_s)
        return known.read

    def of(self, partition: str) -> Verified:
        return self._known(partition).verified

    async def close(self) -> None:
        """Cancel the refreshes that still run."""
        for known in self._partitions.values():
            known.refresh.cancel()

    def _known(self, partition: str) -> _Known:
        known = self._partitions.get(partition)
        if known is None:
            refresh = SharedRefresh(partial(self._read, partition), EVERY, self._ticks)
            known = self._partitions[partition] = _Known(self._make(), refresh)
        self._partitions.move_to_end(partition)
        while len(self._partitions) > MOST:
            self._partitions.popitem(last=False)
        return known

    async def _read(self, partition: str) -> None:
        """Raises ObjectsFailed, and ValueError where it is damaged; what was known before stays."""
        known = self._known(partition)
        if self._checks is None:
            known.read = True
            return
        version = await self._checks.learned(partition, known.etag)
        if not version.unchanged:
            verified = self._make()
            verified.watch = known.verified.watch
            if version.learned:
                verified.take_over(version.learned, self._embedder)
            known.verified, known.etag = verified, version.etag
        known.read = True
