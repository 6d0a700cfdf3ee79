"""`subsecond eval routing FILE...`: measures the difficulty score on rows `prompt, weak, strong`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from subsecond.config import Settings
from subsecond.routing.difficulty import CHANCE, SHIPPED, Scorer, load
from subsecond_local.errors import LocalError
from subsecond_local.evaluate import tables
from subsecond_local.evaluate.line_chart import Curve, Frame, LineChart, Place, write
from subsecond_local.evaluate.routing_figures import Figures, measured
from subsecond_local.evaluate.routing_rivals import RIVALS, TITLES, scored
from subsecond_local.evaluate.routing_rows import Routed, routed

# A text that the scorer cannot judge goes to the strong model.
UNKNOWN = 1.0
# Where the chart's axis ends. The gain may be more than all (a router that also avoids the strong model's own faults).
HIGHEST = 1.2


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """LocalError when a file or the scorer cannot be used."""
    name = options.scorer or Settings.from_env(environ).difficulty
    scorer = scorer_of(name)
    rows = routed(options.files, options.limit)
    values, cpu = timed(scorer, rows)
    found = compared(rows, values)
    report: dict[str, Any] = {**found["score"].report(), "cpu_ms": round(cpu, 4)}
    report |= {"rivals": {name: found[name].report() for name in RIVALS}}
    if known := fitted_on(name, options.files):
        report["fitted_on"] = known
    if len(options.files) > 1:
        report["files"] = {path.name: _alone(path, scorer) for path in options.files}
    names = ", ".join(path.name for path in options.files)
    if options.picture and found["score"].gain:
        drawn(options.picture, f"Routing: {names}", f"{len(rows):,} prompts", found)
        report["picture"] = str(options.picture)
    print(json.dumps(report) if options.json else said(f"{names}: {len(rows):,} prompts", report, found))
    return 0


def scorer_of(name: str) -> Scorer:
    try:
        scorer = load(name)
    except ValueError as error:
        raise LocalError(str(error)) from error
    if scorer is None:
        raise LocalError("The difficulty score is off (SUBSECOND_DIFFICULTY).")
    return scorer


def fitted_on(name: str, files: Sequence[Path]) -> list[str]:
    """Those of the files that the scorer was fitted on, found by their SHA-256. Its score on them proves nothing."""
    path = SHIPPED if name == "default" else Path(name.removeprefix("file:"))
    known = json.loads(path.read_text(encoding="utf-8")).get("provenance", {}).get("rows", {}).values()
    return [file.name for file in files if sha256(file.read_bytes()).hexdigest() in known]


def timed(scorer: Scorer, rows: Sequence[Routed]) -> tuple[list[float], float]:
    """The scores, and the CPU that one takes on average, in milliseconds."""
    begun = time.process_time()
    values = [scorer.score(row.prompt) for row in rows]
    cpu = 1000 * (time.process_time() - begun) / len(rows)
    return [UNKNOWN if one is None else one for one in values], cpu


def compared(rows: Sequence[Routed], values: Sequence[float]) -> dict[str, Figures]:
    """The score's figures, and its rivals' on the same rows."""
    weak, strong = (np.array([getattr(row, name) for row in rows], float) for name in ("weak", "strong"))
    prompts = [row.prompt for row in rows]
    found = {"score": measured(np.array(values, float), weak, strong)}
    return found | {name: measured(np.array(scored(prompts, name)), weak, strong) for name in RIVALS}


def drawn(path: Path, title: str, subtitle: str, found: Mapping[str, Figures]) -> None:
    """The recovered gain over the share of strong calls. LocalError when the file cannot be written."""
    frame = Frame(1.0, HIGHEST, "calls of the strong model", "gain recovered")
    curves = [Curve(TITLES[name], _places(one.gain)) for name, one in found.items()]
    write(path, LineChart(title, subtitle, frame, curves))


def _places(gain: Sequence[float]) -> list[Place]:
    """gain: at equal steps of the share."""
    steps = max(1, len(gain) - 1)
    return [(at / steps, min(HIGHEST, max(0.0, value))) for at, value in enumerate(gain)]


def said(head: str, report: Mapping[str, Any], found: Mapping[str, Figures]) -> str:
    """The report as text."""
    if report["apgr"] is None:
        return f"{head}. The strong model is no better than the weak one on these rows: there is nothing to route."
    rows: list[tuple[str, ...]] = [("", "APGR", "95 % interval", "CPT50", "CPT80")]
    for name, one in found.items():
        figures = one.report()
        between = f"{figures['apgr_low']:.3f} to {figures['apgr_high']:.3f}"
        percents = [f"{figures[part]:.1f} %" for part in ("cpt50", "cpt80")]
        rows.append((TITLES[name], f"{figures['apgr']:.3f}", between, *percents))
    parts = [f"{head}.", tables.columns(rows, indent="  ")]
    if report["apgr_low"] <= CHANCE:
        parts.append("  The interval includes chance (0.5): on such traffic this score is not known to be of any use.")
    if "fitted_on" in report:
        parts.append(f"  The score was fitted on {', '.join(report['fitted_on'])}: there it knows the answers.")
    if "cpu_ms" in report:
        parts.append(f"  A score takes {report['cpu_ms']:.3f} ms CPU.")
    if "picture" in report:
        parts.append(f"The curve is drawn in {report['picture']}.")
    return "\n\n".join(parts)


def _alone(path: Path, scorer: Scorer) -> dict[str, Any]:
    rows = routed([path])
    values, _ = timed(scorer, rows)
    weak, strong = (np.array([getattr(row, name) for row in rows], float) for name in ("weak", "strong"))
    return measured(np.array(values, float), weak, strong).report()
