"""Learns the weights of the guards' score: `python training/train_guard.py --data DIR [--write] [--keep DIR]`.

DIR holds fow_pairs_dev.jsonl, banking77_dev.jsonl and clinc150_dev.jsonl (docs/guards.md tells where they are from);
these are learned from, and so are the project's own pairs (PAIRS). qqp_dev.jsonl, hardneg_dev.jsonl and
gptcache_mock.jsonl are measured on where they lie there, and never learned from. Every cut, and every figure of the
four, is of scores out of fold, by question. `--write` puts the weights where the policy reads them. The same data give
the same file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from guard_fit import Mix, Weights, learned, out_of_fold
from guard_rows import Floats, Rows, Vectors, neighbours, pairs
from measures import recall_at_precision

from subsecond.semantic.guards.features import NAMES
from subsecond.semantic.guards.lists import DATA
from subsecond.semantic.guards.score import FILE

FOW, BANKING, CLINC = "fow_pairs_dev", "banking77_dev", "clinc150_dev"
PAIRS = Path(__file__).parents[1] / "tests" / "data" / "pairs" / "pairs.jsonl"
OWN = "pairs"
MEASURED = ("qqp_dev", "hardneg_dev", "gptcache_mock")
SHARES = {FOW: 0.10, BANKING: 0.45, CLINC: 0.25, OWN: 0.20}
# Which weights a caution has, and what it may get wrong, as shares: traps of the pairs, wrong answers of the stream,
# out-of-scope questions answered.
CAUTIONS = {
    "strict": ("strict", {FOW: 0.015, BANKING: 0.014, CLINC: 0.005}),
    "balanced": ("open", {FOW: 0.04, BANKING: 0.016, CLINC: 0.005}),
    "bold": ("open", {FOW: 0.08, BANKING: 0.04, CLINC: 0.02}),
}
# static: of 0, 2, 4 and 6 the one with the most hits of the stream at 1.5 % errors, while more than half of the right
# fow pairs pass. minilm: of 16, 24 and 32 the one with the most of Quora's recall at .90; the stream's hits were level.
TRUST = {"static": 2.0, "minilm": 32.0}
# The share of the cut from which a model is worth asking. And the similarity below which no pair is looked at: of the
# right pairs with a good score this share lies below it.
MAYBE, GOOD, BELOW = 0.6, 0.8, 0.001
ROWS = {CLINC: 7_500, "qqp_dev": 12_000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--keep", type=Path, default=None, metavar="DIR", help="keep the vectors here for the next run")
    parser.add_argument("--write", action="store_true", help=f"write {FILE}")
    given = parser.parse_args()
    made = {}
    for name in TRUST:
        vectors = Vectors(name, given.keep)
        files = {FOW: pairs(given.data / f"{FOW}.jsonl", vectors), OWN: pairs(PAIRS, vectors)}
        files |= {kind: neighbours(given.data / f"{kind}.jsonl", vectors, ROWS.get(kind)) for kind in (BANKING, CLINC)}
        others = {
            kind: pairs(given.data / f"{kind}.jsonl", vectors, ROWS.get(kind))
            for kind in MEASURED
            if (given.data / f"{kind}.jsonl").exists()
        }
        made[name] = trained(name, files, others)
    if given.write:
        text = json.dumps({"embedders": made}, indent=1, sort_keys=True)
        (DATA / FILE).write_text(f"{text}\n", "utf-8")


def trained(name: str, files: Mapping[str, Rows], others: Mapping[str, Rows]) -> dict[str, object]:
    """The embedder's part of the file: weights and cut of each caution."""
    mixes = {
        "strict": Mix(SHARES, frozenset((FOW,)), TRUST[name]),
        "open": Mix(SHARES, frozenset(), TRUST[name]),
    }
    out = {mix: {kind: out_of_fold(files, of, kind) for kind in files} for mix, of in mixes.items()}
    unlisted = {mix: out_of_fold(files, of, FOW, lists=False) for mix, of in mixes.items()}
    weights = {mix: learned(files, of) for mix, of in mixes.items()}
    found: dict[str, object] = {}
    for caution, (mix, may) in CAUTIONS.items():
        cut = lowest(files, out[mix], may)
        found[caution] = _written(weights[mix], cut)
        print(f"\n## {name}, {caution}: score from {cut:.4f}")
        report(files, out[mix], cut)
        print(f"fow, as if no list of words were: {_passed(files[FOW], unlisted[mix], cut)}")
        for kind, rows in others.items():
            measured(kind, rows, weights[mix].score(rows), cut)
    served = [
        rows.features[(out["strict"][kind] >= GOOD) & rows.label & (rows.refused == ""), 0]
        for kind, rows in files.items()
    ]
    return {"cautions": found, "floor": round(float(np.quantile(np.concatenate(served), BELOW)), 2)}


def _written(weights: Weights, cut: float) -> dict[str, object]:
    return {
        "bias": round(weights.bias, 4),
        "cut": round(cut, 4),
        "maybe": round(MAYBE * cut, 4),
        "weights": {name: round(float(value), 4) for name, value in zip(NAMES, weights.values, strict=True)},
    }


def lowest(files: Mapping[str, Rows], scores: Mapping[str, Floats], may: Mapping[str, float]) -> float:
    """The lowest cut that keeps all the promises."""
    for cut in np.arange(0.02, 0.9999, 0.0025):
        traps = float((scores[FOW][~files[FOW].label] >= cut).mean())
        wrong = streamed(files[BANKING], scores[BANKING], cut)[1]
        outside = answered_outside(files[CLINC], scores[CLINC], cut)
        if traps <= may[FOW] and wrong <= may[BANKING] and outside <= may[CLINC]:
            return float(cut)
    return 0.9999


def streamed(rows: Rows, scores: Floats, cut: float) -> tuple[float, float]:
    """Share of requests answered, and answered wrongly: by the first of the candidates that passes. All are stored."""
    asked, first = np.unique(rows.group[scores >= cut], return_index=True)
    total = len(np.unique(rows.group))
    return len(asked) / total, float((~rows.label[scores >= cut][first]).sum()) / total


def answered_outside(rows: Rows, scores: Floats, cut: float) -> float:
    outside = rows.kind == "oos"
    answered = np.unique(rows.group[outside & (scores >= cut)])
    return len(answered) / max(1, len(np.unique(rows.group[outside])))


def _passed(rows: Rows, scores: Floats, cut: float) -> str:
    traps, hits = ((scores >= cut)[rows.label == side] for side in (False, True))
    told = [
        f"{name} {share.mean():.3f} {_interval(share)}"
        for name, share in (("traps", traps), ("hits", hits))
        if len(share)
    ]
    return ", ".join(told)


def _interval(share: np.ndarray) -> str:
    """Wilson's, 95 %."""
    n, p, z = len(share), float(share.mean()), 1.96
    middle, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return f"[{(middle - half) / (1 + z * z / n):.3f}, {(middle + half) / (1 + z * z / n):.3f}]"


def report(files: Mapping[str, Rows], scores: Mapping[str, Floats], cut: float) -> None:
    fow = files[FOW]
    print(f"fow: {_passed(fow, scores[FOW], cut)}")
    for kind in sorted(set(fow.kind)):
        mine = fow.kind == kind
        print(f"  {kind}: {int((scores[FOW][mine] >= cut).sum())} of {int(mine.sum())}")
    for name in (BANKING, CLINC):
        hit, wrong = streamed(files[name], scores[name], cut)
        outside = answered_outside(files[name], scores[name], cut)
        print(f"{name}: hits {hit:.3f}, wrong {wrong:.4f}, out of scope {outside:.4f}")
    print(f"{OWN}: {_passed(files[OWN], scores[OWN], cut)}")


def measured(kind: str, rows: Rows, scores: Floats, cut: float) -> None:
    if kind == "qqp_dev":
        at = {level: recall_at_precision(scores, rows.label, level) for level in (0.9, 0.8)}
        print(f"{kind}: recall {at[0.9]:.3f} at precision .90, {at[0.8]:.3f} at .80")
    print(f"{kind}: {_passed(rows, scores, cut)}")


if __name__ == "__main__":
    main()
