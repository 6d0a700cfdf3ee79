"""Shares, their intervals, and the trade-off along a score. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Interval: TypeAlias = tuple[float, float] | None

# 95 % of a normal distribution lie within so many standard deviations.
Z = 1.959964
# The precision at which `recall_at_p90` is read.
PRECISION = 0.9
# Bootstrap resamples for an interval without a formula.
RESAMPLES = 500
SEED = 1


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of one row. `b` was asked where `a` was stored.

    label: whether a's answer may be given. answered: whether it was. score: the policy's own, higher is surer; infinite
    for an exact repeat, None where the two were never compared (another scope, nothing to embed). similarity: the
    cosine; None as for score, and for an exact repeat.
    """

    label: bool
    answered: bool
    score: float | None = None
    similarity: float | None = None
    kind: str = ""
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Point:
    """Answering everything that scores `cut` or more: the share served of what may be, and of what must not be."""

    cut: float
    served: float
    wrong: float


@dataclass(frozen=True, slots=True)
class Best:
    """recall: 0 and cut None where no cut is precise enough."""

    recall: float
    cut: float | None
    interval: Interval


def rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


def ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def wilson(part: int, whole: int) -> Interval:
    """The 95 % interval of part / whole (Wilson's score interval: sound near 0 and 1, and for few rows)."""
    if not whole:
        return None
    share, spread = part / whole, Z * Z / whole
    middle = share + spread / 2
    half = Z * math.sqrt(share * (1 - share) / whole + spread / whole / 4)
    low, high = (middle - half) / (1 + spread), (middle + half) / (1 + spread)
    return round(max(0.0, low), 4), round(min(1.0, high), 4)


def report(decisions: Sequence[Decision]) -> dict[str, Any]:
    """hits_served: share of label 1 answered. traps_answered: share of label 0 answered. Shares of nothing are None."""
    hits, traps = _counted(decisions, label=True), _counted(decisions, label=False)
    answered = hits[0] + traps[0]
    best = recall_at(decisions)
    return {
        "n": len(decisions),
        "hits_served": rounded(ratio(*hits)),
        "traps_answered": rounded(ratio(*traps)),
        "precision": rounded(ratio(hits[0], answered)),
        "recall": rounded(ratio(*hits)),
        "recall_at_p90": rounded(best.recall) if hits[1] else None,
        "score_at_p90": best.cut,
        "by_kind": by_kind(decisions),
        "intervals": {
            "hits_served": wilson(*hits),
            "traps_answered": wilson(*traps),
            "precision": wilson(hits[0], answered),
            "recall": wilson(*hits),
            "recall_at_p90": best.interval,
        },
    }


def by_kind(decisions: Iterable[Decision]) -> dict[str, dict[str, Any]]:
    """Of the rows that name their kind: how many, the label, the share answered and its interval."""
    groups: dict[tuple[str, bool], list[Decision]] = defaultdict(list)
    for one in decisions:
        if one.kind:
            groups[one.kind, one.label].append(one)
    labels = defaultdict(set)
    for kind, label in groups:
        labels[kind].add(label)
    found = {}
    for (kind, label), group in sorted(groups.items()):
        counted = _counted(group, label=label)
        name = kind if len(labels[kind]) == 1 else f"{kind}/{int(label)}"
        found[name] = {
            "n": len(group),
            "label": int(label),
            "answered": rounded(ratio(*counted)),
            "interval": wilson(*counted),
        }
    return found


def _counted(decisions: Iterable[Decision], *, label: bool) -> tuple[int, int]:
    """How many with this label were answered, and how many there are."""
    answers = [one.answered for one in decisions if one.label is label]
    return sum(answers), len(answers)


def curve(decisions: Sequence[Decision], *, by_similarity: bool = False) -> list[Point]:
    """One point for each score that occurs, the highest first; none where a label is missing."""
    scores, labels = _scored(decisions, by_similarity=by_similarity)
    hits = sum(one.label for one in decisions)
    traps = len(decisions) - hits
    if not hits or not traps:
        return []
    served, wrong, last = _steps(scores, labels)
    return [
        Point(float(cut), float(good) / hits, float(bad) / traps)
        for cut, good, bad in zip(scores[last], served[last], wrong[last], strict=True)
    ]


def recall_at(decisions: Sequence[Decision]) -> Best:
    """The best recall of any cut of the score whose precision is at least PRECISION. The interval is a percentile
    bootstrap over rows, in which the cut is chosen anew each time."""
    scores, labels = _scored(decisions, by_similarity=False)
    total = sum(one.label for one in decisions)
    if not total:
        return Best(0.0, None, None)
    served, wrong, last = _steps(scores, labels)
    fits = [at for at in last if served[at] >= PRECISION * (served[at] + wrong[at])]
    found = fits[-1] if fits else None
    cut = None if found is None or math.isinf(scores[found]) else round(float(scores[found]), 4)
    recall = 0.0 if found is None else float(served[found]) / total
    return Best(recall, cut, _resampled(labels, last, (len(decisions), total)))


def _resampled(
    labels: np.ndarray[Any, np.dtype[np.bool_]],
    last: np.ndarray[Any, np.dtype[np.intp]],
    sizes: tuple[int, int],
) -> Interval:
    """Rows drawn with repetition, as often as there are; those without a score count as never answered."""
    rows, total = sizes
    unscored = rows - len(labels), total - int(labels.sum())
    random = np.random.default_rng(SEED)
    recalls = []
    for _ in range(RESAMPLES):
        drawn = np.bincount(random.integers(0, rows, rows), minlength=rows)
        times, rest = drawn[: len(labels)], drawn[len(labels) :]
        served, wrong = np.cumsum(times * labels)[last], np.cumsum(times * ~labels)[last]
        fits = (served >= PRECISION * (served + wrong)) & (served + wrong > 0)
        whole = int((times * labels).sum()) + int(rest[: unscored[1]].sum())
        recalls.append(float(served[fits].max(initial=0)) / whole if whole else 0.0)
    low, high = np.quantile(recalls, (0.025, 0.975))
    return round(float(low), 4), round(float(high), 4)


def _scored(
    decisions: Iterable[Decision], *, by_similarity: bool
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.bool_]]]:
    """The scores in descending order, and their labels."""
    found = [(one.similarity if by_similarity and one.score != math.inf else one.score, one.label) for one in decisions]
    kept = [(score, label) for score, label in found if score is not None]
    scores = np.array([score for score, _ in kept], np.float64)
    order = np.argsort(-scores, kind="stable")
    return scores[order], np.array([label for _, label in kept], bool)[order]


def _steps(
    scores: np.ndarray[Any, np.dtype[np.float64]], labels: np.ndarray[Any, np.dtype[np.bool_]]
) -> tuple[np.ndarray[Any, np.dtype[np.int_]], np.ndarray[Any, np.dtype[np.int_]], np.ndarray[Any, np.dtype[np.intp]]]:
    """How many of either label up to each place, and the last place of each score: equal scores are cut together."""
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], [True] * bool(len(scores))))
    return np.cumsum(labels), np.cumsum(~labels), last
