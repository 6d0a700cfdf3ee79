"""Which tables of figures stand in the pages, what code they measure, and whether that code is still the one that was
measured. `make figures` writes them (`write_figures.py`); `tests/unit/test_figures.py` asks this.

A table names its commit. It is stale when more than a quarter of the measured lines have changed since, or when the
code has been worked on for 30 days since. Not with the first edit: a re-measurement takes a quiet machine and a quarter
of an hour, and a rule that asks for it at each merge is one that people learn to get around. What makes a request
slower by one edit is found by the tests that count (imports, round trips); this finds pages that tell of another
program. Dates are those of commits, so that a checkout does not go stale by lying about.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

CHANGED = 0.25
DAYS = 30
DAY = 86_400
COMMIT = re.compile(r"\b(?:at|[Cc]ommit) ([0-9a-f]{7,40})\b")

_OURS = "shared/subsecond"
# The way of a hit and a miss through one plain process.
PLAIN = tuple(
    f"{_OURS}/{room}"
    for room in ("pipeline.py", "api", "cache", "stages", "streaming", "single_flight", "stats", "stores/memory")
) + tuple(f"{_OURS}/upstreams/{part}" for part in ("openai.py", "admission.py", "http"))
# The same as functions, with tables.
AS_FUNCTIONS = (*PLAIN, *(f"{_OURS}/{room}" for room in ("aws", "stores/dynamodb", "stores/layered", "lambda_runtime")))


@dataclass(frozen=True, slots=True)
class Table:
    """page, name: where it stands, between `<!-- NAME -->` and `<!-- end -->`. of: what it measures."""

    page: str
    name: str
    of: tuple[str, ...]


TABLES = (
    Table("README.md", "a repeated question", PLAIN),
    Table("README.md", "added", PLAIN),
    Table("README.md", "cold", AS_FUNCTIONS),
    Table("docs/benchmarks.md", "run", PLAIN),
    Table("docs/operations.md", "requests", AS_FUNCTIONS),
    Table("docs/operations.md", "cold starts", AS_FUNCTIONS),
    Table("docs/operations.md", "one cold miss", AS_FUNCTIONS),
)


def why_stale(root: Path, table: Table) -> str | None:
    """In words; None while it is fresh."""
    found = re.search(rf"<!-- {re.escape(table.name)} -->(.*?)<!-- end -->", (root / table.page).read_text(), re.DOTALL)
    named = found and COMMIT.search(found[1])
    if not named:
        return "it names no commit"
    commit = named[1]
    if _git(root, "merge-base", "--is-ancestor", commit, "HEAD") is None:
        return f"its commit {commit} is none of this history: measure on a commit that is kept"
    changed, lines = _changed(root, commit, table.of), _lines(root, table.of)
    if changed > CHANGED * lines:
        return f"{changed} of {lines} measured lines have changed since {commit}"
    days = (_time(root, "HEAD", *table.of) - _time(root, commit)) / DAY
    return f"its code was worked on for {days:.0f} days since {commit}" if days > DAYS else None


def _changed(root: Path, commit: str, paths: tuple[str, ...]) -> int:
    """Lines that were taken out or put in; a file that was only moved has none."""
    told = _git(root, "diff", "--numstat", "-M", commit, "HEAD", "--", *paths) or ""
    return sum(int(number) for line in told.splitlines() for number in line.split("\t")[:2] if number.isdecimal())


def _lines(root: Path, paths: tuple[str, ...]) -> int:
    """Of the text files that are there now."""
    told = _git(root, "grep", "-I", "--count", "", "HEAD", "--", *paths) or ""
    return sum(int(line.rpartition(":")[2]) for line in told.splitlines())


def _time(root: Path, commit: str, *paths: str) -> int:
    """Of the last commit to these paths, up to this one."""
    return int(_git(root, "log", "-1", "--format=%ct", commit, "--", *paths) or 0)


def _git(root: Path, *words: str) -> str | None:
    """What it says; None where it says no."""
    done = subprocess.run(("git", "-C", root, *words), capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
