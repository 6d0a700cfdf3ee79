"""Statistics of this process alone, kept as long as a summary shows them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from subsecond.stats.figures import hour_of
from subsecond.stats.summary import HOURS, is_over, summarise
from subsecond.stats.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from subsecond.config import Settings
    from subsecond.stats.trace import Trace


class MemoryLedger:
    """`clock`: epoch seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._tally = Tally()
        self._hour = ""

    def record(self, trace: Trace) -> None:
        now = self._clock()
        if self._hour != hour_of(now):
            self._hour = hour_of(now)
            self._tally.drop(lambda sheet: is_over(sheet, now))
        self._tally.record(trace, now)

    async def flush(self, *, force: bool = False) -> None:
        """There is nowhere to merge into."""

    async def summary(self, partition: str, hours: int = HOURS) -> Mapping[str, Any]:
        return summarise(self._tally.of(partition), self._clock(), hours)


def build(_settings: Settings) -> MemoryLedger:
    return MemoryLedger()
