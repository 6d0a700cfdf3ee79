"""Promises in seconds, kept by the wall clock.

How old a key, a rule or a manifest may be is promised to people, whose seconds pass while a Lambda environment is
frozen; the monotonic clock may stand still there. The wall clock may be set back, and an age is then negative: that
counts as too old, so that a promise is broken by no more than the time that had passed anyway.
"""

from __future__ import annotations


def within(since: float, seconds: float, now: float) -> bool:
    """Whether less than `seconds` have passed since then. All in epoch seconds."""
    return 0 <= now - since < seconds


class PerSecond:
    """A bound for each second of the wall clock: `most` of something."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._second = 0
        self._taken = 0

    def left(self, now: float) -> bool:
        """Whether there is one left in this second."""
        return int(now) != self._second or self._taken < self._most

    def take(self, now: float) -> bool:
        """Count one, and say whether it was within the bound."""
        if int(now) != self._second:
            self._second, self._taken = int(now), 0
        self._taken += 1
        return self._taken <= self._most
