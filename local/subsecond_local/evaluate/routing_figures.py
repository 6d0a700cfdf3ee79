"""How much of the strong model's gain a router recovers, for each share of strong calls. Pure.

As in RouteLLM (arXiv 2406.18665): PGR is the share of the gain of always asking the strong model, APGR the area under
it over the share of strong calls, at 11 places; random is 0.5. Prompts with the same score are taken in random order
(in expectation), so that a router with two scores gets no more than it has earned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

PLACES = np.linspace(0.0, 1.0, 11)
RESAMPLES = 1_000
SEED = 1


@dataclass(frozen=True, slots=True)
class Figures:
    """gain: PGR at PLACES. cpt50, cpt80: the least percentage of strong calls for so much of the gain. None where the
    strong model is no better: then there is nothing to recover."""

    n: int
    apgr: float | None
    low: float | None
    high: float | None
    cpt50: float | None
    cpt80: float | None
    gain: tuple[float, ...]

    def report(self) -> dict[str, Any]:
        return {
            "n": self.n,
            "apgr": _rounded(self.apgr),
            "apgr_low": _rounded(self.low),
            "apgr_high": _rounded(self.high),
            "cpt50": None if self.cpt50 is None else round(self.cpt50, 1),
            "cpt80": None if self.cpt80 is None else round(self.cpt80, 1),
        }


def measured(scores: Floats, weak: Floats, strong: Floats, resamples: int = RESAMPLES) -> Figures:
    """The figures of one router. weak, strong: how good the two answers are, on one scale. The interval is a percentile
    bootstrap over rows."""
    ranked = _Ranked.of(scores, strong - weak)
    gain = ranked.gain(np.ones(len(scores)))
    if gain is None:
        return Figures(len(scores), None, None, None, None, None, ())
    random = np.random.default_rng(SEED)
    rows = len(scores)
    drawn = (np.bincount(random.integers(0, rows, rows), minlength=rows).astype(float) for _ in range(resamples))
    areas = [_area(one) for times in drawn if (one := ranked.gain(times)) is not None]
    low, high = np.quantile(areas, (0.025, 0.975)) if areas else (0.0, 1.0)
    return Figures(
        rows, _area(gain), float(low), float(high), _least(gain, 0.5), _least(gain, 0.8), tuple(map(float, gain))
    )


@dataclass(frozen=True, slots=True)
class _Ranked:
    """The rows, the highest score first; last: the last row of each score."""

    order: NDArray[np.intp]
    last: NDArray[np.intp]
    gains: Floats

    @classmethod
    def of(cls, scores: Floats, gains: Floats) -> _Ranked:
        order = np.argsort(-scores, kind="stable")
        ordered = scores[order]
        last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], [True]))
        return cls(order, last, gains[order])

    def gain(self, times: Floats) -> Floats | None:
        """PGR at PLACES with each row counted so often; None where there is no gain."""
        times = times[self.order]
        calls, gains = np.cumsum(times)[self.last], np.cumsum(times * self.gains)[self.last]
        if gains[-1] <= 0:
            return None
        share, recovered = np.append(0.0, calls / calls[-1]), np.append(0.0, gains / gains[-1])
        at_places: Floats = np.interp(PLACES, share, recovered)
        return at_places


def _area(gain: Floats) -> float:
    return float(np.trapezoid(gain, PLACES))


def _least(gain: Floats, wanted: float) -> float:
    """The percentage of strong calls at which the gain is first so high, on straight lines between the places."""
    at = int(np.argmax(gain >= wanted))
    before, after = gain[at - 1], gain[at]
    return float(100 * (PLACES[at - 1] + (PLACES[at] - PLACES[at - 1]) * (wanted - before) / (after - before)))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
