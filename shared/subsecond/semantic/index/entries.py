"""Decides which entries are live: of all versions of a key, in whatever segments, the newest. Pure.

A version is `created`, and a deletion is newer than a row of the same `created`. So entries may come late, twice and in
any order, and merging them in any grouping gives the same index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from subsecond.semantic.index.segments import Ids, Part

# Keys as numbers, four to a key, because NumPy compares those quickly.
Keys: TypeAlias = NDArray[np.uint64]
Positions: TypeAlias = NDArray[np.intp]

# The position of a key that is not there.
ABSENT = -1


class Finder:
    """Finds keys (n, 4) in O(log n). The first 64 bits find a key, all 256 confirm it; of two keys that agree in 64
    bits one is not found, which costs a duplicate at worst."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        order = np.argsort(keys[:, 0], kind="stable")
        self._sorted = keys[order, 0]
        self._order = order.astype(np.uint32)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in (self.keys, self._sorted, self._order))

    def find(self, keys: Keys) -> Positions:
        """The position of each key, or ABSENT."""
        found = np.full(len(keys), ABSENT, np.intp)
        asked, positions = self._matches(keys[:, 0])
        same = (self.keys[positions] == keys[asked]).all(axis=1)
        found[asked[same]] = positions[same]
        return found

    def common(self, other: Finder) -> tuple[Positions, Positions]:
        """The positions of the keys that both have: here, and in the other."""
        if len(self) < len(other):
            theirs, ours = other.common(self)
            return ours, theirs
        # In order, so that looking up runs along memory.
        asked, ours = self._matches(other._sorted)
        theirs = other._order[asked].astype(np.intp)
        same = (self.keys[ours] == other.keys[theirs]).all(axis=1)
        return ours[same], theirs[same]

    def _matches(self, first: NDArray[np.uint64]) -> tuple[Positions, Positions]:
        """Which of these first words are here, and their positions."""
        if not len(self):
            return np.empty(0, np.intp), np.empty(0, np.intp)
        at = np.minimum(np.searchsorted(self._sorted, first), len(self) - 1)
        asked = np.flatnonzero(self._sorted[at] == first)
        return asked, self._order[at[asked]].astype(np.intp)


class KeyIndex:
    """The keys of one segment with version and dates, without vectors and scopes. 60 bytes an entry.

    versions: see `_versions`. expires, used: epoch seconds. The first `rows` have vectors, the rest are tombstones.
    """

    def __init__(self, ids: Ids, rows: int) -> None:
        self.rows = rows
        self.finder = Finder(keys_of(ids))
        self.versions = _versions(ids, rows)
        self.expires = ids["expires"].copy()
        self.used = ids["used"].copy()

    def __len__(self) -> int:
        return len(self.versions)

    @property
    def keys(self) -> Keys:
        return self.finder.keys

    @property
    def nbytes(self) -> int:
        return self.finder.nbytes + self.versions.nbytes + self.expires.nbytes + self.used.nbytes


def keys_of(ids: Ids) -> Keys:
    return np.ascontiguousarray(ids["key"]).view(np.uint64).reshape(len(ids), 4)


def _versions(ids: Ids, rows: int) -> NDArray[np.int64]:
    """Twice `created`, and one more for a deletion. A tombstone that only dates a hit is no version: ABSENT."""
    versions: NDArray[np.int64] = 2 * ids["created"]
    tombstones = slice(rows, None)
    versions[tombstones] = np.where(ids["used"][tombstones] == 0, versions[tombstones] + 1, ABSENT)
    return versions


def superseded(older: KeyIndex, newer: KeyIndex) -> tuple[Positions, Positions]:
    """The rows of each that a newer version in the other replaces. Of two equal versions that of `newer` stays."""
    ours, theirs = older.finder.common(newer.finder)
    age, other_age = older.versions[ours], newer.versions[theirs]
    lost = (age <= other_age) & (ours < older.rows)
    won = (age > other_age) & (theirs < newer.rows)
    return ours[lost], theirs[won]


@dataclass(frozen=True, slots=True)
class Known:
    """What several segments hold of some keys, one value for each key; ABSENT and 0 where they hold nothing.

    version: the newest. expires: of the rows, the latest. used: the last hit.
    """

    version: NDArray[np.int64]
    expires: NDArray[np.int64]
    used: NDArray[np.int64]


def known(keys: Keys, key_indexes: Sequence[KeyIndex]) -> Known:
    """What the segments behind `key_indexes` hold of each key, in the order of `keys`."""
    version, expires, used = (np.full(len(keys), value, np.int64) for value in (ABSENT, 0, 0))
    for key_index in key_indexes:
        positions = key_index.finder.find(keys)
        there = np.flatnonzero(positions != ABSENT)
        at = positions[there]
        version[there] = np.maximum(version[there], key_index.versions[at])
        used[there] = np.maximum(used[there], key_index.used[at])
        is_row = at < key_index.rows
        expires[there[is_row]] = np.maximum(expires[there[is_row]], key_index.expires[at[is_row]])
    return Known(version, expires, used)


def merge(parts: Sequence[Part], others: Sequence[KeyIndex], now: float, evicted: Keys | None = None) -> Part:
    """Merge several parts into one, sorted as a segment is. `others`: the segments that stay beside it.

    Drops rows that are superseded, expired or evicted. Where one of the others still holds an older version, which
    would be live again then, a deletion stays until that version expires too. `evicted`: keys to drop as if they had
    expired.
    """
    ids = np.concatenate([part.ids for part in parts])
    is_row = np.concatenate([np.arange(len(part)) < part.rows for part in parts])
    is_hit = ~is_row & (ids["used"] != 0)
    version = 2 * ids["created"] + (~is_row & ~is_hit)

    best = _last_of_each_key(ids, np.flatnonzero(~is_hit), version)
    beside = known(keys_of(ids[best]), others)
    stays = beside.version < version[best]
    # `hidden`: until when another segment holds an older row, which this version hides.
    best, hidden = best[stays], beside.expires[stays]
    loose = _credit(ids, best, _last_of_each_key(ids, np.flatnonzero(is_hit), ids["used"]))

    gone = ids["expires"][best] <= now
    if evicted is not None:
        gone |= is_row[best] & (Finder(evicted).find(keys_of(ids[best])) != ABSENT)
    # A deletion outlives its row for the sake of records that come late.
    hides = hidden > now
    is_tombstone = np.where(is_row[best], gone & hides, ~gone | hides)
    tombstones = ids[best[is_tombstone]]
    tombstones["expires"] = np.maximum(tombstones["expires"], hidden[is_tombstone])
    tombstones["used"] = 0
    tombstones = np.concatenate([tombstones, _wanted(ids[loose], others, now)])
    rows = best[is_row[best] & ~gone]
    scopes = np.ascontiguousarray(ids["scope"][rows]).view("S32")
    rows = rows[np.lexsort((keys_of(ids[rows])[:, 0], scopes))]
    vectors = np.concatenate([part.vectors for part in parts])
    return Part(vectors[np.cumsum(is_row)[rows] - 1], np.concatenate([ids[rows], tombstones]))


def _last_of_each_key(ids: Ids, among: Positions, rank: NDArray[np.integer]) -> Positions:
    """For each key among these positions, the position with the highest rank."""
    keys = keys_of(ids[among])
    order = np.lexsort((rank[among], keys[:, 3], keys[:, 2], keys[:, 1], keys[:, 0]))
    keys = keys[order]
    last = np.ones(len(order), bool)
    last[:-1] = (keys[1:] != keys[:-1]).any(axis=1)
    positions: Positions = among[order[last]]
    return positions


def _credit(ids: Ids, best: Positions, hits: Positions) -> Positions:
    """Write the hits' dates into their entries. Returns the hits whose entry is not among them."""
    at = Finder(keys_of(ids[best])).find(keys_of(ids[hits]))
    here = at != ABSENT
    entries = best[at[here]]
    ids["used"][entries] = np.maximum(ids["used"][entries], ids["used"][hits[here]])
    loose: Positions = hits[~here]
    return loose


def _wanted(hits: Ids, others: Sequence[KeyIndex], now: float) -> Ids:
    """The hits that are later than what another segment has of their row: they stay until they are merged with it."""
    beside = known(keys_of(hits), others)
    wanted: Ids = hits[(beside.expires > now) & (beside.used < hits["used"])]
    return wanted
