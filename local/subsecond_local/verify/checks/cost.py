"""What the run itself has cost: by Lambda's own report where the log can be read, else by the time it took here."""

from __future__ import annotations

from collections.abc import Sequence

from subsecond_local.reference.cost_tables import MILLION, Assumptions, Prices, rows
from subsecond_local.verify.outcome import Outcome, passed
from subsecond_local.verify.ports import Denied, Face, Refused, Report
from subsecond_local.verify.reports import reports
from subsecond_local.verify.run import Run

# Of the statistics function.
SMALL = 0.5


def cost(run: Run) -> Outcome:
    prices = Prices()
    seconds, reported = gb_seconds(run)
    asked, tokens = len(run.asked), sum(one.tokens for one in run.asked)
    tables = sum(of_tables(one.source) for one in run.asked if one.source)
    dollars = asked * prices.request + seconds * prices.gb_second + tables
    how = f"{reported} invocations by Lambda's report" if reported else "by the time that they took here"
    return passed(
        f"${dollars:.5f} for {asked} requests ({seconds:.2f} GB-seconds, {how}), and {tokens} tokens of the model",
        {"dollars": round(dollars, 6), "requests": asked, "gb_seconds": round(seconds, 3), "tokens": tokens},
    )


def gb_seconds(run: Run) -> tuple[float, int]:
    """Of all functions that were asked; and how many invocations were known by their reports."""
    memory = float(run.stack.parameters.get("MemorySize", "1024")) / 1024
    total, known = 0.0, 0
    faces: tuple[Face, ...] = ("streaming", "completion", "statistics")
    for face in faces:
        found = _reports(run, face)
        total += sum(one.billed_ms / 1000 * one.memory_mb / 1024 for one in found)
        known += len(found)
        # Nobody asked for what was warmed.
        told = {one.request for one in found} - {""}
        size = SMALL if face == "statistics" else memory
        total += size * sum(one.seconds for one in run.asked if one.face == face and one.request not in told)
    return total, known


def _reports(run: Run, face: Face) -> Sequence[Report]:
    try:
        return reports(run, face)
    except (Denied, Refused):
        return ()


def of_tables(source: str) -> float:
    """Dollars of an answer's reads, writes and lines of log, and of what the indexer does about it."""
    exact, similar, miss, _ = rows(Prices(), Assumptions())
    row = {"exact": exact, "semantic": similar}.get(source, miss)
    return (row.tables + row.logs + row.rest) / MILLION
