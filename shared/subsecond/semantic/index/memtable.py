"""What this process has written or deleted itself, until a segment tells the same."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from subsecond.semantic.index.entries import ABSENT, Keys, Places, Roll
from subsecond.semantic.index.search import Piece
from subsecond.semantic.index.vectors import DTYPE, Matrix, Vector, quantise

FIRST_ROOM = 4


@dataclass(frozen=True, slots=True)
class Own:
    """One own write. key, scope: 32 bytes. version: as a roll's. expires: epoch seconds."""

    key: bytes
    scope: bytes
    version: int
    expires: int

    @property
    def words(self) -> Keys:
        return np.frombuffer(self.key, np.uint64).reshape(1, 4)


def written(key: str, scope: str, created: float, expires: float) -> Own:
    """`key` and `scope` in hex, times in epoch seconds. To the microsecond, as the table's items have it."""
    return Own(bytes.fromhex(key), bytes.fromhex(scope), 2 * _microseconds(created), int(expires))


def deleted(key: str, scope: str, created: float) -> Own:
    """The entry that was created then is gone."""
    return Own(bytes.fromhex(key), bytes.fromhex(scope), 2 * _microseconds(created) + 1, 0)


def _microseconds(created: float) -> int:
    # The digits that the item has: multiplying could round to another microsecond.
    return int(f"{created:.6f}".replace(".", ""))


@dataclass(slots=True)
class _Tail:
    """The own writes of one scope. The arrays have room for more."""

    vectors: Matrix
    expires: NDArray[np.uint32]
    owns: list[Own] = field(default_factory=list)

    def add(self, own: Own, row: Matrix) -> None:
        n = len(self.owns)
        if n == len(self.vectors):
            self.vectors = np.concatenate([self.vectors, np.empty_like(self.vectors)])
            self.expires = np.concatenate([self.expires, np.empty_like(self.expires)])
        self.vectors[n], self.expires[n] = row, own.expires
        self.owns.append(own)

    def drop(self, key: bytes) -> None:
        at = next(at for at, own in enumerate(self.owns) if own.key == key)
        last = self.owns.pop()
        if at < len(self.owns):
            self.owns[at] = last
            self.vectors[at], self.expires[at] = self.vectors[len(self.owns)], last.expires


class Recent:
    """At most `most` writes, and as many deletions; the oldest go first."""

    def __init__(self, dim: int, most: int) -> None:
        self._dim = dim
        self._most = most
        self._tails: dict[bytes, _Tail] = {}
        self._owns: dict[bytes, Own] = {}
        self._deleted: dict[bytes, Own] = {}

    def __len__(self) -> int:
        return len(self._owns)

    @property
    def nbytes(self) -> int:
        return sum(tail.vectors.nbytes + tail.expires.nbytes for tail in self._tails.values())

    def add(self, own: Own, vector: Vector) -> bool:
        """False when something newer of that key is known already."""
        for known in (self._owns.get(own.key), self._deleted.get(own.key)):
            if known and known.version >= own.version:
                return False
        self._drop(own.key)
        self._deleted.pop(own.key, None)
        tail = self._tails.get(own.scope)
        if tail is None:
            room = np.empty((FIRST_ROOM, self._dim), DTYPE)
            tail = self._tails[own.scope] = _Tail(room, np.empty(FIRST_ROOM, np.uint32))
        tail.add(own, quantise(vector))
        self._owns[own.key] = own
        if len(self._owns) > self._most:
            self._drop(next(iter(self._owns)))
        return True

    def forget(self, own: Own) -> None:
        known = self._owns.get(own.key)
        if known and known.version > own.version:
            return
        self._drop(own.key)
        self._deleted[own.key] = own
        if len(self._deleted) > self._most:
            del self._deleted[next(iter(self._deleted))]

    def piece(self, scope: bytes, now: float) -> Piece | None:
        tail = self._tails.get(scope)
        if tail is None:
            return None
        n = len(tail.owns)
        dead = tail.expires[:n] <= now
        return Piece(tail.vectors[:n], None, dead if dead.any() else None)

    def at(self, scope: bytes, place: int) -> Own:
        """The write behind a row of `piece`."""
        return self._tails[scope].owns[place]

    def settle(self, roll: Roll) -> Places:
        """Drop what the new segment has too or newer. Returns its rows that the own writes and deletions beat."""
        beaten = [self._settle(known, roll) for known in (self._owns, self._deleted)]
        return np.concatenate(beaten)

    def _settle(self, known: dict[bytes, Own], roll: Roll) -> Places:
        if not known:
            return np.empty(0, np.intp)
        owns = list(known.values())
        places = roll.finder.find(np.concatenate([own.words for own in owns]))
        there = np.flatnonzero(places != ABSENT)
        older = roll.versions[places[there]] < np.array([owns[at].version for at in there])
        for at in there[~older]:
            self._drop(owns[at].key)
            self._deleted.pop(owns[at].key, None)
        beaten: Places = places[there[older]]
        return beaten[beaten < roll.rows]

    def _drop(self, key: bytes) -> None:
        own = self._owns.pop(key, None)
        if own is None:
            return
        tail = self._tails[own.scope]
        tail.drop(key)
        if not tail.owns:
            del self._tails[own.scope]
