"""What is counted of one model in one slice of time, as histograms here and as named sums in a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from subsecond.stats.histogram import Histogram, bucket_of

# Seconds of one slice; how many count; after how many seconds one counts half.
SLICE = 10.0
SLICES = 24
HALF_LIFE = 60.0
# Five pretended calls at these multiples of the prior, together worth two (in thousandths of a call each).
SPREAD = (0.6, 0.8, 1.0, 1.4, 2.5)
PRETENDED = 400
# A failure counts as a first token that came after so many milliseconds.
TIMED_OUT = 60_000.0
# Weights become whole numbers, as histograms count in them.
UNIT = 1_000


@dataclass(frozen=True, slots=True)
class Prior:
    """What is expected of a model that nobody has called yet: seconds to the first token, then tokens a second."""

    ttft: float = 0.5
    tokens_per_second: float = 50.0


@dataclass(slots=True)
class History:
    """ttft: milliseconds. speed: tokens a second after the first token. failed: calls that gave no answer."""

    ttft: Histogram = field(default_factory=Histogram)
    speed: Histogram = field(default_factory=Histogram)
    failed: int = 0

    @property
    def calls(self) -> int:
        return self.ttft.count + self.failed

    def slow(self, limit: float) -> int:
        """Calls whose first token took longer than `limit` milliseconds, or never came."""
        bucket = bucket_of(limit)
        return self.failed + sum(n for at, n in self.ttft.counts.items() if at > bucket)

    def add(self, other: History, weight: int = 1) -> None:
        """Add the other's counts, each `weight` times."""
        for mine, its in ((self.ttft, other.ttft), (self.speed, other.speed)):
            for bucket, n in its.counts.items():
                mine.counts[bucket] = mine.counts.get(bucket, 0) + n * weight
        self.failed += other.failed * weight

    def with_failures(self) -> Histogram:
        """The first tokens' histogram, failures in it as time-outs."""
        counts = dict(self.ttft.counts)
        if self.failed:
            late = bucket_of(TIMED_OUT)
            counts[late] = counts.get(late, 0) + self.failed
        return Histogram(counts)


def encode(histories: Mapping[str, History]) -> dict[str, int]:
    """`MODEL|t|BUCKET` (first token), `MODEL|v|BUCKET` (speed), `MODEL|f|0` (failed)."""
    figures: dict[str, int] = {}
    for model, history in histories.items():
        figures |= {f"{model}|t|{bucket}": n for bucket, n in history.ttft.counts.items()}
        figures |= {f"{model}|v|{bucket}": n for bucket, n in history.speed.counts.items()}
        if history.failed:
            figures[f"{model}|f|0"] = history.failed
    return figures


def decode(figures: Mapping[str, int]) -> dict[str, History]:
    """The histories of `encode`. A name of another kind is left out: a later version may have written it."""
    histories: dict[str, History] = {}
    for name, n in figures.items():
        match name.rsplit("|", 2):
            case [model, "f", _]:
                histories.setdefault(model, History()).failed += n
            case [model, "t" | "v" as kind, bucket]:
                history = histories.setdefault(model, History())
                counts = (history.ttft if kind == "t" else history.speed).counts
                counts[int(bucket)] = counts.get(int(bucket), 0) + n
    return histories


def slice_of(now: float) -> int:
    """The number of the slice at `now`, epoch seconds."""
    return int(now // SLICE)


@dataclass(frozen=True, slots=True)
class View:
    """One model's decayed figures, made at `at`. ttft: milliseconds, failures and the prior in it. speed: the median of
    tokens a second. newest: the last slice with a call, -1 where there is none."""

    at: float
    ttft: Histogram
    p50: float
    p95: float
    speed: float
    error_rate: float
    newest: int


def view_of(found: Sequence[tuple[int, History]], prior: Prior, now: float) -> View:
    """`found`: histories by slice."""
    here = slice_of(now)
    total = History()
    for at, history in found:
        total.add(history, round(UNIT * 0.5 ** (max(0, here - at) * SLICE / HALF_LIFE)))
    calls = total.calls
    for histogram, value in ((total.ttft, prior.ttft * 1_000), (total.speed, prior.tokens_per_second)):
        for factor in SPREAD:
            bucket = bucket_of(value * factor)
            histogram.counts[bucket] = histogram.counts.get(bucket, 0) + PRETENDED
    ttft = total.with_failures()
    return View(
        at=now,
        ttft=ttft,
        p50=ttft.quantile(0.5) or 0.0,
        p95=ttft.quantile(0.95) or 0.0,
        speed=total.speed.quantile(0.5) or 0.0,
        error_rate=total.failed / (calls + PRETENDED * len(SPREAD)),
        newest=max((at for at, _ in found), default=-1),
    )
