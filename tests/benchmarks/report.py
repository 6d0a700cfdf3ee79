"""The run as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from figures import per_chunk
from pages import commit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

BASE = "direct"
RIVAL = "naive"
RIVAL_CACHE = "naive_cache"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column to the left, the figures to the right."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def markdown(run: Mapping[str, Any]) -> str:
    """The whole report of `run` (as it stands in the JSON file)."""
    scenarios = run["scenarios"]
    misses = {name: each for name, each in scenarios.items() if not each["hits"]}
    hits = {name: each for name, each in scenarios.items() if each["hits"]}
    parts = [_head(run), *(_miss(name, each) for name, each in misses.items()), _chunks(misses)]
    parts += [_hits(hits), _memory(run["resident_megabytes"]), _cold(run["cold_starts"])]
    parts += [_as_on_aws(run["as_on_aws"]), _noise(run)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _cold(starts: Mapping[str, Any]) -> str:
    if not starts:
        return ""
    rows = [
        [
            name,
            f"{each['cold_ms']:.0f} ({min(each['runs_ms']):.0f} to {max(each['runs_ms']):.0f})",
            f"{each['of_floor']:.2f}",
            f"{each['cpu_ms']:.0f}",
            f"{each['cpu_of_floor']:.2f}",
            f"{each['warm_ms']:.1f}",
            f"{each['megabytes']:.0f}",
        ]
        for name, each in starts.items()
    ]
    heads = ["", "first byte, cold (runs)", "x floor", "CPU", "CPU x floor", "second request", "MB"]
    return (
        "**Cold starts under the Lambda host** (process start to first byte; CPU ms until the response's end; "
        "a hit is compared with the floor without openai, a miss with the one with it; the second request is a miss, "
        f"which after a hit loads what a miss needs)\n\n{table(heads, rows)}"
    )


def on_aws(run: Mapping[str, Any]) -> dict[str, str]:
    """The tables of docs/operations.md, each with what it was measured on."""
    machine = run["machine"]
    told = (
        f"Measured {run['date'][:10]} at {commit()} on {machine['cores']} cores of {machine['cpu']}, "
        f"Python {machine['python']}, load average {run['load'][0]:.1f} before and {run['load'][1]:.1f} after."
    )
    parts = {"requests": _as_on_aws(run["as_on_aws"]), "cold starts": _cold(run["cold_starts"])}
    return {name: f"{told} {part}" for name, part in parts.items() if part}


def _as_on_aws(found: Mapping[str, Any]) -> str:
    if not found:
        return ""
    pauses = ("warm", "after 2 s", "after 10 min", "cold")
    rows = []
    for row in found["rows"]:
        took = [row["pauses"].get(pause) for pause in pauses]
        own = None if row["trips"] is None else row["trips"] * found["trip_ms"]
        idle = row["pauses"]["after 10 min"]["first_ms"]
        rows.append(
            [
                f"{row['kind']}, {'streamed' if row['streamed'] else 'whole'}",
                *("-" if one is None else f"{one['first_ms']:.1f}" for one in took),
                "-" if own is None else f"{row['trips']}: {own:.1f}",
                "-" if own is None else f"{idle - own:.1f}",
                f"{row['pauses']['warm']['tail_ms']:.2f}",
            ]
        )
    heads = ["", *pauses, "trips: their own time", "beyond them, after 10 min", "end after last byte, warm"]
    return (
        f"**As on AWS** (ms to the first byte, medians of {found['rounds']}: 0.58 of a core, frozen between requests, "
        f"DynamoDB 4 ms and S3 20 ms at the median with a tail; one read of the table took {found['trip_ms']:.1f} ms "
        "here; only the wall clock moves ten minutes on, connections stay open; what needs a memory is never cold)"
        f"\n\n{table(heads, rows)}"
    )


def _head(run: Mapping[str, Any]) -> str:
    machine = run["machine"]
    return (
        f"Measured {run['date']} on {machine['cores']} cores of {machine['cpu']}, Python {machine['python']}, "
        f"{run['rounds']} rounds; load average {run['load'][0]:.1f} before and {run['load'][1]:.1f} after. Client, "
        "gateway and simulator share the cores. Milliseconds; `added` is the difference to the direct call's same "
        "quantile, with the rounds' own differences of p50 behind it (min / median / max; in the direct call's row: "
        "its p50 itself); `x naive` is the ratio of what is added."
    )


def _miss(name: str, each: Mapping[str, Any]) -> str:
    targets = each["targets"]
    heads = ["", "ok/err"]
    kinds = [("ttft", "TTFT"), ("total", "total")] if each["streamed"] else [("total", "total")]
    for _, label in kinds:
        heads += [f"{label} p50/p99", "added p50 (rounds)", "added p99", "x naive"]
    rows = [
        [target, f"{figures['ok']}/{figures['errors']}", *_added(targets, target, kinds), *_load(figures)]
        for target, figures in targets.items()
    ]
    return f"**{name}** (`{each['model']}`)\n\n{table([*heads, 'req/s', 'server CPU ms'], rows)}"


def _load(figures: Mapping[str, Any]) -> list[str]:
    return [f"{figures['requests_per_second']:.1f}", f"{figures['server_cpu_ms']:.2f}"]


def _added(targets: Mapping[str, Any], target: str, kinds: Sequence[tuple[str, str]]) -> Iterator[str]:
    for kind, _ in kinds:
        figures = targets[target]
        yield _pair(figures[kind])
        added = figures.get(f"{kind}_added")
        if added is None or target == BASE:
            yield from (f"({_three(figures[kind]['rounds_p50'])})", "", "")
            continue
        yield f"{added['p50']:.2f} ({_three(added['rounds_p50'])})"
        yield f"{added['p99']:.2f}"
        yield _ratio(added["p50"], targets.get(RIVAL, {}).get(f"{kind}_added"))


def _ratio(value: float, rival: Mapping[str, float] | None) -> str:
    """How many times the rival's p50; a dash where it is not there or added nothing."""
    return f"{value / rival['p50']:.2f}" if rival and rival["p50"] > 0 else "-"


def _three(rounds: Mapping[str, float]) -> str:
    return f"{rounds['min']:.2f} / {rounds['median']:.2f} / {rounds['max']:.2f}"


def _pair(figures: Mapping[str, float]) -> str:
    return f"{figures['p50']:.2f} / {figures['p99']:.2f}"


def _chunks(misses: Mapping[str, Any]) -> str:
    lengths = sorted(
        (each for each in misses.values() if each["full_speed"] and each["concurrency"] == 1),
        key=lambda each: each["targets"][BASE]["chunks"],
    )
    if not lengths:
        return ""
    names = [name for name in lengths[0]["targets"] if name != BASE]
    counts = [f"{each['targets'][BASE]['chunks']:.0f} chunks" for each in lengths]
    rows = []
    for name in names:
        found = [each["targets"][name] for each in lengths]
        slope = f"{per_chunk(found[-1], found[0]):.3f}" if len(found) > 1 else "-"
        rows.append([name, *(f"{per_chunk(figures):.3f}" for figures in found), slope])
    return (
        "**Cost of a chunk at full speed** (ms: what is added to the total, p50, by the number of chunks; the slope "
        "leaves out what a request costs anyway)\n\n" + table(["", *counts, "slope"], rows)
    )


def _hits(hits: Mapping[str, Any]) -> str:
    heads = ["", "target", "ok/err", "upstream calls", "TTFT p50/p99", "total p50/p99", "p50 (rounds)"]
    heads += ["x naive_cache", "x direct miss", "req/s"]
    rows = [
        [name, target, *_hit(each, figures)]
        for name, each in hits.items()
        for target, figures in each["targets"].items()
    ]
    return "**Exact hits**\n\n" + table(heads, rows) if rows else ""


def _hit(each: Mapping[str, Any], figures: Mapping[str, Any]) -> Iterator[str]:
    total = figures["total"]
    yield f"{figures['ok']}/{figures['errors']}"
    yield f"{figures['upstream_calls']}"
    yield _pair(figures["ttft"]) if each["streamed"] else ""
    yield _pair(total)
    yield _three(total["rounds_p50"])
    yield _ratio(total["p50"], each["targets"].get(RIVAL_CACHE, {}).get("total"))
    yield f"{total['p50'] / each['direct_ms']:.4f}" if each["direct_ms"] else "-"
    yield f"{figures['requests_per_second']:.1f}"


def _memory(resident: Mapping[str, float]) -> str:
    rows = [[name, f"{megabytes:.0f}"] for name, megabytes in resident.items()]
    return "**Resident memory after the run** (MB, with all descendants)\n\n" + table(["", "RSS"], rows)


def _noise(run: Mapping[str, Any]) -> str:
    spreads = [
        each["targets"][BASE][kind]["rounds_p50"]
        for each in run["scenarios"].values()
        if BASE in each["targets"]
        for kind in ("ttft", "total")
    ]
    if not spreads:
        return ""
    widest = max(spread["max"] - spread["min"] for spread in spreads)
    return (
        f"Noise: the rounds' p50 of one and the same direct call lay up to {widest:.2f} ms apart (in the widest "
        "scenario). Differences of that size between targets say nothing; p99 is near the maximum where `ok` is below "
        "a few hundred."
    )
