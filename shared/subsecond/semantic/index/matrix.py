"""One partition's vectors in memory: the segments of its manifest, and what this process has written itself.

Blocks are immutable and made off the event loop; a matrix is used from one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from subsecond.semantic.index.entries import ABSENT, Places, Roll, beaten
from subsecond.semantic.index.memtable import Own, Recent
from subsecond.semantic.index.search import SAMPLE, Found, Piece, Sketch, centre_of, nearest_of_many, sketch_of
from subsecond.semantic.index.segments import Ids, scopes_of
from subsecond.semantic.index.vectors import Matrix as Rows
from subsecond.semantic.index.vectors import Vector

# Rows from which a centre is taken: a mean of fewer says little. One of less than a whole sample is taken again when
# there are four times as many.
CENTRE_FROM = 256
RECENTRE = 4
# A segment whose largest scope has fewer rows needs no sketch: they are compared.
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
    roll: Roll
    scopes: NDArray[np.bytes_]
    starts: NDArray[np.uint32]
    sketch: Sketch | None = None
    centre: Rows | None = None

    @property
    def nbytes(self) -> int:
        sketch = self.sketch.nbytes if self.sketch is not None else 0
        # The vectors lie in the bytes that were loaded; a live mask of one byte a row comes with use.
        return (
            self.vectors.nbytes + self.roll.nbytes + self.scopes.nbytes + self.starts.nbytes + sketch + len(self.roll)
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
    return Block(segment_id, vectors, Roll(ids, len(vectors)), scopes, starts)


@dataclass(slots=True)
class Held:
    """A block and which of its rows do not count any more. `soonest`: when the next one expires, epoch seconds."""

    block: Block
    dead: NDArray[np.bool_] | None = None
    soonest: int = 0

    def kill(self, rows: Places) -> None:
        if not len(rows):
            return
        if self.dead is None:
            self.dead = np.zeros(len(self.block.vectors), bool)
        self.dead[rows] = True

    def expire(self, now: float) -> None:
        """Costs something once for each second in which rows expire."""
        if now < self.soonest:
            return
        expires = self.block.roll.expires[: len(self.block.vectors)]
        self.kill(np.flatnonzero(expires <= now))
        live = expires[expires > now]
        self.soonest = int(live.min()) if len(live) else NEVER_EXPIRES


def sketched(block: Block, centre: Rows | None) -> Block:
    """The block with the sketch that this centre gives."""
    largest = int(np.diff(block.starts).max(initial=0))
    if centre is None or centre is block.centre or largest < SKETCHED_FROM:
        return block
    return replace(block, sketch=sketch_of(block.vectors, centre), centre=centre)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a matrix becomes: its blocks in the manifest's order, and the rows in them that newer entries beat."""

    blocks: tuple[Block, ...]
    beaten: tuple[tuple[str, Places], ...]


class Matrix:
    """`own_rows`: how many own writes are kept until a segment has them. `clock`: epoch seconds."""

    def __init__(self, dim: int, own_rows: int, clock: Callable[[], float] = time.time) -> None:
        self.dim = dim
        self._clock = clock
        self._held: dict[str, Held] = {}
        self._recent = Recent(dim, own_rows)
        self.centre: Rows | None = None
        self._centred_on = 0

    @property
    def blocks(self) -> dict[str, Block]:
        return {segment_id: held.block for segment_id, held in self._held.items()}

    @property
    def rows(self) -> int:
        """Those that are dead included."""
        return sum(len(held.block.vectors) for held in self._held.values()) + len(self._recent)

    @property
    def nbytes(self) -> int:
        return sum(held.block.nbytes for held in self._held.values()) + self._recent.nbytes

    def search(self, scope: bytes, queries: NDArray[np.float32], k: int) -> list[list[Neighbour]]:
        """For each query (m, dim) at most `k` neighbours of that scope (32 bytes), the nearest first."""
        now = self._clock()
        places: list[tuple[Held, int, int]] = []
        for held in self._held.values():
            first, last = held.block.span(scope)
            if first < last:
                held.expire(now)
                places.append((held, first, last))
        pieces = [_piece(*place) for place in places]
        own = self._recent.piece(scope, now)
        found = nearest_of_many([*pieces, own] if own else pieces, queries, k, self.centre)
        return [self._neighbours(scope, places, one) for one in found]

    def add(self, own: Own, vector: Vector) -> None:
        """An entry that this process has just stored: found from now on."""
        if self._recent.add(own, vector):
            self._hide(own)

    def forget(self, own: Own) -> None:
        """An entry that this process has just deleted."""
        self._recent.forget(own)
        self._hide(own)

    def learn(self, vectors: Rows) -> None:
        """Take the centre from these rows, unless there is one that is as good. Call it before they are sketched."""
        rows = min(len(vectors), SAMPLE)
        if rows >= max(CENTRE_FROM, RECENTRE * self._centred_on):
            self.centre, self._centred_on = centre_of(vectors), rows

    def plan(self, loaded: Sequence[Block], order: Sequence[str]) -> Plan:
        """How to become the blocks named in `order`, of those held and those `loaded`. Changes nothing, so it may run
        in a thread."""
        there = {**self.blocks, **{block.id: block for block in loaded}}
        blocks = [there[segment_id] for segment_id in order if segment_id in there]
        fresh = {block.id for block in loaded}
        lost: list[tuple[str, Places]] = []
        for at, newer in enumerate(blocks):
            for older in blocks[:at]:
                if newer.id in fresh or older.id in fresh:
                    old, new = beaten(older.roll, newer.roll)
                    lost += [(older.id, old), (newer.id, new)]
        return Plan(tuple(sketched(block, self.centre) for block in blocks), tuple(lost))

    def become(self, plan: Plan) -> None:
        """Take over a plan. What the segments now have of the own writes is dropped."""
        old = self._held
        self._held = {}
        for block in plan.blocks:
            kept = old.get(block.id)
            self._held[block.id] = Held(block, kept.dead, kept.soonest) if kept else Held(block)
        for segment_id, rows in plan.beaten:
            self._held[segment_id].kill(rows)
        for held in self._held.values():
            if held.block.id not in old:
                held.kill(self._recent.settle(held.block.roll))

    def _hide(self, own: Own) -> None:
        for held in self._held.values():
            roll = held.block.roll
            (place,) = roll.finder.find(own.words)
            if place != ABSENT and place < roll.rows and roll.versions[place] < own.version:
                held.kill(np.array([place]))

    def _neighbours(self, scope: bytes, places: Sequence[tuple[Held, int, int]], found: Found) -> list[Neighbour]:
        neighbours = []
        for place, similarity in zip(*found, strict=True):
            at = int(place)
            for held, first, last in places:
                if at < last - first:
                    neighbours.append(_neighbour(held.block.roll, first + at, float(similarity)))
                    break
                at -= last - first
            else:
                own = self._recent.at(scope, at)
                neighbours.append(
                    Neighbour(own.key.hex(), float(similarity), own.version / 2_000_000, float(own.expires))
                )
        return neighbours


def _piece(held: Held, first: int, last: int) -> Piece:
    sketch, dead = held.block.sketch, held.dead
    return Piece(
        held.block.vectors[first:last],
        None if sketch is None else sketch[:, first:last],
        None if dead is None else dead[first:last],
    )


def _neighbour(roll: Roll, row: int, similarity: float) -> Neighbour:
    key = roll.keys[row].tobytes().hex()
    return Neighbour(key, similarity, float(roll.versions[row]) / 2_000_000, float(roll.expires[row]))
