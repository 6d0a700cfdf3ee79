"""Looks single words up in the static embedder's table: whether they are known, how rare, and their direction."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from subsecond.config import Settings
from subsecond.semantic.embedders import static
from subsecond.semantic.embedders.support import wordpiece

# BERT's vocabulary: single letters and signs first, then whole words from the most to the least frequent.
FIRST_WORD, LAST_WORD = 1_996, 29_612
# Word vectors kept: 1 KB each.
REMEMBERED = 4096

Floats = NDArray[np.float32]


def table() -> static.StaticEmbedder:
    """Mapped from its file; about 5 ms of CPU to check. Raises Unavailable when it is not the pinned one."""
    return static.build(Settings())


@lru_cache(REMEMBERED)
def _rows(word: str) -> tuple[int, ...]:
    return wordpiece.load().spell(word).rows


def known(word: str) -> bool:
    """Whether the vocabulary has the word as one piece."""
    rows = _rows(word)
    return len(rows) == 1 and rows[0] >= FIRST_WORD


@lru_cache(REMEMBERED)
def rarity(word: str) -> float:
    """0 for the most frequent words, 1 for the rarest and those that must be spelled in pieces."""
    rows = _rows(word)
    if len(rows) != 1 or not FIRST_WORD <= rows[0] < LAST_WORD:
        return 1.0
    return float(np.log2(1 + (rows[0] - FIRST_WORD) / 256) / _MOST)


_MOST = float(np.log2(1 + (LAST_WORD - FIRST_WORD) / 256))


@lru_cache(REMEMBERED)
def direction(word: str) -> Floats:
    """(256,), length 1."""
    return table().vector(word.replace("_", " "))


@lru_cache(REMEMBERED // 16)
def _matrix(words: tuple[str, ...]) -> tuple[Floats, Floats]:
    """The words' directions, (n, 256); and their sum at length 1, each as heavy as it is rare."""
    rows = np.stack([direction(word) for word in words])
    total = np.array([0.2 + rarity(word) for word in words], np.float32) @ rows
    return rows, total / max(float(np.linalg.norm(total)), 1e-6)


def compare(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[Floats, float]:
    """Cosines of all words of the one with all of the other, and of their sums. Neither may be empty."""
    (rows, total), (others, other_total) = _matrix(one), _matrix(other)
    return rows @ others.T, max(0.0, float(total @ other_total))


def cosine(one: str, other: str) -> float:
    """Of two whole texts."""
    return float(table().vector(one) @ table().vector(other))
