"""For tests: hashes words and letter triples into a vector. No model, and no meaning beyond shared spelling."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from subsecond.config import Settings
from subsecond.semantic.embedders.support import hashed

if TYPE_CHECKING:
    from subsecond.semantic.embedders.support.hashed import Floats

DIM = 256


def build(_settings: Settings) -> HashingEmbedder:
    return HashingEmbedder()


class HashingEmbedder:
    """The port `Embedder`. The sum of the directions of a text's features, at length 1; letter case is ignored."""

    id = "hashing-256-r1"
    dim = DIM
    max_chars = 8_000

    async def embed(self, texts: Sequence[str]) -> Floats:
        """(n, 256)."""
        return hashed.stack([_vector(text) for text in texts], self.dim)


def _vector(text: str) -> Floats:
    text = hashed.plain(text)
    total = np.zeros(DIM, np.float32)
    for word in re.findall(r"\w+|[^\w\s]", text.lower()):
        total += hashed.direction(word, DIM)
        padded = f"<{word}>"
        for start in range(len(padded) - 2):
            total += hashed.direction(padded[start : start + 3], DIM) / np.float32(len(padded))
    return hashed.unit(total, text)
