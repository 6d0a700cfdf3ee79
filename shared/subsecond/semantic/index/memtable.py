"""Entries that this process has stored or deleted itself, until a segment has them: they are found at once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from subsecond.semantic.index.entries import ABSENT, KeyIndex, Keys, Positions
from subsecond.semantic.index.search import Piece
from subsecond.semantic.index.vectors import DTYPE, Rows, Vector, quantise

FIRST_ROOM = 4


@dataclass(frozen=True, slots=True)
class LocalWrite:
    """One entry that was stored or deleted here. key, scope: 32 bytes. version: as in a KeyIndex. expires: epoch
    seconds."""

    key: bytes
    scope: bytes
    version: int
    expires: int

    @property
    def words(self) -> Keys:
        return np.frombuffer(self.key, np.uint64).reshape(1, 4)


def write_of(key: str, scope: str, created: float, expires: float) -> LocalWrite:
    """Of an entry that was stored. `key` and `scope` in hex, times in epoch seconds, to the microsecond as in the
    table."""
    return LocalWrite(bytes.fromhex(key), bytes.fromhex(scope), 2 * _microseconds(created), int(expires))


def deletion_of(key: str, scope: str, created: float) -> LocalWrite:
    """Of an entry that was deleted. created: the version that is gone."""
    return LocalWrite(bytes.fromhex(key), bytes.fromhex(scope), 2 * _microseconds(created) + 1, 0)


def _microseconds(created: float) -> int:
    # From the digits that the item has: multiplying could round to another microsecond.
    return int(f"{created:.6f}".replace(".", ""))


@dataclass(slots=True)
class _ScopeWrites:
    """The writes of one scope. The arrays have room for more."""

    vectors: Rows
    expires: NDArray[np.uint32]
    writes: list[LocalWrite] = field(default_factory=list)

    def add(self, write: LocalWrite, row: Rows) -> None:
        n = len(self.writes)
        if n == len(self.vectors):
            self.vectors = np.concatenate([self.vectors, np.empty_like(self.vectors)])
            self.expires = np.concatenate([self.expires, np.empty_like(self.expires)])
        self.vectors[n], self.expires[n] = row, write.expires
        self.writes.append(write)

    def drop(self, key: bytes) -> None:
        at = next(at for at, write in enumerate(self.writes) if write.key == key)
        last = self.writes.pop()
        if at < len(self.writes):
            self.writes[at] = last
            self.vectors[at], self.expires[at] = self.vectors[len(self.writes)], last.expires


class Memtable:
    """At most `most` writes, and as many deletions; the oldest go first."""

    def __init__(self, dim: int, most: int) -> None:
        self._dim = dim
        self._most = most
        self._by_scope: dict[bytes, _ScopeWrites] = {}
        self._writes: dict[bytes, LocalWrite] = {}
        self._deleted: dict[bytes, LocalWrite] = {}

    def __len__(self) -> int:
        return len(self._writes)

    @property
    def nbytes(self) -> int:
        return sum(scoped.vectors.nbytes + scoped.expires.nbytes for scoped in self._by_scope.values())

    def add(self, write: LocalWrite, vector: Vector) -> bool:
        """False when a newer version of that key is known already."""
        for known in (self._writes.get(write.key), self._deleted.get(write.key)):
            if known and known.version >= write.version:
                return False
        self._drop(write.key)
        self._deleted.pop(write.key, None)
        scoped = self._by_scope.get(write.scope)
        if scoped is None:
            room = np.empty((FIRST_ROOM, self._dim), DTYPE)
            scoped = self._by_scope[write.scope] = _ScopeWrites(room, np.empty(FIRST_ROOM, np.uint32))
        scoped.add(write, quantise(vector))
        self._writes[write.key] = write
        if len(self._writes) > self._most:
            self._drop(next(iter(self._writes)))
        return True

    def forget(self, write: LocalWrite) -> None:
        known = self._writes.get(write.key)
        if known and known.version > write.version:
            return
        self._drop(write.key)
        self._deleted[write.key] = write
        if len(self._deleted) > self._most:
            del self._deleted[next(iter(self._deleted))]

    def piece(self, scope: bytes, now: float) -> Piece | None:
        scoped = self._by_scope.get(scope)
        if scoped is None:
            return None
        n = len(scoped.writes)
        dead = scoped.expires[:n] <= now
        return Piece(scoped.vectors[:n], None, dead if dead.any() else None)

    def scopes(self) -> list[bytes]:
        return list(self._by_scope)

    def at(self, scope: bytes, position: int) -> LocalWrite:
        """The write behind a row of `piece`."""
        return self._by_scope[scope].writes[position]

    def drop_covered(self, key_index: KeyIndex) -> Positions:
        """Drop the writes that a new segment has, or has newer. Returns the segment's rows that a write here
        supersedes."""
        superseded = [self._drop_covered(known, key_index) for known in (self._writes, self._deleted)]
        return np.concatenate(superseded)

    def _drop_covered(self, known: dict[bytes, LocalWrite], key_index: KeyIndex) -> Positions:
        if not known:
            return np.empty(0, np.intp)
        writes = list(known.values())
        positions = key_index.finder.find(np.concatenate([write.words for write in writes]))
        there = np.flatnonzero(positions != ABSENT)
        older = key_index.versions[positions[there]] < np.array([writes[at].version for at in there])
        for at in there[~older]:
            self._drop(writes[at].key)
            self._deleted.pop(writes[at].key, None)
        superseded: Positions = positions[there[older]]
        return superseded[superseded < key_index.rows]

    def _drop(self, key: bytes) -> None:
        write = self._writes.pop(key, None)
        if write is None:
            return
        scoped = self._by_scope[write.scope]
        scoped.drop(key)
        if not scoped.writes:
            del self._by_scope[write.scope]
