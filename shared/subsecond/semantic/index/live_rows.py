"""Finds the live rows of an index, and which segments to merge or to evict from. Pure; `compaction` calls it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from subsecond.semantic.index.entries import ABSENT, KeyIndex, Keys, superseded
from subsecond.semantic.index.segments import IDS, Manifest, Segment

MICROSECONDS = 1_000_000
# A segment with this share of dead entries is written anew.
GARBAGE = 0.25
# With no more small segments than this, nothing is merged.
LOOSE = 4
# Eviction goes down to this share of the limit, so that it does not run for every new entry.
EVICTED_TO = 0.9


@dataclass(frozen=True, slots=True)
class LiveRows:
    """key_indexes: of the segments that can be read. live: a mask of the live rows, by segment."""

    manifest: Manifest
    key_indexes: Mapping[str, KeyIndex]
    live: Mapping[str, NDArray[np.bool_]]

    @property
    def rows(self) -> int:
        return sum(int(mask.sum()) for mask in self.live.values())

    def garbage(self, segment: Segment) -> float:
        """The share of its entries that a merge would drop; tombstones are counted among them."""
        return 1 - int(self.live[segment.id].sum()) / max(1, segment.entries)


def live_rows(manifest: Manifest, key_indexes: Mapping[str, KeyIndex], now: float) -> LiveRows:
    live = {segment_id: key_index.expires[: key_index.rows] > now for segment_id, key_index in key_indexes.items()}
    named = [segment.id for segment in manifest.segments if segment.id in key_indexes]
    for at, newer in enumerate(named):
        for older in named[:at]:
            old, new = superseded(key_indexes[older], key_indexes[newer])
            live[older][old] = False
            live[newer][new] = False
    return LiveRows(manifest, key_indexes, live)


def merge_groups(found: LiveRows, largest: int) -> list[list[str]]:
    """Groups of segments, each to become one of at most `largest` bytes. None, where merging would save little."""
    segments = [segment for segment in found.manifest.segments if segment.id in found.key_indexes]
    dirty = {segment.id for segment in segments if found.garbage(segment) >= GARBAGE}
    loose = [segment for segment in segments if segment.id in dirty or segment.bytes < largest // 2]
    if not dirty and len(loose) <= LOOSE:
        return []
    groups: list[list[str]] = [[]]
    room = largest
    for segment in loose:
        size = int(segment.bytes * (1 - found.garbage(segment)))
        if size > room and groups[-1]:
            groups.append([])
            room = largest
        groups[-1].append(segment.id)
        room -= size
    return [group for group in groups if len(group) > 1 or dirty.intersection(group)]


def rows_to_evict(found: LiveRows, limit: int) -> Mapping[str, Keys]:
    """The keys to evict, by segment, so that the rest stays below `limit` bytes: those least recently created or
    hit."""
    row_bytes = 2 * found.manifest.index_id.dim + IDS.itemsize
    if found.rows * row_bytes <= limit:
        return {}
    uses = _last_uses(found)
    rows = [(segment_id, np.flatnonzero(mask)) for segment_id, mask in found.live.items()]
    ages = np.concatenate([uses[segment_id][live] for segment_id, live in rows])
    surplus = len(ages) - int(EVICTED_TO * limit) // row_bytes
    chosen = np.zeros(len(ages), bool)
    chosen[np.argpartition(ages, surplus - 1)[:surplus]] = True
    evicted: dict[str, Keys] = {}
    start = 0
    for segment_id, live in rows:
        mine = live[chosen[start : start + len(live)]]
        start += len(live)
        if len(mine):
            evicted[segment_id] = found.key_indexes[segment_id].keys[mine]
    return evicted


def _last_uses(found: LiveRows) -> Mapping[str, NDArray[np.int64]]:
    """When each row was created or last served a hit, in epoch microseconds; hits that are not merged into their rows
    yet are counted."""
    uses: dict[str, NDArray[np.int64]] = {}
    for segment_id, key_index in found.key_indexes.items():
        created, used = key_index.versions[: key_index.rows] // 2, key_index.used[: key_index.rows].astype(np.int64)
        uses[segment_id] = np.maximum(created, used * MICROSECONDS)
    for holder in found.key_indexes.values():
        hits = np.flatnonzero(holder.used[holder.rows :]) + holder.rows
        for segment_id, key_index in found.key_indexes.items():
            positions = key_index.finder.find(holder.keys[hits])
            there = (positions != ABSENT) & (positions < key_index.rows)
            used = holder.used[hits[there]].astype(np.int64)
            np.maximum.at(uses[segment_id], positions[there], used * MICROSECONDS)
    return uses


def live_tombstones(key_indexes: Sequence[KeyIndex], now: float) -> NDArray[np.void]:
    """The deletions that have not expired, as tombstones. A rebuild keeps them, because records may still come late."""
    found = []
    for key_index in key_indexes:
        holds = np.flatnonzero((key_index.used == 0) & (key_index.expires > now) & (key_index.versions % 2 == 1))
        tombstones = np.zeros(len(holds), IDS)
        tombstones["key"] = np.ascontiguousarray(key_index.keys[holds]).view("V32")[:, 0]
        tombstones["created"] = key_index.versions[holds] // 2
        tombstones["expires"] = key_index.expires[holds]
        found.append(tombstones)
    return np.concatenate([np.zeros(0, IDS), *found])
