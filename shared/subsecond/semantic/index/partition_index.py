"""One partition's vectors in memory: the segments of its manifest, and the memtable of this process's own writes.

Blocks are immutable and made off the event loop; a PartitionIndex is used from one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from subsecond.semantic.index.entries import ABSENT, KeyIndex, Positions, superseded
from subsecond.semantic.index.memtable import LocalWrite, Memtable
from subsecond.semantic.index.search import (
    SAMPLE,
    Piece,
    Ranked,
    Sketch,
    centre_of,
    nearest,
    nearest_of_many,
    sketch_of,
)
from subsecond.semantic.index.segments import Ids, scopes_of
from subsecond.semantic.index.vectors import Rows, Vector

# Rows from which a centre is taken: a mean of fewer says little. A centre of less than a whole sample is taken again
# when there are four times as many rows.
CENTRE_FROM = 256
RECENTRE = 4
# A segment whose largest scope has fewer rows gets no sketch: all its rows are compared.
SKETCHED_FROM = 256
NEVER_EXPIRES = np.iinfo(np.uint32).max


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A stored entry near the question. key: its exact key in hex. created, expires: epoch seconds."""

    key: str
    similarity: float
    created: float
    expires: float


@dataclass(frozen=True, slots=True)
class Block:
    """A segment in memory. `scopes` are different and ascend; the rows of the i-th are starts[i]:starts[i + 1].

    centre: what the sketch was taken from; both None without one.
    """

    id: str
    vectors: Rows
    key_index: KeyIndex
    scopes: NDArray[np.bytes_]
    starts: NDArray[np.uint32]
    sketch: Sketch | None = None
    centre: Rows | None = None

    @property
    def nbytes(self) -> int:
        sketch = self.sketch.nbytes if self.sketch is not None else 0
        # The last is the mask of hidden rows, a byte each, which a LiveBlock makes.
        return (
            self.vectors.nbytes
            + self.key_index.nbytes
            + self.scopes.nbytes
            + self.starts.nbytes
            + sketch
            + len(self.key_index)
        )

    def span(self, scope: bytes) -> tuple[int, int]:
        """The rows of a scope (32 bytes), from and to."""
        at = int(np.searchsorted(self.scopes, np.bytes_(scope)))
        # NumPy leaves out a bytes value's NULs at the end.
        if at == len(self.scopes) or self.scopes[at] != scope.rstrip(b"\0"):
            return 0, 0
        return int(self.starts[at]), int(self.starts[at + 1])


def block_of(segment_id: str, vectors: Rows, ids: Ids) -> Block:
    scopes, starts = scopes_of(ids[: len(vectors)])
    return Block(segment_id, vectors, KeyIndex(ids, len(vectors)), scopes, starts)


@dataclass(slots=True)
class LiveBlock:
    """A block with its hidden rows: expired, deleted or superseded. next_expiry: of its rows, in epoch seconds."""

    block: Block
    hidden: NDArray[np.bool_] | None = None
    next_expiry: int = 0

    def hide(self, rows: Positions) -> None:
        if not len(rows):
            return
        if self.hidden is None:
            self.hidden = np.zeros(len(self.block.vectors), bool)
        self.hidden[rows] = True

    def hide_expired(self, now: float) -> None:
        """Looks through the rows once for each second in which one expires."""
        if now < self.next_expiry:
            return
        expires = self.block.key_index.expires[: len(self.block.vectors)]
        self.hide(np.flatnonzero(expires <= now))
        live = expires[expires > now]
        self.next_expiry = int(live.min()) if len(live) else NEVER_EXPIRES


def sketched(block: Block, centre: Rows | None) -> Block:
    """The block with the sketch that this centre gives."""
    largest = int(np.diff(block.starts).max(initial=0))
    if centre is None or centre is block.centre or largest < SKETCHED_FROM:
        return block
    return replace(block, sketch=sketch_of(block.vectors, centre), centre=centre)


@dataclass(frozen=True, slots=True)
class BlockSwap:
    """The next state: the blocks in the manifest's order, and the rows in them that newer entries supersede."""

    blocks: tuple[Block, ...]
    superseded: tuple[tuple[str, Positions], ...]


class PartitionIndex:
    """`memtable_rows`: how many own writes are kept until a segment has them. `clock`: epoch seconds."""

    def __init__(self, dim: int, memtable_rows: int, clock: Callable[[], float] = time.time) -> None:
        self.dim = dim
        self._clock = clock
        self._live: dict[str, LiveBlock] = {}
        self._memtable = Memtable(dim, memtable_rows)
        self.centre: Rows | None = None
        self._centred_on = 0

    @property
    def blocks(self) -> dict[str, Block]:
        return {segment_id: live.block for segment_id, live in self._live.items()}

    @property
    def rows(self) -> int:
        """Hidden ones included."""
        return sum(len(live.block.vectors) for live in self._live.values()) + len(self._memtable)

    @property
    def nbytes(self) -> int:
        return sum(live.block.nbytes for live in self._live.values()) + self._memtable.nbytes

    def search(self, scope: bytes, queries: NDArray[np.float32], k: int) -> list[list[Neighbour]]:
        """For each query (m, dim) at most `k` neighbours of that scope (32 bytes), the nearest first."""
        now = self._clock()
        spans: list[tuple[LiveBlock, int, int]] = []
        for live in self._live.values():
            first, last = live.block.span(scope)
            if first < last:
                live.hide_expired(now)
                spans.append((live, first, last))
        pieces = [_piece(*span) for span in spans]
        write = self._memtable.piece(scope, now)
        found = nearest_of_many([*pieces, write] if write else pieces, queries, k, self.centre)
        return [self._neighbours(scope, spans, one) for one in found]

    def anywhere(self, query: Vector, k: int) -> list[str]:
        """The keys of the nearest rows of all scopes. For who waits for an explanation: it looks at every row."""
        now = self._clock()
        blocks = [live for live in self._live.values() if len(live.block.vectors)]
        for live in blocks:
            live.hide_expired(now)
        pieces = [_piece(live, 0, len(live.block.vectors)) for live in blocks]
        writes = [(scope, piece) for scope in self._memtable.scopes() if (piece := self._memtable.piece(scope, now))]
        positions, _ = nearest([*pieces, *(piece for _, piece in writes)], query, k, self.centre)
        # In the order of the pieces.
        keys = [live.block.key_index.keys[: len(live.block.vectors)] for live in blocks]
        of_blocks = np.concatenate(keys) if keys else np.empty((0, 4), np.uint64)
        of_writes = [self._memtable.at(scope, row).key for scope, piece in writes for row in range(len(piece))]
        first = len(of_blocks)
        return [(of_blocks[at].tobytes() if at < first else of_writes[at - first]).hex() for at in positions.tolist()]

    def add(self, write: LocalWrite, vector: Vector) -> None:
        """Add an entry that this process has just stored: it is found from now on."""
        if self._memtable.add(write, vector):
            self._hide_older(write)

    def forget(self, write: LocalWrite) -> None:
        """Hide an entry that this process has just deleted, or found to be gone."""
        self._memtable.forget(write)
        self._hide_older(write)

    def take_centre(self, vectors: Rows) -> None:
        """Take the sketches' centre from these rows, unless there is one that is as good. Called before they are
        sketched."""
        rows = min(len(vectors), SAMPLE)
        if rows >= max(CENTRE_FROM, RECENTRE * self._centred_on):
            self.centre, self._centred_on = centre_of(vectors), rows

    def plan_swap(self, loaded: Sequence[Block], order: Sequence[str]) -> BlockSwap:
        """Prepare a swap to the blocks named in `order`, of those in use and those `loaded`. Changes nothing, so it may
        run in a thread."""
        there = {**self.blocks, **{block.id: block for block in loaded}}
        blocks = [there[segment_id] for segment_id in order if segment_id in there]
        fresh = {block.id for block in loaded}
        lost: list[tuple[str, Positions]] = []
        for at, newer in enumerate(blocks):
            for older in blocks[:at]:
                if newer.id in fresh or older.id in fresh:
                    old, new = superseded(older.key_index, newer.key_index)
                    lost += [(older.id, old), (newer.id, new)]
        return BlockSwap(tuple(sketched(block, self.centre) for block in blocks), tuple(lost))

    def swap(self, planned: BlockSwap) -> None:
        """Use the prepared blocks from now on. Writes that the new segments have are dropped from the memtable."""
        old = self._live
        self._live = {}
        for block in planned.blocks:
            kept = old.get(block.id)
            self._live[block.id] = LiveBlock(block, kept.hidden, kept.next_expiry) if kept else LiveBlock(block)
        for segment_id, rows in planned.superseded:
            self._live[segment_id].hide(rows)
        for live in self._live.values():
            if live.block.id not in old:
                live.hide(self._memtable.drop_covered(live.block.key_index))

    def _hide_older(self, write: LocalWrite) -> None:
        for live in self._live.values():
            key_index = live.block.key_index
            (position,) = key_index.finder.find(write.words)
            if position != ABSENT and position < key_index.rows and key_index.versions[position] < write.version:
                live.hide(np.array([position]))

    def _neighbours(self, scope: bytes, spans: Sequence[tuple[LiveBlock, int, int]], found: Ranked) -> list[Neighbour]:
        neighbours = []
        for position, similarity in zip(*found, strict=True):
            at = int(position)
            for live, first, last in spans:
                if at < last - first:
                    neighbours.append(_neighbour(live.block.key_index, first + at, float(similarity)))
                    break
                at -= last - first
            else:
                write = self._memtable.at(scope, at)
                neighbours.append(
                    Neighbour(write.key.hex(), float(similarity), write.version / 2_000_000, float(write.expires))
                )
        return neighbours


def _piece(live: LiveBlock, first: int, last: int) -> Piece:
    sketch, hidden = live.block.sketch, live.hidden
    return Piece(
        live.block.vectors[first:last],
        None if sketch is None else sketch[:, first:last],
        None if hidden is None else hidden[first:last],
    )


def _neighbour(key_index: KeyIndex, row: int, similarity: float) -> Neighbour:
    key = key_index.keys[row].tobytes().hex()
    return Neighbour(key, similarity, float(key_index.versions[row]) / 2_000_000, float(key_index.expires[row]))
