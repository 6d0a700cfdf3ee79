"""What of an index still counts, and which segments are to be written anew. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from subsecond.semantic.index.entries import ABSENT, Keys, Roll, beaten
from subsecond.semantic.index.segments import IDS, Manifest, Segment

MICROSECONDS = 1_000_000
# A segment with this share of entries that count no more is written anew.
GARBAGE = 0.25
# So many small segments are left alone.
LOOSE = 4
# Eviction goes this far below the limit, so that it does not come with every entry.
EVICTED_TO = 0.9


@dataclass(frozen=True, slots=True)
class Survey:
    """rolls: of the segments that can be read. live: which rows of each count now, by segment."""

    manifest: Manifest
    rolls: Mapping[str, Roll]
    live: Mapping[str, NDArray[np.bool_]]

    @property
    def rows(self) -> int:
        return sum(int(mask.sum()) for mask in self.live.values())

    def garbage(self, segment: Segment) -> float:
        """The share of its entries that a merge would drop; marks count as such."""
        return 1 - int(self.live[segment.id].sum()) / max(1, segment.entries)


def survey(manifest: Manifest, rolls: Mapping[str, Roll], now: float) -> Survey:
    live = {segment_id: roll.expires[: roll.rows] > now for segment_id, roll in rolls.items()}
    named = [segment.id for segment in manifest.segments if segment.id in rolls]
    for at, newer in enumerate(named):
        for older in named[:at]:
            old, new = beaten(rolls[older], rolls[newer])
            live[older][old] = False
            live[newer][new] = False
    return Survey(manifest, rolls, live)


def merges(found: Survey, largest: int) -> list[list[str]]:
    """Groups of segments, each to become one of at most `largest` bytes. Nothing, when little would come of it."""
    segments = [segment for segment in found.manifest.segments if segment.id in found.rolls]
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


def victims(found: Survey, limit: int) -> Mapping[str, Keys]:
    """The keys to evict, by segment, so that the rest stays below `limit` bytes: those longest not created or hit."""
    row_bytes = 2 * found.manifest.place.dim + IDS.itemsize
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
            evicted[segment_id] = found.rolls[segment_id].keys[mine]
    return evicted


def _last_uses(found: Survey) -> Mapping[str, NDArray[np.int64]]:
    """When each row was created or last served a hit, in epoch microseconds, marks of hits included."""
    uses: dict[str, NDArray[np.int64]] = {}
    for segment_id, roll in found.rolls.items():
        created, used = roll.versions[: roll.rows] // 2, roll.used[: roll.rows].astype(np.int64)
        uses[segment_id] = np.maximum(created, used * MICROSECONDS)
    for marked in found.rolls.values():
        marks = np.flatnonzero(marked.used[marked.rows :]) + marked.rows
        for segment_id, roll in found.rolls.items():
            places = roll.finder.find(marked.keys[marks])
            there = (places != ABSENT) & (places < roll.rows)
            used = marked.used[marks[there]].astype(np.int64)
            np.maximum.at(uses[segment_id], places[there], used * MICROSECONDS)
    return uses


def deletions(rolls: Sequence[Roll], now: float) -> NDArray[np.void]:
    """The deletions that still hold, as marks."""
    found = []
    for roll in rolls:
        holds = np.flatnonzero((roll.used == 0) & (roll.expires > now) & (roll.versions % 2 == 1))
        marks = np.zeros(len(holds), IDS)
        marks["key"] = np.ascontiguousarray(roll.keys[holds]).view("V32")[:, 0]
        marks["created"] = roll.versions[holds] // 2
        marks["expires"] = roll.expires[holds]
        found.append(marks)
    return np.concatenate([np.zeros(0, IDS), *found])
