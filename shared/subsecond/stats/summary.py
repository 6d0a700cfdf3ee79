"""Sheets of figures as people read them: `GET /v1/cache/stats`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from subsecond.stats.figures import HITS, HOUR, LIVE, hour_of
from subsecond.stats.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# How far back a summary looks, this hour included.
HOURS = 24
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
FAILED = "_failed"


def oldest_sheets(now: float, hours: int = HOURS) -> tuple[str, str]:
    """The first sheets that still count: of figures, and of live answers."""
    return hour_of(now - (hours - 1) * HOUR), LIVE + hour_of(now)


def is_over(sheet: str, now: float, hours: int = HOURS) -> bool:
    """Whether a summary made from now on never needs this sheet again."""
    figures, live = oldest_sheets(now, hours)
    return sheet < (live if sheet.startswith(LIVE) else figures)


def summarise(
    sheets: Iterable[tuple[str, Mapping[str, int]]], now: float, hours: int = HOURS, *, complete: bool = True
) -> dict[str, Any]:
    """One partition's figures of the last `hours`, ready for JSON: times in milliseconds, `hit_rate` of what could hit.

    A sheet may come several times (one part from the table, one from memory). `complete` is passed on.
    """
    counts: Counter[str] = Counter()
    live: Counter[str] = Counter()
    times = _Times()
    for sheet, names in sheets:
        if is_over(sheet, now, hours):
            continue
        kept = live if sheet.startswith(LIVE) else counts
        for name, n in names.items():
            kind, _, rest = name.partition("|")
            if kind == "h":
                times.add(sheet.partition("|")[2], rest, n)
            else:
                kept[rest] += n
    hits = {kind: counts[f"hits|{kind}"] for kind in HITS}
    looked_up = sum(hits.values()) + counts["misses"]
    return {
        "hours": hours,
        "complete": complete,
        "requests": counts["requests"],
        "hits": hits,
        "misses": counts["misses"],
        "bypassed": counts["bypassed"],
        "hit_rate": round(sum(hits.values()) / looked_up, 4) if looked_up else None,
        "upstream_calls": counts["upstream_calls"],
        "errors": {"4xx": 0, "5xx": 0, "closed": 0} | _below(counts, "errors|"),
        "tokens": {kind: _tokens(counts, kind) for kind in ("upstream", "saved")},
        "latencies": times.public(),
        "exact_cache_size": max(0, live["exact"]),
        "semantic_cache_size": max(0, live["semantic"]),
        **_own(_below(counts, "counts|")),
    }


def _below(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): n for name, n in sorted(counts.items()) if name.startswith(prefix)}


def _tokens(counts: Counter[str], kind: str) -> dict[str, int]:
    return {name: counts[f"tokens|{kind}|{name}"] for name in ("prompt", "completion")}


def _own(counts: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """What the stages counted themselves: the steps that failed open, and the rest."""
    return {
        "fail_open": {name.removesuffix(FAILED): n for name, n in counts.items() if name.endswith(FAILED)},
        "counts": {name: n for name, n in counts.items() if not name.endswith(FAILED)},
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
        """By source: `all` together, and each of `models`."""
        sources: dict[str, Any] = {}
        whole: dict[tuple[str, str], Histogram] = {}
        for (source, model, kind), histogram in sorted(self._found.items()):
            place = sources.setdefault(source, {"all": {}, "models": {}})
            place["models"].setdefault(model, {})[f"{kind}_ms"] = _shape(histogram)
            whole.setdefault((source, kind), Histogram()).merge(histogram)
        for (source, kind), histogram in whole.items():
            sources[source]["all"][f"{kind}_ms"] = _shape(histogram)
        return sources


def _shape(histogram: Histogram) -> dict[str, float | int | None]:
    count = histogram.count
    quantiles = {name: _rounded(histogram.quantile(share)) for name, share in QUANTILES.items()}
    return {"count": count, "mean": _rounded(histogram.sum / count if count else None), **quantiles}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
