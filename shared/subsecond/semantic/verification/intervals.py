"""What a number of checks proves of a share, at any time: whoever looks after each check is never misled by looking.

The interval is a confidence sequence, the beta-binomial mixture of Robbins (1970): for a share p, the mixture's
likelihood over p's is a martingale with mean 1, so that by Ville's inequality it ever exceeds 1 / alpha with a
probability of at most alpha. An ordinary interval that is looked at after each check would be wrong far more often.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, lgamma, log

# Of the mixture: weight on shares near 0 and 1 (Jeffreys).
PRIOR = 0.5
# Halvings of the search for an end of the interval: 2 ** -40.
HALVINGS = 40


@dataclass(frozen=True, slots=True)
class Counted:
    """`yes` of `n`."""

    n: int = 0
    yes: int = 0

    def with_one(self, yes: bool) -> Counted:  # noqa: FBT001 -- what was counted
        return Counted(self.n + 1, self.yes + yes)

    def share(self, expected: float, strength: float) -> float:
        """The share, drawn towards `expected` as if `strength` such had been counted before."""
        return (self.yes + expected * strength) / (self.n + strength)


NONE = Counted()


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float

    def __contains__(self, share: float) -> bool:
        return self.low <= share <= self.high


ANYTHING = Interval(0.0, 1.0)


def interval(counted: Counted, alpha: float) -> Interval:
    """Holds the true share at all times together with a probability of at least 1 - alpha."""
    if not counted.n:
        return ANYTHING
    most = counted.yes / counted.n
    outside = _outside(counted, alpha)
    return Interval(_end(outside, most, 0.0), _end(outside, most, 1.0))


def _outside(counted: Counted, alpha: float) -> Callable[[float], bool]:
    """Whether a share is refuted."""
    yes, no = counted.yes, counted.n - counted.yes
    mixture = _log_beta(PRIOR + yes, PRIOR + no) - _log_beta(PRIOR, PRIOR)
    most = mixture + log(alpha)

    def refuted(share: float) -> bool:
        return most > _times_log(yes, share) + _times_log(no, 1 - share)

    return refuted


def _end(refuted: Callable[[float], bool], inside: float, outside: float) -> float:
    """Where shares become refuted on the way from `inside` to `outside`; `outside` itself where none is."""
    for _ in range(HALVINGS):
        middle = (inside + outside) / 2
        if refuted(middle):
            outside = middle
        else:
            inside = middle
    return outside


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def _times_log(times: int, share: float) -> float:
    if not times:
        return 0.0
    return times * log(share) if share > 0 else -inf


@dataclass(frozen=True, slots=True)
class JudgeErrors:
    """How the judge did on pairs whose truth is known. wrong: pairs that must not share an answer, and how many of them
    it called wrong. right: pairs that may, and how many of them it called wrong all the same."""

    wrong: Counted = NONE
    right: Counted = NONE


UNKNOWN = JudgeErrors()


def wrong_share(said_wrong: Counted, judge: JudgeErrors, alpha: float) -> Interval:
    """The true share of wrong hits where the judge called `said_wrong` of the checked ones wrong.

    A share e of wrong hits is called wrong e * S + (1 - e) * F of the time: S on wrong pairs, F on right ones. So
    e = (said - F) / (S - F), which rises with `said` and falls with S and F; the ends come from the ends of three
    intervals, half of alpha for the first and a quarter for each of the judge's. A judge that cannot be told from one
    that guesses proves nothing.
    """
    said = interval(said_wrong, alpha / 2)
    on_wrong, on_right = interval(judge.wrong, alpha / 4), interval(judge.right, alpha / 4)
    if on_wrong.low <= on_right.high:
        return ANYTHING
    return Interval(
        _share((said.low - on_right.high) / (on_wrong.high - on_right.high)),
        _share((said.high - on_right.low) / (on_wrong.low - on_right.low)),
    )


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))
