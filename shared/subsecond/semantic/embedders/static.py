"""One row for each word piece, added up: about 0.02 ms for a question, and nothing but numpy.

The table was distilled from all-MiniLM-L6-v2 by `training/distil_static.py`; `data/PROVENANCE.md` has the licences. The
order of words is lost, and every difference that depends on it: the guards compare that by other means.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from subsecond.config import Settings
from subsecond.errors import Unavailable
from subsecond.semantic.embedders.support import hashed, wordpiece
from subsecond.semantic.embedders.support.pinned import DATA, check

if TYPE_CHECKING:
    from subsecond.semantic.embedders.support.hashed import Floats
    from subsecond.semantic.embedders.support.wordpiece import WordPiece

ROWS, DIM = 30_522, 256
# Rows in int8, each with its own factor. The rounding moves the cosine of two texts by 0.0005 (0.002 at most of 3,300).
TABLE, SCALES = "static-minilm-256-r1.npy", "static-minilm-256-r1.scales.npy"
TABLE_SHA256 = "d157109c316048226375992930c82c7f08d4969771516be81b5c48cecb136166"
SCALES_SHA256 = "b2fcf48b324ca3f7a858eb7ae016f2342787ebdfd3df133afb190ca0fd3486cd"
# The median length of a row: an unknown word weighs as much as a known one.
UNKNOWN_WEIGHT = np.float32(1.0)
# They take 4 ms of CPU on a core of a 2023 server, so the time limit of 25 ms holds on a fifth of one. Longer texts are
# not compared.
MAX_CHARS = 8_000


def build(_settings: Settings) -> StaticEmbedder:
    """The one of this process: the guards look words up in it too. Raises Unavailable when the table is missing or not
    the pinned one."""
    return _shipped()


@lru_cache(1)
def _shipped() -> StaticEmbedder:
    return load(DATA)


def load(folder: Path) -> StaticEmbedder:
    table = _array(folder / TABLE, TABLE_SHA256, np.int8, (ROWS, DIM))
    scales = _array(folder / SCALES, SCALES_SHA256, np.float32, (ROWS,))
    return StaticEmbedder(wordpiece.load(), table, scales)


class StaticEmbedder:
    """The port `Embedder`. A text's vector is the sum of its pieces' rows, at length 1.

    A word that the vocabulary cannot spell adds a direction drawn from its hash, so texts of unknown words alone are
    told apart. A text without words has the hash of its characters.
    """

    id = "static-minilm-256-r1"
    dim = DIM
    max_chars = MAX_CHARS

    def __init__(self, pieces: WordPiece, table: NDArray[np.int8], scales: NDArray[np.float32]) -> None:
        self._pieces = pieces
        self._table = table
        self._scales = scales

    async def embed(self, texts: Sequence[str]) -> Floats:
        """(n, 256)."""
        return hashed.stack([self.vector(text) for text in texts], self.dim)

    def vector(self, text: str) -> Floats:
        text = hashed.plain(text)
        spelled = self._pieces.spell(text)
        rows = np.array(spelled.rows, np.intp)
        total = self._scales[rows] @ self._table[rows].astype(np.float32)
        # The unknown piece's own row is zero.
        for word in spelled.unknown:
            total += UNKNOWN_WEIGHT * hashed.direction(word, self.dim)
        return hashed.unit(total, text)


def _array(path: Path, sha256: str, dtype: type, shape: tuple[int, ...]) -> NDArray[Any]:
    """The file's numbers, left in the page cache. Raises Unavailable when they are not the pinned ones."""
    try:
        array = np.asarray(np.lib.format.open_memmap(path, mode="r"))
    except (OSError, ValueError) as error:
        raise Unavailable(f"The embedder's file {path.name} cannot be read.") from error
    if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
        raise Unavailable(f"The embedder's file {path.name} is not the one that is pinned.")
    check(path.name, array.data, sha256)
    return array
