"""Which entries count: of all versions of a key, wherever they lie, the newest. Pure.

A version is `created`, and a deletion beats a row of the same `created`. So entries may come late, twice and in any
order, and merging them in any grouping gives the same index.
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
Places: TypeAlias = NDArray[np.intp]

# What a lookup gives for a key that is not there.
ABSENT = -1


class Finder:
    """Keys (n, 4), found in O(log n). The first 64 bits find a key, all 256 confirm it; of two keys that agree in 64
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

    def find(self, keys: Keys) -> Places:
        """The place of each key, or ABSENT."""
        found = np.full(len(keys), ABSENT, np.intp)
        asked, places = self._matches(keys[:, 0])
        same = (self.keys[places] == keys[asked]).all(axis=1)
        found[asked[same]] = places[same]
        return found

    def common(self, other: Finder) -> tuple[Places, Places]:
        """The places of the keys that both have, here and there."""
        if len(self) < len(other):
            theirs, ours = other.common(self)
            return ours, theirs
        # In order, so that looking up runs along memory.
        asked, ours = self._matches(other._sorted)
        theirs = other._order[asked].astype(np.intp)
        same = (self.keys[ours] == other.keys[theirs]).all(axis=1)
        return ours[same], theirs[same]

    def _matches(self, first: NDArray[np.uint64]) -> tuple[Places, Places]:
        """Which of these first words are here, and where."""
        if not len(self):
            return np.empty(0, np.intp), np.empty(0, np.intp)
        at = np.minimum(np.searchsorted(self._sorted, first), len(self) - 1)
        asked = np.flatnonzero(self._sorted[at] == first)
        return asked, self._order[at[asked]].astype(np.intp)


class Roll:
    """The entries of one segment without their vectors and scopes. 60 bytes an entry.

    versions: comparable ages. expires, used: epoch seconds. The first `rows` have vectors.
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
    """A deletion is newer than its row. A hit's mark is no version: it is ABSENT."""
    versions: NDArray[np.int64] = 2 * ids["created"]
    marks = slice(rows, None)
    versions[marks] = np.where(ids["used"][marks] == 0, versions[marks] + 1, ABSENT)
    return versions


def beaten(older: Roll, newer: Roll) -> tuple[Places, Places]:
    """The rows of each that count no more because of the other. Of two equal versions that of `newer` stays."""
    ours, theirs = older.finder.common(newer.finder)
    age, other_age = older.versions[ours], newer.versions[theirs]
    lost = (age <= other_age) & (ours < older.rows)
    won = (age > other_age) & (theirs < newer.rows)
    return ours[lost], theirs[won]


@dataclass(frozen=True, slots=True)
class Known:
    """What segments hold of some keys, one value for each key; where they hold nothing, ABSENT and 0.

    version: the newest. expires: of the rows, the latest. used: the last hit.
    """

    version: NDArray[np.int64]
    expires: NDArray[np.int64]
    used: NDArray[np.int64]


def known(keys: Keys, rolls: Sequence[Roll]) -> Known:
    version, expires, used = (np.full(len(keys), value, np.int64) for value in (ABSENT, 0, 0))
    for roll in rolls:
        places = roll.finder.find(keys)
        there = np.flatnonzero(places != ABSENT)
        at = places[there]
        version[there] = np.maximum(version[there], roll.versions[at])
        used[there] = np.maximum(used[there], roll.used[at])
        is_row = at < roll.rows
        expires[there[is_row]] = np.maximum(expires[there[is_row]], roll.expires[at[is_row]])
    return Known(version, expires, used)


def fold(parts: Sequence[Part], others: Sequence[Roll], now: float, evicted: Keys | None = None) -> Part:
    """One part in the place of several: what counts of them beside the `others`, sorted as a segment is.

    Expired and evicted rows go. Where the others still hold an older version, which would count again then, a deletion
    stays in their place until that one expires too. `evicted`: the keys to drop as if they had expired.
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
    is_mark = np.where(is_row[best], gone & hides, ~gone | hides)
    marks = ids[best[is_mark]]
    marks["expires"] = np.maximum(marks["expires"], hidden[is_mark])
    marks["used"] = 0
    marks = np.concatenate([marks, _wanted(ids[loose], others, now)])
    rows = best[is_row[best] & ~gone]
    scopes = np.ascontiguousarray(ids["scope"][rows]).view("S32")
    rows = rows[np.lexsort((keys_of(ids[rows])[:, 0], scopes))]
    vectors = np.concatenate([part.vectors for part in parts])
    return Part(vectors[np.cumsum(is_row)[rows] - 1], np.concatenate([ids[rows], marks]))


def _last_of_each_key(ids: Ids, among: Places, rank: NDArray[np.integer]) -> Places:
    """Of those `among`, the place with the highest rank for each key."""
    keys = keys_of(ids[among])
    order = np.lexsort((rank[among], keys[:, 3], keys[:, 2], keys[:, 1], keys[:, 0]))
    keys = keys[order]
    last = np.ones(len(order), bool)
    last[:-1] = (keys[1:] != keys[:-1]).any(axis=1)
    places: Places = among[order[last]]
    return places


def _credit(ids: Ids, best: Places, hits: Places) -> Places:
    """Write the hits into the entries that they belong to. Returns those whose entry is not here."""
    at = Finder(keys_of(ids[best])).find(keys_of(ids[hits]))
    here = at != ABSENT
    entries = best[at[here]]
    ids["used"][entries] = np.maximum(ids["used"][entries], ids["used"][hits[here]])
    loose: Places = hits[~here]
    return loose


def _wanted(hits: Ids, others: Sequence[Roll], now: float) -> Ids:
    """The hits that tell of a row in another segment something new."""
    beside = known(keys_of(hits), others)
    wanted: Ids = hits[(beside.expires > now) & (beside.used < hits["used"])]
    return wanted
