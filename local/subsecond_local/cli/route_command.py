"""`subsecond route fit LOG`: fits a difficulty score to your own traffic.

It is tested on held-out prompts and refused when it is no better than chance there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import MutableMapping
from pathlib import Path

from subsecond_local.errors import LocalError

# The share of held-out rows, and how many there must be at least for a verdict.
SIDES = 3
LEAST_HELD = 50


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    actions = commands.add_parser("route", help="fit the choice of models to your own traffic").add_subparsers(
        dest="action", required=True
    )
    fit = actions.add_parser(
        "fit",
        help="a difficulty score from rows prompt, weak, strong",
        description="JSON Lines: a prompt, and how good the weak and the strong model's answers to it are, on any one "
        "scale. A third of the prompts is held out. The score is written only where it is better than chance on them.",
    )
    fit.add_argument("log", type=Path, metavar="LOG")
    fit.add_argument("--out", type=Path, default=Path("route.json"), metavar="FILE", help="default: %(default)s")
    fit.add_argument("--picture", type=Path, metavar="FILE.svg", help="where to draw the curve (default: beside LOG)")
    fit.add_argument("--no-picture", action="store_true", help="draw nothing")
    fit.add_argument("--json", action="store_true", help="print one JSON object, and nothing else")


def run(options: argparse.Namespace, environ: MutableMapping[str, str]) -> int:
    """0 when a score was written, 1 when it was refused. LocalError when the log cannot be used."""
    environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import numpy as np  # `--help` does not wait for it

    from subsecond.routing.difficulty import CHANCE, read
    from subsecond_local.evaluate import routing, routing_fit  # numpy
    from subsecond_local.evaluate.routing_rows import routed

    rows = routed([options.log])
    held = [row for row in rows if not routing_fit.side(row.prompt, SIDES, "held")]
    rest = [row for row in rows if routing_fit.side(row.prompt, SIDES, "held")]
    if len(held) < LEAST_HELD:
        raise LocalError(f"{options.log}: {len(held)} of {len(rows)} rows are held out; {LEAST_HELD} say something.")
    data = routing_fit.Data.of(rest)
    scores = routing_fit.out_of_fold(rest, data)
    nothing = routing_fit.judged(held, np.zeros(len(held)))
    if nothing.apgr is None:
        raise LocalError("The strong model is no better than the weak one on the rows held out: nothing to route.")
    file = routing_fit.scorer_file(data, scores, nothing)
    found = routing.compared(held, routing.timed(read(file), held)[0])
    figures = found["score"]
    good = figures.low is not None and figures.low > CHANCE
    report = {**figures.report(), "fitted_rows": len(rest), "accepted": good}
    if picture := _picture(options):
        routing.drawn(picture, f"Routing fitted to {options.log.name}", f"{len(held):,} prompts held out", found)
        report["picture"] = str(picture)
    if good:
        file["measured"] = figures.report()
        said = {"made_by": "subsecond route fit", "fitted_on": len(rest)}
        _write(options.out, json.dumps(routing_fit.provenance(file, said), separators=(",", ":")) + "\n")
        report["written"] = str(options.out)
    table = routing.said(_head(options, report), report, found)
    print(json.dumps(report) if options.json else _said(options, report, table))
    return 0 if good else 1


def _picture(options: argparse.Namespace) -> Path | None:
    """Where to draw: beside the log unless told otherwise; with `--json` only where it is named."""
    named: Path | None = options.picture
    log: Path = options.log
    if options.no_picture or (options.json and not named):
        return None
    return named or log.with_suffix(".svg")


def _head(options: argparse.Namespace, report: dict[str, object]) -> str:
    return f"{options.log.name}: fitted on {report['fitted_rows']:,} prompts, measured on {report['n']:,} others"


def _said(options: argparse.Namespace, report: dict[str, object], table: str) -> str:
    if report["accepted"]:
        path = options.out.absolute()
        return f"{table}\n\nWritten to {options.out}. SUBSECOND_DIFFICULTY=file:{path} switches it on."
    return f"{table}\n\nRefused: its interval includes chance, so nothing is written. More rows, or keep what there is."


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LocalError(f"{path} cannot be written: {error.strerror}.") from error
