"""Checks what waits: asks the judge of each sample, notes what follows, deletes the sample, in this order.

Killed before the note, a check is made again; killed behind it, the note knows the check, and it does not count twice.
`Verify` runs it on a schedule; a plain server runs it beside its requests.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from subsecond.errors import SubsecondError
from subsecond.ports import ObjectsFailed
from subsecond.semantic.verification.accuracy import Accuracy
from subsecond.semantic.verification.budget import Budget
from subsecond.semantic.verification.judge import Judge, Said, most_tokens, question
from subsecond.semantic.verification.judge import seeded as in_place_of
from subsecond.semantic.verification.learned import Judged, begun, with_check
from subsecond.semantic.verification.queue import Queue
from subsecond.semantic.verification.samples import Sample
from subsecond.semantic.verification.sampling import seeds_are_due
from subsecond.semantic.verification.seeding import right_pair, wrong_pair

log = logging.getLogger("subsecond")

# Failures of the judge in a row after which a run ends: the next one tries again.
MOST_FAILURES = 3
# Tries to note a check that somebody else's note comes before.
TRIES = 5
# Seconds between two runs of a plain server, and how long one run may take.
EVERY, LONGEST = 5.0, 600.0


class Checker:
    """`clock`: epoch seconds. counts: of all runs."""

    def __init__(self, checks: Queue, judge: Judge, budget: Budget, clock: Callable[[], float] = time.time) -> None:
        self._checks = checks
        self._judge = judge
        self._budget = budget
        self._clock = clock
        self.counts: Counter[str] = Counter()

    async def run(self) -> None:
        """Check what waits now, until the budget ends. Raises ObjectsFailed, and ValueError where what was learned
        cannot be read."""
        names = await self._checks.waiting(self._clock())
        if not names or not await self._budget.take():
            return
        try:
            await self._check_all(names, self._clock() + LONGEST)
        finally:
            await self._budget.end()

    async def forever(self) -> None:
        """Beside the requests of a plain server, until it is cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self.run()
            except (ObjectsFailed, ValueError) as error:
                log.warning("checks failed: %s", type(error).__name__)

    async def _check_all(self, names: Sequence[str], until: float) -> None:
        failures = 0
        for name in names:
            if failures >= MOST_FAILURES or self._clock() > until:
                return
            try:
                if not await self._check(name):
                    return
                failures = 0
            except SubsecondError as error:
                failures += 1
                self.counts["failed"] += 1
                log.warning("a check failed: %s", type(error).__name__)

    async def _check(self, name: str) -> bool:
        """Whether the budget goes on. Raises SubsecondError: the sample stays."""
        sample = await self._checks.sample(name)
        if sample is None:
            return True
        known = (await self._checks.learned(sample.partition)).learned or begun(sample)
        if sample.request_id in known.seen:
            await self._checks.done(name)
            return True
        seeds = _seeds(known.accuracy, sample)
        asked = [sample, *(pair for pair, _ in seeds)]
        most = sum(most_tokens(question(self._judge.model, one)) for one in asked)
        if not await self._budget.take(len(asked), most):
            return False
        said = [await self._judge.says(one) for one in asked]
        judged = _judged(sample, said, [truly_wrong for _, truly_wrong in seeds])
        await self._note(judged)
        await self._checks.done(name)
        self.counts.update(checked=1, wrong=judged.wrong, seeded=len(seeds))
        self._budget.give_back(max(0, most - judged.tokens))
        return True

    async def _note(self, judged: Judged) -> None:
        partition = judged.sample.partition
        for _ in range(TRIES):
            version = await self._checks.learned(partition)
            learned = with_check(version.learned or begun(judged.sample), judged, self._clock())
            if await self._checks.save(partition, learned, version.etag):
                return
        raise ObjectsFailed("others write what was learned all the time")


def _seeds(accuracy: Accuracy, sample: Sample) -> list[tuple[Sample, bool]]:
    """The pairs on which the judge itself is measured behind this check, where they are due, and whether each is truly
    wrong."""
    counted = "shadow" if sample.shadow else "checked"
    after = replace(accuracy, **{counted: getattr(accuracy, counted).with_one(yes=False)})
    if not seeds_are_due(after):
        return []
    pairs = filter(None, (wrong_pair(sample.stored), right_pair(sample.stored)))
    return [(in_place_of(sample, pair), not pair.right) for pair in pairs]


def _judged(sample: Sample, said: Sequence[Said], truly_wrong: Sequence[bool]) -> Judged:
    first, *others = said
    seeds = tuple(zip(truly_wrong, (one.wrong for one in others), strict=True))
    unread = sum(one.unread for one in said)
    return Judged(sample, first.wrong, seeds, unread, sum(one.tokens for one in said))
