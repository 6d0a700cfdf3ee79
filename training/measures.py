"""Measures how well vectors serve a cache: each measure gives a figure for the rows and for each bootstrap resample.

A measure is a `Figure`: the value, and the same value over RESAMPLES resamples. The resamples are the same for every
embedder (one seed), so the difference of two figures' resamples is a paired comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 300
SEED = 7
TRAPS = 0.03  # share of wrong pairs that may pass
STREAM_ERROR = 0.017  # wrong answers over all requests of a stream
OOS_ERROR = 0.005  # share of out-of-scope questions answered
STREAM = 2_500  # requests of a stream

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]
Pick = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Figure:
    value: float
    resamples: Floats

    @property
    def interval(self) -> tuple[float, float]:
        """The middle 95 % of the resamples."""
        low, high = np.quantile(self.resamples, (0.025, 0.975))
        return float(low), float(high)

    def minus(self, other: Figure) -> Figure:
        return Figure(self.value - other.value, self.resamples - other.resamples)


def figure(rows: int, value: Callable[[Pick], float]) -> Figure:
    rng = np.random.default_rng(SEED)
    resamples = np.array([value(rng.integers(0, rows, rows)) for _ in range(RESAMPLES)])
    return Figure(value(np.arange(rows)), resamples)


def pairs(left: Vectors, right: Vectors, labels: Sequence[int]) -> dict[str, Figure]:
    """Rows of two texts each. Where every label is 1: how often the partner is the nearest of all right texts."""
    score = np.einsum("ij,ij->i", left, right).astype(np.float64)
    label = np.array(labels, bool)
    rows = len(label)
    if label.all():
        nearest = (left @ right.T).argmax(1) == np.arange(rows)
        return {"recall@1": figure(rows, lambda pick: float(nearest[pick].mean()))}
    return {
        "AUC": figure(rows, lambda pick: auc(score[pick], label[pick])),
        "hits at 3 % traps": figure(rows, lambda pick: hits_at_traps(score[pick], label[pick])),
        "recall at P .80": figure(rows, lambda pick: recall_at_precision(score[pick], label[pick], 0.80)),
        "recall at P .90": figure(rows, lambda pick: recall_at_precision(score[pick], label[pick], 0.90)),
    }


def auc(score: Floats, label: NDArray[np.bool_]) -> float:
    order = np.argsort(score, kind="stable")
    ranks = np.empty(len(score))
    # Equal scores share their mean rank.
    _, first, inverse, count = np.unique(score[order], return_index=True, return_inverse=True, return_counts=True)
    ranks[order] = (first + (count + 1) / 2)[inverse]
    positives = int(label.sum())
    return float((ranks[label].sum() - positives * (positives + 1) / 2) / (positives * (len(label) - positives)))


def hits_at_traps(score: Floats, label: NDArray[np.bool_]) -> float:
    """Share of right pairs above the lowest threshold that lets at most TRAPS of the wrong ones pass."""
    wrong = np.sort(score[~label])[::-1]
    threshold = wrong[int(TRAPS * len(wrong))]
    return float((score[label] > threshold).mean())


def recall_at_precision(score: Floats, label: NDArray[np.bool_], precision: float) -> float:
    order = np.argsort(-score, kind="stable")
    right = np.cumsum(label[order])
    good = right / np.arange(1, len(order) + 1) >= precision
    return float(right[good].max(initial=0) / label.sum())


def intents(vectors: Vectors, names: Sequence[str]) -> dict[str, Figure]:
    """Rows of one text and its intent, in the order of a stream; `oos` is the intent of what has none."""
    name = np.array(names)
    inside = np.flatnonzero(name != "oos")
    score, nearest = _neighbours(vectors, vectors[inside], inside)
    right = name[inside][nearest] == name
    found = right[inside]
    figures = {"1-NN": figure(len(found), lambda pick: float(found[pick].mean()))}
    figures |= _stream(vectors[inside[:STREAM]], name[inside[:STREAM]])
    outside = score[name == "oos"]
    if len(outside):
        threshold = np.sort(outside)[::-1][int(OOS_ERROR * len(outside))]
        served = (score[inside] > threshold) & found
        figures["right hits at .5 % oos"] = figure(len(served), lambda pick: float(served[pick].mean()))
    return figures


def _neighbours(vectors: Vectors, stored: Vectors, places: Pick) -> tuple[Floats, Pick]:
    """Each vector's best score among the stored ones but itself, and where."""
    best, where = np.empty(len(vectors)), np.empty(len(vectors), np.int64)
    column = {int(place): index for index, place in enumerate(places)}
    for start in range(0, len(vectors), 1024):
        block = vectors[start : start + 1024] @ stored.T
        for row in range(len(block)):
            if (own := column.get(start + row)) is not None:
                block[row, own] = -2
        where[start : start + len(block)] = block.argmax(1)
        best[start : start + len(block)] = block.max(1)
    return best, where


def _stream(vectors: Vectors, names: NDArray[np.str_]) -> dict[str, Figure]:
    """A cache that starts empty and answers from the nearest entry at or above a threshold, else stores: the most hits
    whose wrong ones stay within STREAM_ERROR of all requests. The threshold is read on the same rows."""
    scores = vectors @ vectors.T
    best = np.zeros(len(names)), np.zeros(len(names))
    for threshold in np.arange(0.60, 1.0, 0.01):
        hit, wrong = _play(scores, names, threshold)
        if wrong.mean() <= STREAM_ERROR and hit.mean() > best[0].mean():
            best = hit, wrong
    return {
        "stream hits at 1.7 % errors": figure(len(names), lambda pick: float(best[0][pick].mean())),
        "stream errors": figure(len(names), lambda pick: float(best[1][pick].mean())),
    }


def _play(scores: Vectors, names: NDArray[np.str_], threshold: float) -> tuple[Floats, Floats]:
    hit, wrong = np.zeros(len(names)), np.zeros(len(names))
    stored: list[int] = []
    for row in range(len(names)):
        if stored:
            near = scores[row, stored]
            index = int(near.argmax())
            if near[index] >= threshold:
                hit[row] = 1
                wrong[row] = names[row] != names[stored[index]]
                continue
        stored.append(row)
    return hit, wrong
