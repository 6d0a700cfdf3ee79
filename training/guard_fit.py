"""A logistic model in which more likeness never tells against a hit, and scores of rows that it was not fitted on."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from guard_rows import LISTS, Floats, Rows
from numpy.typing import NDArray

from subsecond.semantic.guards.features import NAMES

RIDGE = 1e-3
# Most steps, and the gain below which another one is not worth it.
STEPS, ENOUGH = 40, 1e-9
FOLDS = 8
LEVEL = 0.9
# A weight may have this sign only (0: either). The few rows of one author that contradict it are chance.
_FOR = frozenset(
    (
        "similarity", "similarity over .7", "similarity over .85", "cover, lesser side", "cover, larger side",
        "words in common", "nothing left", "alignment, worst", "alignment, mean", "function words in common",
        "same kind of question", "neighbours in common", "length ratio", "same last word",
        "likeness of contents", "similarity and cover", "similarity and alignment", "cover and alignment",
        "similarity and kind",
    )
)  # fmt: skip
_EITHER = frozenset(
    (
        "likeness of what is left", "other words for one thing", "forms of one word", "slips", "few words",
        "many words", "alike but for one", "weak numbers differ", "vague words left", "similarity and length",
    )
)  # fmt: skip
SIGNS = np.array([1 if name in _FOR else 0 if name in _EITHER else -1 for name in NAMES])


@dataclass(frozen=True, slots=True)
class Weights:
    values: Floats
    bias: float

    def score(self, rows: Rows) -> Floats:
        """The policy's score: 0 where a guard refuses, 1 for the same words."""
        scores = 1 / (1 + np.exp(-(rows.features @ self.values + self.bias)))
        scores = np.where(rows.refused == "", scores, 0.0)
        return np.where(rows.refused == "same words", 1.0, scores)


@dataclass(frozen=True, slots=True)
class Mix:
    """shares: of each file in the loss. lists: of these files also the pairs that a list of words refuses are learned
    from, as pairs that no list has. trust: added to the weight of the similarity after the fit."""

    shares: Mapping[str, float]
    lists: frozenset[str]
    trust: float


def fit(features: Floats, label: NDArray[np.bool_], share: Floats) -> Weights:
    """Newton's steps on the weighted log loss, projected on the signs. Deterministic."""
    mean, spread = features.mean(0), features.std(0) + 1e-6
    scaled = np.hstack([(features - mean) / spread, np.ones((len(features), 1))])
    share, ridge = share / share.sum(), np.append(np.full(len(mean), RIDGE), 1e-9)
    signs = np.append(SIGNS, 0)
    weights = np.zeros(scaled.shape[1])
    loss = np.inf
    for _ in range(STEPS):
        guess = 1 / (1 + np.exp(-(scaled @ weights)))
        slope = scaled.T @ (share * (guess - label)) + ridge * weights
        bend = (scaled * (share * guess * (1 - guess))[:, None]).T @ scaled + np.diag(ridge)
        free = ~((weights == 0.0) & (signs * slope > 0))
        move = np.zeros(len(weights))
        move[free] = np.linalg.solve(bend[np.ix_(free, free)], -slope[free])
        before = loss
        for size in 0.5 ** np.arange(10):
            tried = weights + size * move
            tried[signs * tried < 0] = 0.0
            values = scaled @ tried
            loss = float(share @ (np.logaddexp(0, values) - label * values) + ridge @ tried**2 / 2)
            if loss < before:
                break
        else:
            break
        weights = tried
        if before - loss < ENOUGH:
            break
    values = weights[:-1] / spread
    return Weights(values, float(weights[-1] - values @ mean))


def learned(files: Mapping[str, Rows], mix: Mix, without: tuple[str, int] | None = None) -> Weights:
    """Fitted on the mix; `without`: a file's fold is left out."""
    features, label, share = [], [], []
    for name, part in mix.shares.items():
        rows = files[name]
        use = rows.refused == ""
        if name in mix.lists:
            use |= np.isin(rows.refused, list(LISTS))
        if without and without[0] == name:
            use &= folds(rows) != without[1]
        features.append(rows.features[use])
        label.append(rows.label[use])
        share.append(np.full(int(use.sum()), part / use.sum()))
    return trusting(fit(np.concatenate(features), np.concatenate(label), np.concatenate(share)), mix.trust)


def trusting(weights: Weights, trust: float) -> Weights:
    """The same, but each .1 of similarity over or under LEVEL counts `trust` tenths more. The few pairs of one author,
    whose traps lie as near as its hits, teach the model to look away from the vectors; elsewhere they tell more."""
    values = weights.values.copy()
    values[NAMES.index("similarity")] += trust
    return Weights(values, weights.bias - trust * LEVEL)


def folds(rows: Rows) -> NDArray[np.int64]:
    """Each row's fold: that of its group, drawn from a hash."""
    return np.array([zlib.crc32(str(group).encode()) % FOLDS for group in rows.group])


def out_of_fold(files: Mapping[str, Rows], mix: Mix, name: str, *, lists: bool = True) -> Floats:
    """Scores of a file's rows by models that have not seen their group. Without `lists`: as if there were none."""
    rows, fold = files[name], folds(files[name])
    if not lists:
        rows = Rows(
            rows.features,
            rows.label,
            np.where(np.isin(rows.refused, list(LISTS)), "", rows.refused),
            rows.group,
            rows.kind,
        )
    scores = np.zeros(len(fold))
    for number in range(FOLDS):
        weights = learned(files, mix, (name, number))
        mine = fold == number
        scores[mine] = weights.score(rows)[mine]
    return scores
