"""Rollups as people read them: `GET /v1/cache/stats`."""

from __future__ import annotations

import calendar
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from subsecond.stats.histogram import Histogram
from subsecond.stats.increments import HITS, HOUR, KEYS, LIVE, OWN, STEPS, hour_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# How far back a summary looks, this hour included; and at the most.
HOURS, MOST_HOURS = 24, 30 * 24
# A series of more hours than these is told by day.
BY_HOUR = 48
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
FAILED = "_failed"
# Requests that were refused because too many ran already.
SHED = "429 Overloaded"
OF_KEY = ("requests", "hits", "errors", "tokens")
CALLS = ("answered", "failed", "refused", "cancelled")


def oldest_rollups(now: float, hours: int = HOURS) -> tuple[str, str]:
    """The first rollups that still count: of an hour's counts, and of live answers."""
    return hour_of(now - (hours - 1) * HOUR), LIVE + hour_of(now)


def is_over(rollup: str, now: float, hours: int = HOURS) -> bool:
    """Whether a summary made from now on never needs this rollup again."""
    counts, live = oldest_rollups(now, hours)
    return rollup < (live if rollup.startswith(LIVE) else counts)


def summarise(
    rollups: Iterable[tuple[str, Mapping[str, int]]], now: float, hours: int = HOURS, *, complete: bool = True
) -> dict[str, Any]:
    """One partition, over the last `hours`, ready for JSON: times in milliseconds, `hit_rate` of what could hit.

    A rollup may come several times (one part from the table, one from memory). `complete` is passed on.
    """
    sums = _Sums(by_day=hours > BY_HOUR)
    for rollup, names in rollups:
        if not is_over(rollup, now, hours):
            sums.add(rollup, names)
    counts = sums.counts
    codes = _below(counts, "codes|")
    return {
        "hours": hours,
        "complete": complete,
        "requests": counts["requests"],
        "hits": _hits(counts),
        "misses": counts["misses"],
        "bypassed": counts["bypassed"],
        "hit_rate": hit_rate(counts),
        "upstream_calls": counts["upstream_calls"],
        "errors": {"4xx": 0, "5xx": 0, "closed": 0} | _below(counts, "errors|"),
        "errors_by_code": codes,
        "shed": codes.get(SHED, 0),
        "cold_starts": counts["counts|cold_starts"],
        "tokens": {kind: _tokens(counts, kind) for kind in ("upstream", "saved")},
        "latencies": sums.times.public(),
        "steps": sums.steps.plain(),
        "models": sums.public_models(),
        "keys": sums.public_keys(),
        "series_of": "day" if sums.by_day else "hour",
        "series": sums.series(),
        "exact_cache_size": max(0, sums.live["exact"]),
        "exact_cache_bytes": _bytes(counts, sums.live),
        "semantic_cache_size": max(0, sums.live["semantic"]),
        **_own(_below(counts, "counts|")),
    }


def hit_rate(counts: Mapping[str, int]) -> float | None:
    hits = sum(counts.get(f"hits|{kind}", 0) for kind in HITS)
    looked_up = hits + counts.get("misses", 0)
    return round(hits / looked_up, 4) if looked_up else None


def _hits(counts: Counter[str]) -> dict[str, int]:
    return {kind: counts[f"hits|{kind}"] for kind in HITS}


def _below(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): n for name, n in sorted(counts.items()) if name.startswith(prefix)}


def _tokens(counts: Counter[str], kind: str) -> dict[str, int]:
    return {name: counts[f"tokens|{kind}|{name}"] for name in ("prompt", "completion")}


def _bytes(counts: Counter[str], live: Counter[str]) -> int:
    """About what the live answers take: as many as there are, each as large as those that were stored lately."""
    stored = counts["stored|answers"]
    return round(max(0, live["exact"]) * counts["stored|bytes"] / stored) if stored else 0


def _own(counts: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """What the stages counted themselves: the steps that failed open, and the rest."""
    return {
        "fail_open": {name.removesuffix(FAILED): n for name, n in counts.items() if name.endswith(FAILED)},
        "counts": {name: n for name, n in counts.items() if not name.endswith(FAILED)},
    }


class _Sums:
    """All rollups added up: over the whole time, by hour or by day (UTC), by model and by key."""

    def __init__(self, *, by_day: bool) -> None:
        self.by_day = by_day
        self.counts: Counter[str] = Counter()
        self.live: Counter[str] = Counter()
        self.times = _Times()
        self.steps = _Times()
        self._hours: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._first: defaultdict[str, _Times] = defaultdict(_Times)
        self._models: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._keys: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def add(self, rollup: str, names: Mapping[str, int]) -> None:
        if rollup.startswith(LIVE):
            for name, n in names.items():
                self.live[name.partition("|")[2]] += n
            return
        # yyyymmddhh, then what kind of rollup it is. A day is called by its first hour.
        hour, kind = f"{rollup[:8]}00" if self.by_day else rollup[:10], rollup[10:]
        for name, n in names.items():
            letter, _, rest = name.partition("|")
            if letter == "n":
                self._count(hour, kind, rest, n)
            elif kind == KEYS:
                what, _, key = rest.partition("|")
                self._keys[key][what] += n
            elif kind == STEPS:
                self.steps.add("", rest, n)
            else:
                self.times.add(kind[1:], rest, n)
                if f"|{OWN}|" not in rest:
                    self._over_time(hour, rest, n)

    def _count(self, hour: str, kind: str, name: str, n: int) -> None:
        self.counts[name] += n
        self._hours[hour][name] += n
        if kind:
            self._models[kind[1:]][name] += n

    def _over_time(self, hour: str, name: str, n: int) -> None:
        kind, source, bucket = name.split("|")
        if kind == "ttft":
            self._first[hour].add("", f"{'hit' if source in HITS else 'upstream'}|ttft|{bucket}", n)

    def public_models(self) -> dict[str, Any]:
        """By model: its tokens, and what became of the calls that the router made."""
        return {
            model: {
                "tokens": {kind: _tokens(counts, kind) for kind in ("upstream", "saved")},
                "calls": {outcome: counts[f"calls|{outcome}"] for outcome in CALLS},
            }
            for model, counts in sorted(self._models.items())
        }

    def public_keys(self) -> dict[str, Any]:
        """By key, the busiest first: what it asked for, and the tokens that were spent for it."""
        busiest = sorted(self._keys.items(), key=lambda one: one[1]["requests"], reverse=True)
        return {key: {what: counts[what] for what in OF_KEY} for key, counts in busiest}

    def series(self) -> list[dict[str, Any]]:
        """The oldest first; only those in which something happened."""
        return [self._hour(hour) for hour in sorted(self._hours)]

    def _hour(self, hour: str) -> dict[str, Any]:
        counts = self._hours[hour]
        begun = calendar.timegm(time.strptime(hour, "%Y%m%d%H"))
        return {
            "hour": time.strftime("%Y-%m-%dT%H:00:00Z", time.gmtime(begun)),
            "requests": counts["requests"],
            "hits": _hits(counts),
            "misses": counts["misses"],
            "hit_rate": hit_rate(counts),
            "errors": sum(_below(counts, "errors|").values()),
            "tokens": {kind: sum(_tokens(counts, kind).values()) for kind in ("upstream", "saved")},
            "ttft_ms": {source: found["ttft"] for source, found in self._first[hour].plain().items()},
        }


class _Times:
    """Histograms by source, model and kind."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], Histogram] = {}

    def add(self, model: str, name: str, n: int) -> None:
        """`name`: KIND|SOURCE|BUCKET."""
        kind, source, bucket = name.split("|")
        histogram = self._found.setdefault((source, model, kind), Histogram())
        if bucket == "sum":
            histogram.sum += n / 1_000
        else:
            histogram.counts[int(bucket)] = histogram.counts.get(int(bucket), 0) + n

    def public(self) -> dict[str, Any]:
        """By source: `all` together as the clients saw it, and each of `models`. A model's own calls are among those
        of the upstream, and no part of `all`; what has no model is a part of `all` alone."""
        sources: dict[str, Any] = {}
        whole: dict[tuple[str, str], Histogram] = {}
        for (source, model, kind), histogram in sorted(self._found.items()):
            shown = sources.setdefault("upstream" if source == OWN else source, {"all": {}, "models": {}})
            if model:
                shown["models"].setdefault(model, {})[f"{kind}_ms"] = _shape(histogram)
            if source != OWN:
                whole.setdefault((source, kind), Histogram()).merge(histogram)
        for (source, kind), histogram in whole.items():
            sources[source]["all"][f"{kind}_ms"] = _shape(histogram)
        return sources

    def plain(self) -> dict[str, Any]:
        """Where there is one model: by kind and source."""
        found: dict[str, Any] = {}
        for (source, _, kind), histogram in sorted(self._found.items()):
            found.setdefault(kind, {})[source] = _shape(histogram)
        return found


def _shape(histogram: Histogram) -> dict[str, float | int | None]:
    count = histogram.count
    quantiles = {name: _rounded(histogram.quantile(share)) for name, share in QUANTILES.items()}
    return {"count": count, "mean": _rounded(histogram.sum / count if count else None), **quantiles}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
