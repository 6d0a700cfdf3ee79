"""Makes `shared/subsecond/routing/data/difficulty.json`: the weights of the shipped difficulty scorer.

    python training/train_difficulty.py gsm8k.dev.jsonl mmlu.dev.jsonl --never mt_bench.dev.jsonl --out FILE

The rows are outcomes of GPT-4-1106 (strong) and Mixtral 8x7B (weak) as RouteLLM published them (repository
lm-sys/RouteLLM, `routellm/evals`, Apache-2.0) on GSM8K and MMLU (MIT). The figures are out of fold: each row is scored
by weights that have not seen its prompt. `--never`: files that are measured and never fitted. Takes a minute.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from subsecond.routing.difficulty import read
from subsecond_local.evaluate import routing
from subsecond_local.evaluate import routing_fit as fit
from subsecond_local.evaluate.routing_figures import Figures
from subsecond_local.evaluate.routing_rows import routed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--never", type=Path, nargs="*", default=[])
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    parts = [routed([path]) for path in options.files]
    rows = [row for part in parts for row in part]
    data = fit.Data.of(rows)
    scores = fit.out_of_fold(rows, data)
    found = routing.compared(rows, scores.tolist())
    figures = found["score"]
    for name, one in found.items():
        said(f"mixed: {name}", one)
    if options.picture:
        routing.drawn(options.picture, "Difficulty out of fold: MMLU and GSM8K", f"{len(rows):,} prompts", found)
    at = 0
    for path, part in zip(options.files, parts, strict=True):
        said(path.name, fit.judged(part, scores[at : at + len(part)]))
        at += len(part)
    file = fit.scorer_file(data, scores, figures)
    file = fit.provenance(file, {"made_by": "training/train_difficulty.py", "rows": named(options.files)})
    options.out.write_text(json.dumps(file, separators=(",", ":")) + "\n", encoding="utf-8")
    unseen(options.never, options.out)


def unseen(paths: Sequence[Path], out: Path) -> None:
    """The finished scorer's figures on files that it was never fitted on."""
    scorer = read(json.loads(out.read_text(encoding="utf-8")))
    for path in paths:
        rows = routed([path])
        said(f"{path.name}, never trained on", fit.judged(rows, np.array([scorer.score(row.prompt) for row in rows])))


def named(paths: Sequence[Path]) -> dict[str, str]:
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in paths}


def said(name: str, figures: Figures) -> None:
    print(f"{name:40s} {json.dumps(figures.report())}", flush=True)


if __name__ == "__main__":
    main()
