"""Gives vectors to words that a model has no vector for.

A vocabulary maps every word that it cannot spell to one and the same unknown token: "what is 🍕?" and "what is 🚀?"
would be equal (cosine 1), and the second asker would get the first one's answer. Here each such word has its own
direction, drawn from its hash: the same word always the same one, two words nearly at right angles.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from subsecond.cache.normal_form import normal

Floats = NDArray[np.float32]
# The length below which float32 rounding decides a vector's direction.
SHORTEST = 1e-6


def direction(word: str, dim: int) -> Floats:
    """The word's unit vector, (dim,): every number is plus or minus one over the root of `dim`."""
    bits = hashlib.shake_256(word.encode("utf-8", "surrogatepass")).digest((dim + 7) // 8)
    signs = np.unpackbits(np.frombuffer(bits, np.uint8), count=dim).astype(np.float32)
    vector: Floats = (2 * signs - 1) / np.float32(np.sqrt(dim))
    return vector


def unit(vector: Floats, text: str) -> Floats:
    """The vector at length 1. One without a direction (zero, or not finite) becomes the text's own hashed one."""
    length = math.sqrt(float(vector.dot(vector)))
    if not math.isfinite(length) or length < SHORTEST:
        return direction(plain(text), len(vector))
    return vector / np.float32(length)


def plain(text: str) -> str:
    """The text in NFC: what looks alike is alike. The wire may bring half a surrogate pair, which no encoder takes."""
    text = normal("NFC", text)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def stack(rows: Sequence[Floats], dim: int) -> Floats:
    """(n, dim) float32; no rows give (0, dim)."""
    return np.array(rows, np.float32).reshape(len(rows), dim)
