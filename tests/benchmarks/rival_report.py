"""The part beside GPTCache as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from report import table

if TYPE_CHECKING:
    from collections.abc import Mapping

HEAD = "**Beside GPTCache**"
RIVAL = "GPTCache"


def section(found: Mapping[str, Any]) -> str:
    """`found` as it stands in the JSON file."""
    if "skipped" in found:
        return f"{HEAD}: left out. {found['skipped']}."
    parts = [_head(found)]
    for size in found["sizes"]:
        rows = f"{size['rows']:,} entries"
        parts += [_times(f"Search, {rows}", size["search"]), _times(f"Whole hit, {rows}", size["hit"])]
    parts += [_decisions(each) for each in found["decisions"]]
    if not found["decisions"] and not found["lost"]:
        parts.append("Decisions: left out, because no `--pairs FILE` and no `--stream FILE` was given.")
    parts += [f"Decisions on `{name}`: left out, there is no such file." for name in found["lost"]]
    parts += [f"Policy `{name}`: left out, there is none here." for name in found["absent"]]
    return "\n\n".join(parts)


def _head(found: Mapping[str, Any]) -> str:
    theirs = found["theirs"]
    versions = ", ".join(f"{name} {number}" for name, number in theirs.items() if name != "gptcache")
    words = f"of {found['words']} words only" if found["words"] else "of the embedder's vocabulary"
    place = "in memory (tmpfs)" if found["in_memory"] else "on disk"
    return (
        f"{HEAD} {theirs['gptcache']} ({versions}; its database {place}); ours: Python {found['ours']['python']}, "
        f"numpy {found['ours']['numpy']}, vectors of `{found['ours']['embedder']}` for both. Questions made {words}. "
        f"Measured {found['date']}, load average {found['load'][0]:.1f} before and {found['load'][1]:.1f} after; both "
        f"sides on the same core, {found['rounds']} rounds of {found['asks']} questions in turns. Milliseconds; no "
        "embedding and no HTTP on either side; in brackets the lowest and the highest p50 of a round."
    )


def _times(title: str, sides: Mapping[str, Any]) -> str:
    base = sides[RIVAL]["cpu"]["p50"]
    rows = [
        [
            name,
            f"{each['answered']:.1%}",
            f"{each['right']:.1%}",
            *(_quantiles(each[kind]) for kind in ("cpu", "wall")),
            f"{each['cpu']['p50'] / base:.2f}",
        ]
        for name, each in sides.items()
    ]
    heads = ["", "answered", "by the nearest", "CPU p50 (rounds) / p99", "wall p50 (rounds) / p99", "CPU x GPTCache"]
    return f"**{title}**\n\n{table(heads, rows)}"


def _quantiles(figures: Mapping[str, Any]) -> str:
    low, high = figures["rounds_p50"]
    return f"{figures['p50']:.2f} ({low:.2f} to {high:.2f}) / {figures['p99']:.2f}"


def _decisions(each: Mapping[str, Any]) -> str:
    how = "in order from an empty cache" if each["learn"] else f"with {each['stored']:,} stored"
    rows = [
        [name, *(_share(one[kind]) for kind in ("hit_rate", "error_rate", "precision", "oos_answered"))]
        for name, one in each["sides"].items()
    ]
    heads = ["", "hits", "wrong, of all", "right, of hits", "out of scope, answered"]
    return f"**Decisions on `{each['file']}`**, {each['asked']:,} asked, {how}\n\n{table(heads, rows)}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"
