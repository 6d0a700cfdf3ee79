"""Statistics of this process alone, kept for as long as a summary can show them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from subsecond.stats.counters import Counters
from subsecond.stats.highlights import Highlights, merged
from subsecond.stats.increments import hour_of
from subsecond.stats.summary import HOURS, MOST_HOURS, is_over, summarise
from subsecond.stats.tenants import is_tenant, overall, tenant_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from subsecond.config import Settings
    from subsecond.stats.trace import Trace


class MemoryLedger:
    """`clock`: epoch seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._counters = Counters()
        self._highlights = Highlights()
        self._hour = ""

    def record(self, trace: Trace) -> None:
        now = self._clock()
        if self._hour != hour_of(now):
            self._hour = hour_of(now)
            self._counters.drop(lambda rollup: is_over(rollup, now, MOST_HOURS))
        self._counters.record(trace, now)
        self._highlights.record(trace, now)

    async def flush(self, *, force: bool = False) -> None:
        """There is nowhere to merge into."""

    async def summary(self, partition: str, hours: int = HOURS) -> Mapping[str, Any]:
        now = self._clock()
        if is_tenant(partition):
            owned = [name for name in self._counters.partitions() if name != partition and tenant_of(name) == partition]
            return overall({name: self._counters.of(name) for name in owned}, now, hours)
        highlights = merged([self._highlights.of(partition)], now)
        return summarise(self._counters.of(partition), now, hours) | highlights


def build(_settings: Settings) -> MemoryLedger:
    return MemoryLedger()
