"""From samples to figures: quantiles, differences to the direct call, and how far the rounds lie apart."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from raw_client import Sample

HTTP_OK = 200


@dataclass(slots=True)
class Round:
    """The samples that one target gave in one round. `wall` and `cpu` in seconds, for all of them."""

    samples: list[Sample] = field(default_factory=list)
    wall: float = 0.0
    cpu: float = 0.0
    upstream_calls: int = 0

    @property
    def good(self) -> list[Sample]:
        return [sample for sample in self.samples if sample.status == HTTP_OK and sample.complete]


def quantile(values: Sequence[float], at: float) -> float:
    """Linear between the two nearest ranks; NaN of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    place = at * (len(ordered) - 1)
    low = math.floor(place)
    high = math.ceil(place)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _first(sample: Sample) -> float:
    return sample.first * 1000


def _total(sample: Sample) -> float:
    return sample.total * 1000


def summary(rounds: Sequence[Round], direct: Sequence[Round] | None) -> dict[str, Any]:
    """The figures of one target in one scenario; times in milliseconds. `direct`: the same rounds without a gateway."""
    good = [sample for each in rounds for sample in each.good]
    asked = sum(len(each.samples) for each in rounds)
    found: dict[str, Any] = {
        "ok": len(good),
        "errors": asked - len(good),
        "hits_by_header": sum(sample.hit for sample in good),
        "upstream_calls": sum(each.upstream_calls for each in rounds),
        "chunks": median(sample.chunks for sample in good) if good else 0,
        "requests_per_second": len(good) / sum(each.wall for each in rounds),
        "server_cpu_ms": sum(each.cpu for each in rounds) * 1000 / max(1, asked),
    }
    for name, value in (("ttft", _first), ("total", _total)):
        found[name] = _spread(rounds, value)
        if direct is not None:
            found[f"{name}_added"] = _difference(rounds, direct, value)
    return found


def _spread(rounds: Sequence[Round], value: Callable[[Sample], float]) -> dict[str, Any]:
    values = [value(sample) for each in rounds for sample in each.good]
    medians = [quantile([value(sample) for sample in each.good], 0.5) for each in rounds]
    return {"p50": quantile(values, 0.5), "p99": quantile(values, 0.99), "rounds_p50": _rounds(medians)}


def _difference(rounds: Sequence[Round], direct: Sequence[Round], value: Callable[[Sample], float]) -> dict[str, Any]:
    ours, theirs = _spread(rounds, value), _spread(direct, value)
    pairs = zip(rounds, direct, strict=True)
    medians = [quantile([value(s) for s in a.good], 0.5) - quantile([value(s) for s in b.good], 0.5) for a, b in pairs]
    return {name: ours[name] - theirs[name] for name in ("p50", "p99")} | {"rounds_p50": _rounds(medians)}


def _rounds(medians: Sequence[float]) -> dict[str, float]:
    return {"min": min(medians), "median": median(medians), "max": max(medians)}


def per_chunk(long: dict[str, Any], short: dict[str, Any] | None = None) -> float:
    """Milliseconds that each chunk costs: all that was added over all chunks, or the slope between two lengths."""
    if short is None:
        return float(long["total_added"]["p50"] / max(1, long["chunks"]))
    added = long["total_added"]["p50"] - short["total_added"]["p50"]
    return float(added / max(1, long["chunks"] - short["chunks"]))
