"""What is counted of one model in one slice of time, as histograms here and as named sums in a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from subsecond.model import Form
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
# Tokens that a whole reply must have to tell the speed.
WORDY = 32
# Weights become whole numbers, as histograms count in them.
UNIT = 1_000


@dataclass(frozen=True, slots=True)
class Prior:
    """What is expected of a model that nobody has called yet: seconds to the first token, then tokens a second; and
    tokens of a whole reply."""

    ttft: float = 0.5
    tokens_per_second: float = 50.0
    tokens: int = 256

    def times(self, form: Form) -> tuple[float, ...]:
        """Milliseconds that the pretended calls took: to a stream's first token, or to a whole reply."""
        spoken = 0.0 if form == "stream" else self.tokens / max(self.tokens_per_second, 1e-3)
        return tuple((self.ttft * factor + spoken) * 1_000 for factor in SPREAD)


@dataclass(slots=True)
class History:
    """ttft: of streams; reply: of whole calls; milliseconds. speed: tokens a second after the first. failed: streams
    that gave no answer, lost: whole calls that gave none. late: whole replies that were slow, as who saw them judged:
    how long a reply is, its time does not tell."""

    ttft: Histogram = field(default_factory=Histogram)
    speed: Histogram = field(default_factory=Histogram)
    failed: int = 0
    reply: Histogram = field(default_factory=Histogram)
    late: int = 0
    lost: int = 0

    @property
    def calls(self) -> int:
        return self.ttft.count + self.failed + self.reply.count + self.lost

    def slow(self, limit: float) -> int:
        """Calls whose first token took longer than `limit` milliseconds, late replies, and what never came."""
        bucket = bucket_of(limit)
        late = sum(n for at, n in self.ttft.counts.items() if at > bucket)
        return self.failed + self.lost + self.late + late

    def whole(self, took: float, tokens: int, ttft: float, *, late: bool) -> None:
        """A whole reply, of so many tokens after so many milliseconds; `ttft` of them its first token usually takes.
        It tells the speed too, unless it is too short for that."""
        self.reply.add(took)
        self.late += late
        if tokens >= WORDY and took > 2 * ttft:
            self.speed.add((tokens - 1) * 1_000 / (took - ttft))

    def fail(self, form: Form) -> None:
        if form == "stream":
            self.failed += 1
        else:
            self.lost += 1

    def add(self, other: History, weight: int = 1) -> None:
        """Add the other's counts, each `weight` times."""
        for mine, its in ((self.ttft, other.ttft), (self.speed, other.speed), (self.reply, other.reply)):
            for bucket, n in its.counts.items():
                mine.counts[bucket] = mine.counts.get(bucket, 0) + n * weight
        self.failed += other.failed * weight
        self.late += other.late * weight
        self.lost += other.lost * weight


# The histograms and the counts of a history, by the kinds of their stored names.
HISTOGRAMS = {"t": "ttft", "v": "speed", "w": "reply"}
COUNTS = {"f": "failed", "l": "late", "x": "lost"}


def encode(histories: Mapping[str, History]) -> dict[str, int]:
    """`MODEL|KIND|BUCKET`: `t` (first tokens), `v` (speed), `w` (whole replies); with BUCKET 0: `f` (failed streams),
    `l` (late replies), `x` (failed whole calls)."""
    figures: dict[str, int] = {}
    for model, history in histories.items():
        for kind, name in HISTOGRAMS.items():
            figures |= {f"{model}|{kind}|{bucket}": n for bucket, n in getattr(history, name).counts.items()}
        figures |= {f"{model}|{kind}|0": n for kind, name in COUNTS.items() if (n := getattr(history, name))}
    return figures


def decode(figures: Mapping[str, int]) -> dict[str, History]:
    """The histories of `encode`. A name of another kind is left out: a later version may have written it, as this one's
    `w`, `l` and `x` are left out by those before it."""
    histories: dict[str, History] = {}
    for name, n in figures.items():
        if name.count("|") <= 1:
            continue
        model, kind, bucket = name.rsplit("|", 2)
        history = histories.setdefault(model, History())
        if kind in COUNTS:
            setattr(history, COUNTS[kind], getattr(history, COUNTS[kind]) + n)
        elif kind in HISTOGRAMS:
            counts = getattr(history, HISTOGRAMS[kind]).counts
            counts[int(bucket)] = counts.get(int(bucket), 0) + n
    return histories


def slice_of(now: float) -> int:
    """The number of the slice at `now`, epoch seconds."""
    return int(now // SLICE)


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds to a first token or a whole reply, the prior among them. p50, p95: failures counted as time-outs;
    known: the histogram that they are of; came: the one without them, `usual`: what 95 in 100 take by it."""

    known: Histogram
    came: Histogram
    p50: float
    p95: float
    usual: float

    @property
    def measured(self) -> bool:
        """Whether there is anything but the prior in it."""
        return self.came.count > PRETENDED * len(SPREAD)

    @classmethod
    def of(cls, came: Histogram, failed: int) -> Times:
        counts = dict(came.counts)
        if failed:
            late = bucket_of(TIMED_OUT)
            counts[late] = counts.get(late, 0) + failed
        known = Histogram(counts)
        return cls(known, came, known.quantile(0.5) or 0.0, known.quantile(0.95) or 0.0, came.quantile(0.95) or 0.0)


@dataclass(frozen=True, slots=True)
class HealthView:
    """One model's decayed figures, made at `at`. times: by form. speed: the median of tokens a second. newest: the last
    slice with a call, -1 where there is none."""

    at: float
    times: Mapping[Form, Times]
    speed: float
    error_rate: float
    newest: int


def view_of(found: Sequence[tuple[int, History]], prior: Prior, now: float) -> HealthView:
    """`found`: histories by slice."""
    here = slice_of(now)
    total = History()
    for at, history in found:
        total.add(history, round(UNIT * 0.5 ** (max(0, here - at) * SLICE / HALF_LIFE)))
    calls = total.calls
    speeds = tuple(prior.tokens_per_second * factor for factor in SPREAD)
    pretended = ((total.ttft, prior.times("stream")), (total.reply, prior.times("whole")), (total.speed, speeds))
    for histogram, values in pretended:
        for bucket in map(bucket_of, values):
            histogram.counts[bucket] = histogram.counts.get(bucket, 0) + PRETENDED
    return HealthView(
        at=now,
        times={"stream": Times.of(total.ttft, total.failed), "whole": Times.of(total.reply, total.lost)},
        speed=total.speed.quantile(0.5) or 0.0,
        error_rate=(total.failed + total.lost) / (calls + PRETENDED * len(SPREAD)),
        newest=max((at for at, _ in found), default=-1),
    )
