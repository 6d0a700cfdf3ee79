"""Hits that suddenly come much oftener than those that were checked: what the checks say does not hold for them.

A policy that fails lets more through, and questions of a new kind may all lie near each other. Hits are seen at once;
verdicts come later, and are limited by the judge's budget. So a surge costs no check, and is seen within some hits.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

# A surge: so many times as many hits of as many requests, and in effect about three times as many. Caches fill: with 3,
# every fourth order of Banking77 without any change was tried again for nothing.
TIMES = 5
# Hits whose pace is known, and how many it takes to know it.
MEMORY, LEAST = 120, 30
# How likely a surge must be, as a logarithm (Page's CUSUM, 1954): eight hits in a row are enough. Where they come
# evenly it takes e ** EVIDENCE requests to a false one, 160,000, on average or more; its price is another trial.
EVIDENCE = 12.0
# A share of hits that is taken for sure at the most: five times a half is no share.
SURE = 0.95


@dataclass(frozen=True, slots=True)
class Pace:
    """How often hits come. gap: requests for each of the last `hits`."""

    hits: int = 0
    gap: float = 0.0

    def with_hit(self, gap: int) -> Pace:
        hits = min(self.hits + 1, MEMORY)
        return Pace(hits, self.gap + (gap - self.gap) / hits)


UNPACED = Pace()


class Watch:
    """One environment's and partition's look at its own hits. requests: that were compared since the last hit: all that
    a request costs. gap: the last hit's, 1 where each request is one. surged: which surge this environment has seen."""

    def __init__(self) -> None:
        self.requests = self.gap = self.surged = 0
        self._evidence = 0.0

    def hit(self, pace: Pace, surges: int) -> bool:
        """Whether this hit, of a policy whose checked hits came at that pace, is of a surge that the checker has not
        noted yet. surges: those that it has. Another candidate of the same request is no other hit."""
        if self.requests:
            self.gap, self.requests = self.requests, 0
            self._weigh(pace)
            if self._evidence > EVIDENCE:
                self.surged, self._evidence = surges + 1, 0.0
        return self.surged > surges

    def _weigh(self, pace: Pace) -> None:
        if pace.hits < LEAST:
            self._evidence = 0.0
            return
        usual = min(1 / pace.gap, SURE)
        surge = max(usual, min(TIMES * usual, SURE))
        misses = (self.gap - 1) * log((1 - surge) / (1 - usual))
        self._evidence = max(0.0, self._evidence + misses) + log(surge / usual)
