"""What the command prints: a table to share, or one JSON object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from textwrap import wrap
from typing import Any

from subsecond_local.verify.outcome import Outcome
from subsecond_local.verify.run import Run

WIDTH = 100


def table(run: Run, found: Mapping[str, Outcome]) -> str:
    stack = run.stack
    where = "an emulator, not AWS" if stack.emulated else stack.region
    lines = [f"{stack.name} ({where}), {run.model or 'no model'}", ""]
    column = max(map(len, found))
    for name, one in found.items():
        begin = f"{name:<{column}}  {one.state:<7}  "
        texts = [one.said, *([f"-> {one.todo}"] if one.todo else [])]
        rows = [row for text in texts for row in wrap(text, WIDTH)]
        lines += [(begin if n == 0 else " " * len(begin)) + row for n, row in enumerate(rows)]
    lines += ["", ", ".join(f"{n} {state}" for state, n in counted(found).items())]
    return "\n".join(lines)


def public(run: Run, found: Mapping[str, Outcome], calls: Mapping[str, int]) -> dict[str, Any]:
    """calls: what was asked of the account, by IAM's names."""
    return {
        "stack": run.stack.name,
        "region": run.stack.region,
        "emulated": run.stack.emulated,
        "model": run.model,
        "run": run.tag,
        "checks": [
            {"name": name, "state": one.state, "said": one.said, "todo": one.todo, "figures": dict(one.figures)}
            for name, one in found.items()
        ],
        "counts": counted(found),
        "calls": dict(sorted(calls.items())),
    }


def counted(found: Mapping[str, Outcome]) -> dict[str, int]:
    states = Counter(one.state for one in found.values())
    return {state: states[state] for state in ("passed", "failed", "not run")}
