"""Nearest neighbours among the rows of one scope. Pure NumPy; no call starts threads, so its CPU is its time.

Exact while that is cheap. Beyond, in two stages: one bit for each number (is it above the mean?) gives each row a
distance in bits, and the nearest rows are compared exactly. How many bits two vectors differ in follows a binomial law
of their angle: over 2,000 real questions the deviation of the true nearest neighbour had a standard deviation of 0.9 of
that law's and a maximum of 3.8. So the best similarity found says how far away in bits a better row could still lie,
and all rows up to there are compared too.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from subsecond.semantic.index.vectors import SCALE, Rows, Vector

Sketch: TypeAlias = NDArray[np.uint64]
Ranked: TypeAlias = tuple[NDArray[np.intp], Vector]

WORD = 64
# Numbers (rows x dim) up to which a search is exact: 5,120 rows of 256, 0.25 ms, where two stages take 0.1 ms.
EXACT = 5_120 * 256
# Rows compared exactly in the second stage: at least, and for each neighbour wanted.
RESCORED, RESCORED_PER_RESULT = 256, 16
# Numbers compared exactly in the second stage, at most: 16,384 rows of 256, 2 ms.
MOST_RESCORED = 16_384 * 256
# Standard deviations of the binomial law within which a better row is looked for.
DEVIATIONS = 4.0
# Rows turned into float32 at once: half a megabyte, which stays in the second-level cache.
CHUNK_ROWS = 512
# Rows from which a centre is taken, at most.
SAMPLE = 1024
# Neighbours that are found one by one: three of 4,000 rows take 5 µs so, and 30 µs where the rows are put in order.
ARGMAX_RESULTS = 8
# The similarity of hidden rows: below every cosine.
EXCLUDED = -2.0

_scratch = threading.local()


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of one scope that lie together. hidden: rows to leave out. Without a sketch, all are compared."""

    vectors: Rows
    sketch: Sketch | None = None
    hidden: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.vectors)


def sketch_of(vectors: Rows | NDArray[np.float32], centre: Rows) -> Sketch:
    """(ceil(dim / 64), n): which numbers are at least the centre's, word by word: counting runs along memory."""
    n, dim = vectors.shape
    words = np.empty((-(-dim // WORD), n), np.uint64)
    for start in range(0, n, 4 * CHUNK_ROWS):
        bits = np.packbits(vectors[start : start + 4 * CHUNK_ROWS] >= centre, axis=1)
        if dim % WORD:
            bits = np.pad(bits, ((0, 0), (0, 8 * len(words) - bits.shape[1])))
        words[:, start : start + 4 * CHUNK_ROWS] = bits.view(np.uint64).T
    return words


def centre_of(vectors: Rows) -> Rows:
    """(dim,): the mean of a sample. Embeddings lie in a cone; their bits tell most when taken from its axis."""
    sample = vectors[:: max(1, len(vectors) // SAMPLE)][:SAMPLE]
    mean: Rows = np.rint(sample.mean(axis=0, dtype=np.float64)).astype(vectors.dtype)
    return mean


def nearest(pieces: Sequence[Piece], query: Vector, k: int, centre: Rows | None) -> Ranked:
    """The at most `k` nearest rows that are not hidden, best first: their positions over all pieces, their cosines."""
    total = sum(map(len, pieces))
    if not total:
        return np.empty(0, np.intp), np.empty(0, np.float32)
    if centre is None or total * len(query) <= EXACT:
        return _top(np.concatenate([_compare_all(piece, query) for piece in pieces]), k)
    return _two_stages(pieces, query, k, centre)


def nearest_of_many(pieces: Sequence[Piece], queries: NDArray[np.float32], k: int, centre: Rows | None) -> list[Ranked]:
    """`nearest` for each row of `queries` (m, dim): one matrix product where the search is exact."""
    total = sum(map(len, pieces))
    if len(queries) <= 1 or not total or (centre is not None and total * queries.shape[1] > EXACT):
        return [nearest(pieces, query, k, centre) for query in queries]
    cosines = np.concatenate([_compare_many(piece, queries) for piece in pieces], axis=1)
    return [_top(row, k) for row in cosines]


def _compare_all(piece: Piece, query: Vector) -> Vector:
    scaled = query / np.float32(SCALE)
    cosines = np.empty(len(piece), np.float32)
    for start in range(0, len(piece), CHUNK_ROWS):
        np.vecdot(_floats(piece.vectors[start : start + CHUNK_ROWS]), scaled, out=cosines[start : start + CHUNK_ROWS])
    if piece.hidden is not None:
        cosines[piece.hidden] = EXCLUDED
    return cosines


def _compare_many(piece: Piece, queries: NDArray[np.float32]) -> NDArray[np.float32]:
    scaled = queries / np.float32(SCALE)
    cosines = np.empty((len(queries), len(piece)), np.float32)
    for start in range(0, len(piece), CHUNK_ROWS):
        cosines[:, start : start + CHUNK_ROWS] = scaled @ _floats(piece.vectors[start : start + CHUNK_ROWS]).T
    if piece.hidden is not None:
        cosines[:, piece.hidden] = EXCLUDED
    return cosines


def _floats(rows: Rows) -> NDArray[np.float32]:
    """At most CHUNK_ROWS rows as float32, until the next call in this thread. Into the same memory each time: the
    allocator returned the two chunks of half a megabyte to the system after each search, and the 225 page faults of
    the next one took 0.4 ms of a whole miss among 1,500 rows."""
    size = CHUNK_ROWS * rows.shape[1]
    if getattr(_scratch, "size", 0) < size:
        _scratch.size, _scratch.floats = size, np.empty(size, np.float32)
    floats: NDArray[np.float32] = _scratch.floats[: rows.size].reshape(rows.shape)
    floats[:] = rows
    return floats


def _top(cosines: Vector, k: int) -> Ranked:
    if k <= ARGMAX_RESULTS:
        left = cosines.copy()
        top = np.empty(min(k, len(left)), np.intp)
        for rank in range(len(top)):
            top[rank] = left.argmax()
            left[top[rank]] = -np.inf
    else:
        top = np.argpartition(cosines, -k)[-k:] if k < len(cosines) else np.arange(len(cosines))
        top = top[np.argsort(-cosines[top], kind="stable")]
    top = top[cosines[top] > EXCLUDED]
    return top, cosines[top]


def _two_stages(pieces: Sequence[Piece], query: Vector, k: int, centre: Rows) -> Ranked:
    far = len(query) + 1
    distances = _distances(pieces, query, centre, far)
    within = np.cumsum(np.bincount(distances, minlength=far + 1))
    cut = min(int(np.searchsorted(within, max(RESCORED, RESCORED_PER_RESULT * k))), far - 1)
    positions = np.flatnonzero(distances <= cut)
    cosines = _compare(pieces, query, positions)
    top, found = _top(cosines, k)
    if len(top):
        limit = _limit(query, _row(pieces, int(positions[top[0]])), centre)
        limit = min(limit, int(np.searchsorted(within, MOST_RESCORED // len(query), side="right")) - 1)
        if limit > cut:
            more = np.flatnonzero((distances > cut) & (distances <= limit))
            positions = np.concatenate([positions, more])
            top, found = _top(np.concatenate([cosines, _compare(pieces, query, more)]), k)
    return positions[top], found


def _distances(pieces: Sequence[Piece], query: Vector, centre: Rows, far: int) -> NDArray[np.uint16]:
    """(total,): in how many bits each row differs from the query; 0 without a sketch, `far` for a hidden row."""
    bits = sketch_of((query * np.float32(SCALE)).reshape(1, -1), centre)[:, 0]
    distances = np.zeros(sum(map(len, pieces)), np.uint16)
    start = 0
    for piece in pieces:
        part = distances[start : start + len(piece)]
        start += len(piece)
        if piece.sketch is not None:
            for words, word in zip(piece.sketch, bits, strict=True):
                part += np.bitwise_count(words ^ word)
        if piece.hidden is not None:
            part[piece.hidden] = far
    return distances


def _compare(pieces: Sequence[Piece], query: Vector, positions: NDArray[np.intp]) -> Vector:
    """The cosines of the rows at these positions, which ascend."""
    scaled = query / np.float32(SCALE)
    cosines = np.empty(len(positions), np.float32)
    first = begin = 0
    for piece in pieces:
        last = int(np.searchsorted(positions, begin + len(piece)))
        for start in range(first, last, CHUNK_ROWS):
            stop = min(start + CHUNK_ROWS, last)
            np.vecdot(_floats(piece.vectors[positions[start:stop] - begin]), scaled, out=cosines[start:stop])
        first, begin = last, begin + len(piece)
    return cosines


def _row(pieces: Sequence[Piece], position: int) -> Vector:
    for piece in pieces:
        if position < len(piece):
            row: Vector = piece.vectors[position] / np.float32(SCALE)
            return row
        position -= len(piece)
    raise IndexError(position)


def _limit(query: Vector, row: Vector, centre: Rows) -> int:
    """The distance in bits up to which a row may lie that is at least as near to the query as this row."""
    middle = centre / np.float32(SCALE)
    ours, theirs = query - middle, row - middle
    lengths = math.sqrt(float(ours @ ours) * float(theirs @ theirs))
    cosine = float(ours @ theirs) / lengths if lengths else 0.0
    share = math.acos(max(-1.0, min(1.0, cosine))) / math.pi
    bits = len(query)
    return math.ceil(bits * share + DEVIATIONS * math.sqrt(bits * share * (1 - share) + 0.5))
