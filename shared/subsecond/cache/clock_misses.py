"""What a time in a system text costs: the misses that would have been hits, had it been masked.

The masked key of each miss with such a time is remembered for as long as its answer could live. Another miss with that
key differs in nothing but the time. It is counted in this environment alone, so the share is at least as told.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from subsecond.cache.cacheability import CLOCK_LIFE

REMEMBERED = 2_000
PLACES = ("beginning", "middle", "end")


class ClockMisses:
    """Of this environment. Used from one event loop."""

    def __init__(self) -> None:
        # When each masked key was last a miss, in epoch seconds; the last is the latest.
        self._seen: OrderedDict[str, float] = OrderedDict()

    def is_repeated(self, key: str, now: float) -> bool:
        """Whether a miss of this masked key was noted that could answer this one; and note this one."""
        repeated = now - self._seen.pop(key, float("-inf")) <= CLOCK_LIFE
        self._seen[key] = now
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return repeated


def told(counts: Mapping[str, int], misses: int) -> dict[str, Any]:
    """For the statistics: how many misses differ from an earlier one in the time alone, which share of all misses that
    is, and where in the system text the time stands."""
    missed = counts.get("clock_misses", 0)
    at = {place: counts[f"clock_at_{place}"] for place in PLACES if counts.get(f"clock_at_{place}")}
    return {"misses": missed, "share_of_misses": round(missed / misses, 4) if misses else None, "at": at}
