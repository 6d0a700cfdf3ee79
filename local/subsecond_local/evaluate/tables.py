"""Reports as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NONE = "-"
# Wrong rows that are shown, and characters of a text of theirs.
SHOWN, LONGEST = 10, 90
# The names of the figures that are read along the score, in both reports.
ALONG = {
    "recall_at_p80": "recall at precision 80 %",
    "recall_at_p90": "recall at precision 90 %",
    "p_chr_auc": "precision over hit ratio (P-CHR AUC)",
}


def columns(rows: Sequence[Sequence[str]], *, indent: str = "") -> str:
    """Aligned text columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *rest in rows:
        aligned = [text.rjust(width) for text, width in zip(rest, widths[1:], strict=True)]
        lines.append(indent + "  ".join([first.ljust(widths[0]), *aligned]).rstrip())
    return "\n".join(lines)


def percent(share: float | None) -> str:
    return NONE if share is None else f"{100 * share:.1f} %"


def between(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def decided(report: Mapping[str, Any]) -> str:
    """The report of `eval pairs` and `eval conversations`."""
    names = {
        "hits_served": "hits served (label 1)",
        "traps_answered": "traps answered (label 0)",
        "precision": "precision",
        **ALONG,
    }
    rows = [("", "", "95 % interval")]
    rows += [(text, percent(report[name]), between(report["intervals"][name])) for name, text in names.items()]
    parts = [_head(report), columns([*rows, *_retained(report)], indent="  ")]
    if report["by_kind"]:
        kinds = [("kind", "label", "rows", "answered", "95 % interval")]
        kinds += [
            (kind, str(one["label"]), str(one["n"]), percent(one["answered"]), between(one["interval"]))
            for kind, one in report["by_kind"].items()
        ]
        parts.append(columns(kinds, indent="  "))
    return "\n\n".join([*parts, *_wrong(report["wrong"]), _small(report)])


def streamed(report: Mapping[str, Any]) -> str:
    names = {
        "hit_rate": "answered from the cache",
        "error_rate": "answered wrongly, of all",
        "oos_answered": "out of scope, answered",
        "precision": "right, of those answered",
        **ALONG,
    }
    rows = [("", "", "95 % interval")]
    rows += [(text, percent(report[name]), between(report["intervals"][name])) for name, text in names.items()]
    exact = f"  {report['entries']:,} entries in the end; {report['exact']:,} exact repeats."
    table = columns([*rows, *_retained(report)], indent="  ")
    return "\n\n".join([_head(report), table, *_wrong(report["wrong"]), exact])


def verified(report: Mapping[str, Any]) -> str:
    low, high = report["false_hit_interval"]
    left = report["checks_left"]
    rows = [
        ("answered from the cache", percent(report["hit_rate"]), ""),
        ("semantic hits that were wrong", percent(report["false_hit_rate"]), "by the labels"),
        ("what the checks say of that", f"{percent(low)} to {percent(high)}", "95 % at all times"),
        (
            "the bound",
            percent(report["max_error"]),
            report["state"] + ("" if left is None else f", {left:,} checks left"),
        ),
        ("the judge was asked", f"{report['judge_calls']:,}", f"{percent(report['judge_call_rate'])} of the requests"),
        ("the cut in the end", f"{report['cut']:.3f}", f"raised {report['retreats']} times"),
        ("out of scope, answered", percent(report["oos_answered"]), ""),
    ]
    return f"{_head(report)}\n\n{columns(rows, indent='  ')}"


def orders(report: Mapping[str, Any]) -> str:
    """Of many orders of one stream."""

    def row(name: str, label: str) -> tuple[str, str, str]:
        values = report[name]
        return label, percent(values["mean"]), f"{percent(values['least'])} to {percent(values['most'])}"

    of_orders = f"of {report['orders']} orders"
    rows = [
        (f"the bound of {percent(report['max_error'])} held", percent(report["bound_held"]), of_orders),
        ("the told interval had the truth", percent(report["interval_covered"]), "in the end"),
        ("", percent(report["interval_covered_always"]), "at all looks"),
        ("ended with exact hits only", percent(report["exact_only"]), of_orders),
        row("hit_rate", "answered from the cache"),
        row("false_hit_rate", "semantic hits that were wrong"),
        row("judge_call_rate", "the judge was asked, of the requests"),
        ("the cut was raised", f"{report['retreats']['mean']:.1f} times", ""),
    ]
    if worse := report["hits_after_worse"]:
        rows.append(("semantic hits of the worse policy", f"{worse['mean']:,.0f}", f"{worse['most']:,.0f} at the most"))
    return f"{_head(report)}\n\n{columns(rows, indent='  ')}"


def repeated(report: Mapping[str, Any]) -> str:
    names = {
        "exact": "exact hits",
        "semantic": f"semantic hits, from {report['cut']:.3f}",
        "wrong": "of these wrong, of all requests",
        "unsure": "misses near an unsure candidate",
        "alias_hits": "an alias would answer",
        "lasting_alias_hits": "one that outlives its entry",
    }
    rows = [(label, percent(report[name])) for name, label in names.items()]
    return f"{_head(report)}\n\n{columns(rows, indent='  ')}"


def searched(report: Mapping[str, Any]) -> str:
    high = report["recall_at_1_above_08"]
    rows = [
        ("stage, without embedding", f"{report['stage_cpu_ms']:.3f} ms CPU", f"p90 {report['stage_cpu_ms_p90']:.3f}"),
        ("embedding one question", f"{report['embed_cpu_ms']:.3f} ms CPU", ""),
        ("recall at 1", f"{report['recall_at_1']:.4f}", "" if high is None else f"above 0.8: {high:.4f}"),
        ("memory", f"{report['bytes'] / 1e6:.1f} MB", f"{report['bytes_per_vector_byte']:.2f} x the vectors"),
    ]
    asked = (
        f"  {report['queries']} asked, {report['judged_per_query']:.2f} candidates judged each, {report['hits']} hits."
    )
    head = f"{report['rows']:,} rows in {report['segments']} segments; {_setting(report)}"
    return "\n\n".join([head, columns(rows, indent="  "), asked])


def _retained(report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What a perfect score would have, and how much of its ranking the score keeps in operation."""
    if report["p_chr_auc"] is None:
        return []
    return [
        ("  at most, with a perfect score", percent(report["p_chr_auc_at_most"]), ""),
        (
            "calibration retention (P-CHR / PR-AUC)",
            percent(report["calibration_retention"]),
            between(report["intervals"]["calibration_retention"]),
        ),
    ]


def _wrong(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A paragraph with the wrong rows, as far as they are shown; none where nothing was wrong."""
    if not rows:
        return []
    lines = [f"  answered wrongly: {len(rows):,} rows"]
    for one in rows[:SHOWN]:
        why = "; ".join(one.get("reasons", ())) or f"{one['stored_intent']}, asked for {one['intent']}"
        lines.append(f"    {one['row']:>6}  {_short(one['stored'])} -> {_short(one['asked'])}  ({why})")
    if len(rows) > SHOWN:
        lines.append(f"    and {len(rows) - SHOWN:,} more: --json lists them all")
    return ["\n".join(lines)]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."


def _head(report: Mapping[str, Any]) -> str:
    return f"{report['file']}: {report['n']:,} rows; {_setting(report)}"


def _setting(report: Mapping[str, Any]) -> str:
    return f"policy {report['policy']} from similarity {report['threshold']:.3f}, embedder {report['embedder']}."


def _small(report: Mapping[str, Any]) -> str:
    said = f"  {report['one_scope']:,} rows in one scope, {report['exact']:,} of them exact repeats."
    cpu = report["judge_cpu_ms"]
    return said if cpu is None else f"{said} The policy takes {cpu:.3f} ms CPU for a candidate."
