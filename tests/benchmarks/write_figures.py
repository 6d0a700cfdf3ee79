"""`make figures`: measures again, and writes the tables of the README and the docs with commit, date and machine.

    make figures                              # all: a quarter of an hour on a machine that does nothing else
    make figures ARGS="run"                   # a part: run, functions, cold-miss
    make figures ARGS="--quick --anyway --root COPY"     # does it work? Into the pages of a copy

It wants a commit that is kept, so commit first, and a machine that is quiet: figures taken beside other work tell of
that work. `staleness.py` says when a table has to be measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import as_on_aws
import cold
from pages import commit, write
from report import RIVAL, RIVAL_CACHE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OURS = "subsecond"
# Each scenario in so many rounds: streams take longer, and vary less.
RUN = (("stream, ", 4), ("whole", 8))
ABOUT = (
    "Everything on (the semantic cache too), misses and hits, whole and streamed. Targets that need AWS's stand-in "
    "(`subsecond_dynamodb`, `subsecond_lambda`) and full speed are left out here; cold starts are in "
    "[operations.md](operations.md#cold-starts)."
)


def main() -> None:
    options = arguments()
    if not options.anyway:
        _check()
    for part in options.parts or PARTS:
        PARTS[part](options.root, options.quick)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure again, and write the tables of the README and the docs.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="one round: does it work?")
    parser.add_argument("--anyway", action="store_true", help="with changes that are not committed, on a busy machine")
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder of README.md and docs/ to write into")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(unknown)}; the parts are {', '.join(PARTS)}")
    return options


def _check() -> None:
    """SystemExit where the figures would be worth nothing."""
    if commit().endswith("dirty"):
        sys.exit("Commit first: a table names the commit that it measured. (--anyway)")
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores / 2:
        sys.exit(f"Others load this machine ({load:.1f} on {cores} cores): the figures would be theirs. (--anyway)")


def _run(root: Path, quick: bool) -> None:  # noqa: FBT001 -- one signature for all parts
    """One plain process beside the proxy that a user would otherwise write."""
    targets = ("--targets", RIVAL, RIVAL_CACHE, OURS)
    told, scenarios, found = [], {}, {}
    for only, rounds in RUN:
        found, report = _bench("--only", only, "--rounds", str(1 if quick else rounds), *targets)
        scenarios |= found["scenarios"]
        told.append(report)
    write(root / "docs/benchmarks.md", {"run": "\n\n".join((f"Commit {commit()}. {ABOUT}", *told))})
    write(root / "README.md", plain_process(found | {"scenarios": scenarios}, commit()))


def _functions(root: Path, quick: bool) -> None:  # noqa: FBT001 -- as above
    """The functions under the Lambda host: requests as on AWS, and cold starts."""
    page = ("--page", root / "docs/operations.md", "--targets", OURS, *(["--quick"] if quick else []))
    _bench("--only", as_on_aws.NAME, *page)
    found, _ = _bench("--only", cold.NAME, *page)
    write(root / "README.md", cold_starts(found, commit()))


def _cold_miss(root: Path, _quick: bool) -> None:  # noqa: FBT001 -- as above
    """What runs in one cold miss, and when."""
    subprocess.run((sys.executable, HERE / "cold_miss.py", root / "docs/operations.md"), check=True)


PARTS: Mapping[str, Callable[[Path, bool], None]] = {"run": _run, "functions": _functions, "cold-miss": _cold_miss}


def _bench(*options: str | Path) -> tuple[dict[str, Any], str]:
    """Its figures, and what it says of them. It tells its progress itself."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "figures.json")
        command = (sys.executable, HERE / "bench.py", *options, "--out", out)
        ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(out.read_text()), ran.stdout.strip()


def plain_process(run: Mapping[str, Any], at: str) -> dict[str, str]:
    """The README's sections of a run in one plain process."""
    scenarios = run["scenarios"]
    hit = scenarios["hit, whole, 1 client"]["targets"][OURS]["total"]["p50"]
    rows = "\n".join(_added(scenarios, name, words) for name, words in ((RIVAL, "those 40 lines"), (OURS, "Subsecond")))
    return {
        "a repeated question": f"{hit:.2f} ms | whole, on this machine at {at}, everything on: "
        "[docs/benchmarks.md](docs/benchmarks.md)",
        "added": f"{_measured(run, at)}, misses, everything on, one run:\n\n"
        "| added by | first token, 1 client | 8 clients | whole reply, 1 client | 8 clients "
        f"| whole replies a second, 8 clients |\n|---|---|---|---|---|---|\n{rows}",
    }


def _added(scenarios: Mapping[str, Any], target: str, words: str) -> str:
    cells = [
        f"{scenarios[f'{kind}, {clients}']['targets'][target][f'{what}_added']['p50']:.1f} ms"
        for kind, what in (("stream", "ttft"), ("whole", "total"))
        for clients in ("1 client", "8 clients")
    ]
    each_second = scenarios["whole, 8 clients"]["targets"][target]["requests_per_second"]
    return f"| {words} | {' | '.join(cells)} | {each_second:.0f} |"


def cold_starts(run: Mapping[str, Any], at: str) -> dict[str, str]:
    """The README's sentence on cold starts."""
    hit, miss = (run["cold_starts"][f"streaming function, {kind}"]["of_floor"] for kind in ("hit", "miss"))
    return {
        "cold": "Cold, under AWS's runtime client on this machine, a hit's first byte takes "
        f"{hit:.2f} of what FastAPI, Mangum and a DynamoDB client take,\nand a miss's {miss:.2f} of the same with "
        f"`openai` ([docs/operations.md](docs/operations.md#cold-starts), commit {at})."
    }


def _measured(run: Mapping[str, Any], at: str) -> str:
    machine = run["machine"]
    on = f"{machine['cores']} cores of {machine['cpu']}, Python {machine['python']}"
    return f"Measured {run['date'][:10]} at {at} on {on}"


if __name__ == "__main__":
    main()
