"""Shared by the embedders on a server: checks what it sends, and handles texts that it refuses."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from subsecond.errors import UpstreamError
from subsecond.semantic.embedders.support import hashed

if TYPE_CHECKING:
    from subsecond.semantic.embedders.support.hashed import Floats


async def around_blanks(
    texts: Sequence[str], dim: int, ask: Callable[[Sequence[str]], Awaitable[Sequence[Floats]]]
) -> Floats:
    """(n, dim): the vectors of `ask` for texts that are not blank. Servers refuse blank ones, which get the direction
    of their hash."""
    plain = [hashed.plain(text) for text in texts]
    worded = [text for text in plain if text.strip()]
    found = iter(await ask(worded) if worded else ())
    rows = [hashed.unit(next(found), text) if text.strip() else hashed.direction(text, dim) for text in plain]
    return hashed.stack(rows, dim)


def row(value: object, dim: int) -> Floats:
    """One vector from the wire: a list of numbers, or float32 (little-endian) in base64. UpstreamError if it is not."""
    try:
        if isinstance(value, str):
            numbers = np.frombuffer(base64.b64decode(value, validate=True), "<f4").astype(np.float32)
        else:
            numbers = np.array(value, np.float32)
    except (binascii.Error, TypeError, ValueError):
        raise UpstreamError("The embedder's reply holds something that is no vector.") from None
    if numbers.shape != (dim,):
        raise UpstreamError(f"The embedder's reply holds a vector of shape {numbers.shape}, not of {dim} numbers.")
    if not np.isfinite(numbers).all() or not numbers.any():
        raise UpstreamError("The embedder's reply holds a vector without a direction.")
    return numbers


def slug(name: str) -> str:
    """A model's name as part of an id, which is part of an object's key."""
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._") else "-" for letter in name)
