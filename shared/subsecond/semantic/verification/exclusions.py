"""Neighbourhoods in which a hit was found wrong: what is asked there is not answered from there again.

A wrong hit is a question and an entry that lie near each other and do not mean the same. Others that lie as near to
both are of the same two kinds ("card is lost" beside "card is blocked"), and would be wrong as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from subsecond.semantic.index.vectors import Vector

# How much farther than the two of them another question may lie: cosine.
REACH = 0.1
# Wrong hits that a namespace remembers: 2,000 of 256 numbers are 4 MB. The oldest go first.
MOST = 2_000


class Exclusions:
    """The wrong hits of a namespace."""

    def __init__(self, dim: int) -> None:
        # float32 (n, dim), a row for each wrong hit; and the cosine from which another is one of its kind.
        self._asked = self._stored = np.empty((0, dim), np.float32)
        self._least = np.empty(0, np.float32)

    def __len__(self) -> int:
        return len(self._least)

    def add(self, asked: Vector, stored: Vector) -> None:
        """A hit of `stored` for `asked` was wrong. Both L2-normalised (dim,)."""
        self.add_all(asked.reshape(1, -1), stored.reshape(1, -1))

    def add_all(self, asked: Vector, stored: Vector) -> None:
        """As `add`, for rows (n, dim)."""
        self._asked = np.vstack([self._asked, asked])[-MOST:]
        self._stored = np.vstack([self._stored, stored])[-MOST:]
        least = np.einsum("ij,ij->i", asked, stored) - np.float32(REACH)
        self._least = np.append(self._least, least.astype(np.float32))[-MOST:]

    def cover(self, asked: Vector, stored: Vector) -> bool:
        """Whether a hit of `stored` for `asked` would be one of a kind that was found wrong, in either direction."""
        if not len(self):
            return False
        least = self._least
        same = (self._asked @ asked >= least) & (self._stored @ stored >= least)
        turned = (self._stored @ asked >= least) & (self._asked @ stored >= least)
        return bool((same | turned).any())
