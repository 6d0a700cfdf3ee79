"""What a mixed soak prints: tables for a reader, and one JSON object."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.soak.mixed.scene import Held
from tests.soak.mixed.tally import Tally

# Types of objects that are told of, those that grew the most.
MORE = 15


@dataclass
class Memory:
    """Resident memory over the time. Seconds, bytes."""

    samples: list[tuple[float, int]] = field(default_factory=list)

    def slope(self) -> float:
        """Bytes a second over the last two thirds: the line of least squares."""
        end = self.samples[-1][0]
        taken = [(at, size) for at, size in self.samples if at >= end / 3]
        middle = sum(at for at, _ in taken) / len(taken)
        mean = sum(size for _, size in taken) / len(taken)
        spread = sum((at - middle) ** 2 for at, _ in taken)
        return sum((at - middle) * (size - mean) for at, size in taken) / spread if spread else 0.0

    def growth(self) -> float:
        """What that line rises by over these two thirds: bytes."""
        return self.slope() * self.samples[-1][0] * 2 / 3


def figures(seconds: float, tally: Tally, memory: Memory, before: Held, after: Held) -> dict[str, Any]:
    """All of it, for a program."""
    requests = sum(tally.phases.values())
    return {
        "seconds": round(seconds),
        "requests": requests,
        "a_second": round(requests / seconds, 1),
        "by_kind": {kind: ends.told() for kind, ends in sorted(tally.kinds.items())},
        "by_route": {route: ends.told() for route, ends in sorted(tally.routes.items())},
        "by_phase": {name: _phase(name, tally) for name in tally.phases},
        "resident_mb": {
            "start": round(memory.samples[0][1] / 1e6, 1),
            "end": round(memory.samples[-1][1] / 1e6, 1),
            "most": round(max(size for _, size in memory.samples) / 1e6, 1),
            "growth_last_two_thirds": round(memory.growth() / 1e6, 2),
            "slope_an_hour": round(memory.slope() * 3_600 / 1e6, 2),
        },
        "held_before": _held(before),
        "held_after": _held(after),
        "caches_more": _caches_more(before, after),
        "objects_more": dict((Counter(after.kinds) - Counter(before.kinds)).most_common(MORE)),
    }


def _held(held: Held) -> dict[str, Any]:
    return {name: value for name, value in vars(held).items() if name not in ("kinds", "caches")}


def _caches_more(before: Held, after: Held) -> dict[str, str]:
    """What each cache has more, those that grew the most first, and its bound: what may still grow, and how far."""
    more = {name: size - before.caches.get(name, (0, None))[0] for name, (size, _) in after.caches.items()}
    grown = sorted((name for name in more if more[name]), key=lambda name: -more[name])[:MORE]
    return {name: f"{more[name]:+} to {after.caches[name][0]} of {after.caches[name][1]}" for name in grown}


def _phase(name: str, tally: Tally) -> dict[str, Any]:
    times = {"hit": tally.first[name, "detail=exact"], "miss": tally.first[name, "fwd=miss"]}
    quantiles = {f"{served}_p{p}": times[served].milliseconds(p / 100) for served in times for p in (50, 99)}
    seconds, where = tally.slowest.get(name, (0.0, ""))
    slowest = f"{1000 * seconds:.0f} ms: {where}"
    return {"requests": tally.phases[name], "errors": dict(tally.errors[name]), **quantiles, "slowest": slowest}


def shown(found: dict[str, Any]) -> str:
    """The same for a reader."""
    kinds, routes = (_rows(found[by]) for by in ("by_kind", "by_route"))
    columns = ("requests", "hit_p50", "hit_p99", "miss_p50", "miss_p99")
    phases = [
        (name, *(("" if one[at] is None else one[at]) for at in columns), _counted(one["errors"]))
        for name, one in found["by_phase"].items()
    ]
    told = [
        f"{found['requests']} requests in {found['seconds']} s, {found['a_second']} a second",
        _table(("kind", "requests", "ended in", "of the good ones"), kinds),
        _table(("route", "requests", "ended in", "of the good ones"), routes),
        "First byte in ms (exact hits, misses), and the errors of requests that get 200 where nothing is away:",
        _table(("phase", *columns, "errors"), phases),
        f"resident memory, MB: {found['resident_mb']}",
        f"objects more, by type: {found['objects_more']}",
        f"caches more: {found['caches_more']}",
        *(f"held {when}: {found[f'held_{when}']}" for when in ("before", "after")),
        json.dumps(found),
    ]
    return "\n".join(told)


def _rows(by_name: dict[str, dict[str, Any]]) -> list[Sequence[Any]]:
    return [(name, one["requests"], _counted(one["ends"]), _counted(one["found"])) for name, one in by_name.items()]


def _counted(ends: dict[str, int]) -> str:
    return ", ".join(f"{end}: {number}" for end, number in ends.items())


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)
