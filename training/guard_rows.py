"""Pairs of questions with the features that the guards give them: what `train_guard.py` learns from and measures on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from subsecond.config import Settings
from subsecond.semantic.guards import abroad, features, language, sameness, vetoes
from subsecond.semantic.guards.matching import match
from subsecond.semantic.guards.reading import read

Floats = NDArray[np.float64]
NEAREST = 3  # as many candidates as the gateway looks at
WINDOW = 2_500  # requests of one stream
# Guards that work from word lists. A pair that they refuse could as well have a word that is on no list.
LISTS = frozenset(("opposites", "another thing of a kind"))


@dataclass(frozen=True, slots=True)
class Rows:
    """features: (n, features.NAMES). label: may the one's answer serve the other? refused: the guard's reason, or
    empty. group: rows with one question are in one fold. kind: what kind of pair, for the report."""

    features: Floats
    label: NDArray[np.bool_]
    refused: NDArray[np.str_]
    group: NDArray[np.int64]
    kind: NDArray[np.str_]

    def where(self, mask: NDArray[np.bool_]) -> Rows:
        return Rows(*(getattr(self, name)[mask] for name in ("features", "label", "refused", "group", "kind")))


def load(path: Path, rows: int | None = None) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()[:rows]]


class Vectors:
    """Vectors of texts by one embedder, kept in a file of `keep`."""

    def __init__(self, name: str, keep: Path | None) -> None:
        self._embedder = import_module(f"subsecond.semantic.embedders.{name}").build(Settings())
        self._file = keep / f"{name}.npz" if keep else None
        self._known: dict[str, NDArray[np.float32]] = {}
        if self._file and self._file.exists():
            kept = np.load(self._file, allow_pickle=False)
            self._known = dict(zip(json.loads(str(kept["texts"])), kept["vectors"], strict=True))

    def of(self, texts: Sequence[str]) -> NDArray[np.float32]:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        for start in range(0, len(new), 512):
            some = new[start : start + 512]
            self._known.update(zip(some, asyncio.run(self._embedder.embed(some)), strict=True))
        if new and self._file:
            every = np.stack(list(self._known.values()))
            np.savez(self._file, texts=np.array(json.dumps(list(self._known))), vectors=every)
        return np.stack([self._known[text] for text in texts])


def pairs(path: Path, vectors: Vectors, rows: int | None = None) -> Rows:
    """A file of `query_a` (stored), `query_b` (asked), `label`, and perhaps `kind`."""
    table = load(path, rows)
    stored, asked = ([row[side] for row in table] for side in ("query_a", "query_b"))
    similarity = np.einsum("ij,ij->i", vectors.of(stored), vectors.of(asked))
    groups: dict[str, int] = {}
    return _rows(
        list(zip(asked, stored, similarity.tolist(), strict=True)),
        [bool(row["label"]) for row in table],
        [groups.setdefault(text, len(groups)) for text in stored],
        [row.get("kind", "") for row in table],
    )


def neighbours(path: Path, vectors: Vectors, rows: int | None = None) -> Rows:
    """A file of `query`, `intent`: each question with the NEAREST that were asked before it in its WINDOW. The same
    intent has the same answer; what is out of scope (`oos`) has nobody's."""
    table = load(path, rows)
    every = vectors.of([row["query"] for row in table])
    found, labels, groups = [], [], []
    for start in range(0, len(table), WINDOW):
        block = every[start : start + WINDOW]
        scores = block @ block.T
        for i in range(1, len(block)):
            for j in np.argsort(-scores[i, :i], kind="stable")[:NEAREST]:
                one, other = table[start + i], table[start + int(j)]
                found.append((one["query"], other["query"], float(scores[i, j])))
                labels.append(one["intent"] == other["intent"] != "oos")
                groups.append(start + i)
    return _rows(found, labels, groups, ["oos" if table[group]["intent"] == "oos" else "" for group in groups])


def _rows(
    found: Sequence[tuple[str, str, float]], labels: Sequence[bool], groups: Sequence[int], kinds: Sequence[str]
) -> Rows:
    judged = [_judged(*row) for row in found]
    return Rows(
        np.array([values for values, _ in judged]),
        np.array(labels, bool),
        np.array([reason for _, reason in judged]),
        np.array(groups, np.int64),
        np.array(kinds),
    )


def _judged(asked: str, stored: str, similarity: float) -> tuple[list[float], str]:
    """As `semantic/policies/guarded.py` judges, but that what is refused is scored too."""
    a, b, nothing = read(asked), read(stored), [0.0] * len(features.NAMES)
    if sameness.coded(asked) or sameness.coded(stored):
        return nothing, "same words" if sameness.same_around_code(asked, stored) else "code"
    if not (language.english(asked) and language.english(stored)):
        return nothing, "same words" if abroad.same(asked, stored) else "not English"
    if sameness.same_words(a, b):
        return nothing, "same words"
    if not a.words or not b.words:
        return nothing, "nothing to compare"
    matching = match(a, b)
    values = features.features(a, b, matching, similarity)
    return values, vetoes.veto(a, b) or vetoes.veto_matched(a, b, matching)
