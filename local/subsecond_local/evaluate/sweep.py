"""What each cut of a score would answer: the trade-off, the best recall, and the areas under two curves. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Interval: TypeAlias = tuple[float, float] | None
Numbers: TypeAlias = np.ndarray[Any, np.dtype[Any]]
# From the counts of right and wrong answers at each cut, and the number of rows and of right ones among them.
Measure: TypeAlias = Callable[[Numbers, Numbers, int, int], tuple[float, ...]]

# Resamples for an interval that has no formula.
RESAMPLES = 500


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one row. `b` was asked where `a` was stored.

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
    """If everything from `cut` on were answered: the share of what may be, and of what must not be."""

    cut: float
    served: float
    wrong: float


@dataclass(frozen=True, slots=True)
class Best:
    """recall: 0 and cut None where no cut is precise enough."""

    recall: float
    cut: float | None
    interval: Interval


@dataclass(frozen=True, slots=True)
class Areas:
    """Means over all cuts. pr_auc: precision over recall, how well the score ranks. p_chr_auc: precision over the share
    of all rows that are answered (arXiv 2606.19719). calibration_retention: the latter over the former, how much of the
    ranking is left in operation. p_chr_auc_at_most: a perfect score's; low where few rows may be answered, because
    past these every hit is wrong. intervals: of the first three."""

    pr_auc: float
    p_chr_auc: float
    calibration_retention: float
    p_chr_auc_at_most: float
    intervals: Sequence[Interval]


def curve(decisions: Sequence[Decision], *, by_similarity: bool = False) -> list[Point]:
    """One point for each score that occurs, the highest first; none where a label is missing."""
    swept = _swept(decisions, by_similarity=by_similarity)
    traps = swept.rows - swept.positives
    if not swept.positives or not traps:
        return []
    right, wrong = swept.counts()
    return [
        Point(float(cut), float(good) / swept.positives, float(bad) / traps)
        for cut, good, bad in zip(swept.scores[swept.last], right, wrong, strict=True)
    ]


def recall_at(decisions: Sequence[Decision], precision: float, seed: int = 1) -> Best:
    """The best recall of any cut of the score whose precision is at least that. The interval is a percentile bootstrap
    over rows, in which the cut is chosen anew each time."""
    swept = _swept(decisions)
    if not swept.positives:
        return Best(0.0, None, None)
    right, wrong = swept.counts()
    fits = np.flatnonzero(right >= precision * (right + wrong))
    found = fits[-1] if len(fits) else None
    score = math.inf if found is None else float(swept.scores[swept.last[found]])
    recall = 0.0 if found is None else float(right[found]) / swept.positives

    def measure(right: Numbers, wrong: Numbers, _rows: int, positives: int) -> tuple[float]:
        fits = (right >= precision * (right + wrong)) & (right + wrong > 0)
        return (float(right[fits].max(initial=0)) / positives if positives else 0.0,)

    (interval,) = _resampled(swept, measure, seed)
    return Best(recall, None if math.isinf(score) else round(score, 4), interval)


def areas(decisions: Sequence[Decision], seed: int = 1) -> Areas | None:
    """None where no row may be answered, or nothing was compared."""
    swept = _swept(decisions)
    if not swept.positives or not len(swept.last):
        return None
    share = swept.positives / swept.rows
    measured = _under(*swept.counts(), swept.rows, swept.positives)
    return Areas(*measured, share * (1 - math.log(share)), _resampled(swept, _under, seed))


def _under(right: Numbers, wrong: Numbers, rows: int, positives: int) -> tuple[float, float, float]:
    """PR-AUC, as average precision: each cut's precision, by the recall that it adds. P-CHR AUC, over the cuts that
    there are: equal scores are answered together, so nothing lies before the first, nor behind the last. Retention."""
    hits = right + wrong
    right, hits = right[hits > 0], hits[hits > 0]
    ranking = float(np.sum(np.diff(right, prepend=0) * right / hits) / positives) if positives else 0.0
    operation = float(np.trapezoid(right / hits, hits / rows))
    return ranking, operation, operation / ranking if ranking else 0.0


@dataclass(frozen=True, slots=True)
class _Swept:
    """Rows by their scores, the highest first, and the last place of each score: equal scores are cut together. Rows
    and positives count those without a score too: they are never answered."""

    scores: Numbers
    labels: Numbers
    last: Numbers
    rows: int
    positives: int

    def counts(self) -> tuple[Numbers, Numbers]:
        """How many right and wrong answers each cut gives."""
        return np.cumsum(self.labels)[self.last], np.cumsum(~self.labels)[self.last]


def _swept(decisions: Iterable[Decision], *, by_similarity: bool = False) -> _Swept:
    rows = list(decisions)
    found = [(one.similarity if by_similarity and one.score != math.inf else one.score, one.label) for one in rows]
    kept = [(score, label) for score, label in found if score is not None]
    scores = np.array([score for score, _ in kept], np.float64)
    order = np.argsort(-scores, kind="stable")
    scores, labels = scores[order], np.array([label for _, label in kept], bool)[order]
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], [True] * bool(len(scores))))
    return _Swept(scores, labels, last, len(rows), sum(one.label for one in rows))


def _resampled(swept: _Swept, measure: Measure, seed: int) -> list[Interval]:
    """An interval for each number that is measured: rows drawn with repetition, as often as there are."""
    labels, compared = swept.labels, len(swept.labels)
    unscored = swept.positives - int(labels.sum())
    random = np.random.default_rng(seed)
    found = []
    for _ in range(RESAMPLES):
        drawn = np.bincount(random.integers(0, swept.rows, swept.rows), minlength=swept.rows)
        times, rest = drawn[:compared], drawn[compared:]
        right, wrong = np.cumsum(times * labels)[swept.last], np.cumsum(times * ~labels)[swept.last]
        positives = int((times * labels).sum()) + int(rest[:unscored].sum())
        found.append(measure(right, wrong, swept.rows, positives))
    low, high = np.quantile(found, (0.025, 0.975), axis=0)
    return [(round(float(least), 4), round(float(most), 4)) for least, most in zip(low, high, strict=True)]
