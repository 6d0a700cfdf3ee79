"""Fits the weights of a difficulty scorer (`subsecond.routing.difficulty`), with NumPy alone.

Two logistic regressions on soft targets (is the weak answer bad, is the strong one good), by Nesterov's gradient
descent on the mean loss with L2. The same prior counts for any number of rows: fewer rows, more of it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from subsecond.routing import difficulty
from subsecond_local.evaluate.routing_figures import Figures, measured
from subsecond_local.evaluate.routing_rows import Routed

Floats: TypeAlias = NDArray[np.float64]

BITS = 14
# What the weights are drawn to zero with, in rows. Out of fold on MMLU and GSM8K, words 30 to 120 and surface 8 to 100
# differ by less than 0.005 in APGR; words at 15 lose 0.01.
WORDS_PRIOR, SURFACE_PRIOR = 60.0, 100.0
STEPS = 100
FOLDS = 4
# A word is known from so many prompts on.
LEAST_PROMPTS = 3
QUANTILES = 100
INT8 = 127
SEED = 0


def side(prompt: str, sides: int, salt: str = "fold") -> int:
    """Which of so many sides the prompt falls on: the same for the same prompt, so that no side knows another's."""
    digest = blake2b(f"{salt}|{prompt}".encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % sides


@dataclass(frozen=True, slots=True)
class Matrix:
    """Sparse rows: `values` at `columns` of `rows`."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    values: Floats
    shape: tuple[int, int]

    @classmethod
    def of(cls, prompts: Sequence[str]) -> Matrix:
        """1 over the root of the row's number of words, for each word: as the scorer has it."""
        found = [difficulty.word_slots(prompt, BITS) for prompt in prompts]
        sizes = np.array([len(one) for one in found])
        columns = np.array([slot for one in found for slot in one], np.intp)
        values = np.repeat(1 / np.sqrt(np.maximum(difficulty.LEAST_WORDS, sizes)), sizes)
        return cls(np.repeat(np.arange(len(prompts)), sizes), columns, values, (len(prompts), 1 << BITS))

    def part(self, chosen: NDArray[np.bool_]) -> Matrix:
        kept = chosen[self.rows]
        renumbered = np.cumsum(chosen) - 1
        shape = (int(chosen.sum()), self.shape[1])
        return Matrix(renumbered[self.rows[kept]], self.columns[kept], self.values[kept], shape)

    def scaled(self, factors: Floats) -> Matrix:
        """Each column times its factor."""
        return Matrix(self.rows, self.columns, self.values * factors[self.columns], self.shape)

    def rarity(self) -> Floats:
        """The logarithm of one over the share of rows that have the column; 0 for the rarest, which say nothing."""
        known = np.bincount(self.columns, minlength=self.shape[1])
        found: Floats = np.log((1 + self.shape[0]) / (1 + known))
        found[known < LEAST_PROMPTS] = 0.0
        return found

    def dot(self, weights: Floats) -> Floats:
        return np.bincount(self.rows, self.values * weights[self.columns], minlength=self.shape[0]).astype(float)

    def back(self, errors: Floats) -> Floats:
        return np.bincount(self.columns, self.values * errors[self.rows], minlength=self.shape[1]).astype(float)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A head before it is rounded: the dense features' weights are for them as they are."""

    bias: float
    dense: Floats
    words: Floats

    def chance(self, dense: Floats, words: Matrix) -> Floats:
        found: Floats = 1 / (1 + np.exp(-(self.bias + dense @ self.dense + words.dot(self.words))))
        return found


def head(dense: Floats, words: Matrix, targets: Floats) -> Fitted:
    """One logistic regression."""
    mean, spread = dense.mean(0), dense.std(0) + 1e-9
    rarity = words.rarity()
    bias, flat, sparse = _descended((dense - mean) / spread, words.scaled(rarity), targets)
    flat = flat / spread
    return Fitted(bias - float(mean @ flat), flat, sparse * rarity)


def _descended(dense: Floats, words: Matrix, targets: Floats) -> tuple[float, Floats, Floats]:
    rows = len(targets)
    middle = float(np.clip(targets.mean(), 1e-3, 1 - 1e-3))
    now = np.concatenate([[np.log(middle / (1 - middle))], np.zeros(dense.shape[1] + words.shape[1])])
    pull = np.concatenate(
        [
            [0.0],
            np.full(dense.shape[1], SURFACE_PRIOR / rows),
            np.full(len(now) - 1 - dense.shape[1], WORDS_PRIOR / rows),
        ]
    )
    split = 1 + dense.shape[1]

    def forward(at: Floats) -> Floats:
        found: Floats = at[0] + dense @ at[1:split] + words.dot(at[split:])
        return found

    def backward(errors: Floats) -> Floats:
        found = np.zeros(len(now))
        found[0], found[1:split], found[split:] = errors.sum(), dense.T @ errors, words.back(errors)
        return found / rows

    step = 1 / (0.25 * _largest(forward, backward, len(now)) + float(pull.max()))
    before = now
    for turn in range(STEPS):
        ahead = now + turn / (turn + 3) * (now - before)
        slope = backward(1 / (1 + np.exp(-forward(ahead))) - targets) + pull * ahead
        before, now = now, ahead - step * slope
    return float(now[0]), now[1:split], now[split:]


def _largest(forward: Callable[[Floats], Floats], backward: Callable[[Floats], Floats], size: int) -> float:
    """The largest eigenvalue, by power iteration, a little above."""
    vector = np.random.default_rng(SEED).normal(size=size)
    for _ in range(12):
        vector = vector / np.linalg.norm(vector)
        vector = backward(forward(vector))
    return float(np.linalg.norm(vector)) * 1.1


@dataclass(frozen=True, slots=True)
class Data:
    """Rows as the fit sees them. weak, strong: how good the answers are, 0 to 1."""

    surface: Floats
    words: Matrix
    weak: Floats
    strong: Floats

    @classmethod
    def of(cls, rows: Sequence[Routed]) -> Data:
        weak, strong = (np.array([getattr(row, name) for row in rows], float) for name in ("weak", "strong"))
        low, high = min(weak.min(), strong.min()), max(weak.max(), strong.max())
        spread = (high - low) or 1.0
        surface = np.array([difficulty.surface(row.prompt) for row in rows])
        words = Matrix.of([row.prompt for row in rows])
        return cls(surface, words, (weak - low) / spread, (strong - low) / spread)

    def part(self, chosen: NDArray[np.bool_]) -> Data:
        return Data(self.surface[chosen], self.words.part(chosen), self.weak[chosen], self.strong[chosen])


@dataclass(frozen=True, slots=True)
class Pair:
    """The two heads: that the weak answer is bad, that the strong one is good."""

    weak: Fitted
    strong: Fitted

    def raw(self, dense: Floats, words: Matrix) -> Floats:
        return self.weak.chance(dense, words) + self.strong.chance(dense, words) - 1


def by_text(data: Data) -> Pair:
    heads = (head(data.surface, data.words, one) for one in (1 - data.weak, data.strong))
    return Pair(*heads)


def out_of_fold(rows: Sequence[Routed], data: Data) -> Floats:
    """The raw score of each row, by weights that have not seen its prompt."""
    folds = np.array([side(row.prompt, FOLDS) for row in rows])
    scores = np.zeros(len(rows))
    for fold in range(FOLDS):
        rest, here = data.part(folds != fold), data.part(folds == fold)
        scores[folds == fold] = by_text(rest).raw(here.surface, here.words)
    return scores


def scorer_file(data: Data, scores: Floats, figures: Figures) -> dict[str, Any]:
    """The scorer's JSON: weights fitted on all of `data`; quantiles of these scores (out of fold); the figures."""
    fitted = by_text(data)
    return {
        "format": difficulty.FORMAT,
        "bits": BITS,
        "measured": figures.report(),
        "quantiles": _quantiles(scores),
        "heads": {"weak": _packed(fitted.weak), "strong": _packed(fitted.strong)},
    }


def _quantiles(scores: Floats) -> list[float]:
    """In equal steps; the ends are those of all scores, so that none lies outside."""
    inner = np.quantile(scores, np.linspace(0, 1, QUANTILES + 1))[1:-1]
    return [-1.0, *(round(float(one), 6) for one in inner), 1.0]


def _packed(fitted: Fitted) -> dict[str, Any]:
    scale = float(np.abs(fitted.words).max()) / INT8 or 1.0
    words = np.round(fitted.words / scale).astype(np.int8)
    return {
        "bias": round(fitted.bias, 6),
        "surface": [round(float(one), 6) for one in fitted.dense],
        "scale": scale,
        "words": b64encode(words.tobytes()).decode("ascii"),
    }


def judged(rows: Sequence[Routed], scores: Floats) -> Figures:
    """The figures of these scores on these rows."""
    weak, strong = (np.array([getattr(row, name) for row in rows], float) for name in ("weak", "strong"))
    return measured(scores, weak, strong)


def provenance(file: dict[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """The file with where it comes from, at its beginning."""
    return {"provenance": dict(said), **file}
