"""The answers table's stream -> the index. Idempotent, and safe beside other indexers: see `entries` and `writer`."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import numpy as np

from subsecond.ports import ObjectsFailed
from subsecond.semantic.index.compaction import Upkeep
from subsecond.semantic.index.entries import Keys, known
from subsecond.semantic.index.records import Change, Poisoned, changes_of, part_of, sequence_of
from subsecond.semantic.index.segments import Manifest, Place
from subsecond.semantic.index.writer import Draft, View, Writer

log = logging.getLogger("subsecond")

# A commit takes the newest segments into its own as long as the next has at most this many times its entries. So an
# index of n entries has at most log4(n) segments, and an entry is written about as often.
FANOUT = 4
# Bytes of segments that a commit takes in: what is larger is the upkeep's work, so that a new entry does not wait.
ABSORBED = 4 * 1024 * 1024


class Indexer:
    """counts: written, deleted, used (marks of hits), repeated (nothing new), poisoned, failed (records)."""

    def __init__(self, writer: Writer, upkeep: Upkeep) -> None:
        self._writer = writer
        self._upkeep = upkeep
        self.counts: Counter[str] = Counter()

    async def handle(self, records: Sequence[Mapping[str, Any]]) -> list[str]:
        """Index a batch of stream records. Returns the sequence numbers of those that must come again."""
        changes: dict[Place, list[Change]] = defaultdict(list)
        sources: dict[Place, list[str]] = defaultdict(list)
        for record in records:
            try:
                sequence, found = sequence_of(record), changes_of(record)
            except Poisoned as error:
                # It would fail for ever and block its shard: counted, and left out.
                self.counts["poisoned"] += 1
                log.warning("indexer: a record is skipped: %s", error)
                continue
            for place, change in found:
                changes[place].append(change)
                sources[place].append(sequence)
        failures: list[str] = []
        for place, wanted in changes.items():
            try:
                await self.apply(place, wanted)
            except ObjectsFailed as error:
                self.counts["failed"] += len(wanted)
                log.warning("indexer: a batch comes again: %s", error)
                failures += sources[place]
        return list(dict.fromkeys(failures))

    async def apply(self, place: Place, changes: Sequence[Change]) -> None:
        """Commit the changes of one place. Raises ObjectsFailed; then all, some or none of it has happened."""
        manifest = await self._commit(place, changes)
        if manifest and self._upkeep.is_urgent(manifest):
            try:
                await self._upkeep.relieve(place)
            except ObjectsFailed as error:
                # The changes are committed; the schedule comes back to it.
                log.warning("indexer: merging waits: %s", error)

    async def _commit(self, place: Place, changes: Sequence[Change]) -> Manifest | None:
        """The manifest that the changes were added to; None when there was nothing to add."""
        draft: Draft | None = None
        drafted = 0
        async with aclosing(self._writer.views(place)) as views:
            async for view in views:
                if draft and draft.is_in(view.manifest):
                    return view.manifest
                new = news(changes, view, self._writer.clock())
                if not new and not view.lost:
                    self.counts["repeated"] += len(changes)
                    return None
                if draft is None or drafted != len(new) or not draft.fits(view.manifest):
                    # Who was overtaken takes nothing in: then only the manifest is fought for.
                    absorbed = [] if draft else absorbable(view.manifest, view, len(new))
                    draft = await self._writer.draft(view, absorbed, part_of(new, place.dim) if new else None)
                    drafted = len(new)
                if draft and await self._writer.commit(view, draft):
                    self._count(changes, new)
                    return view.manifest
        return None

    def _count(self, changes: Sequence[Change], new: Sequence[Change]) -> None:
        kinds = Counter("written" if one.row is not None else "used" if one.used else "deleted" for one in new)
        self.counts.update(kinds)
        self.counts["repeated"] += len(changes) - len(new)


def news(changes: Sequence[Change], view: View, now: float) -> list[Change]:
    """What the index does not know yet: newer rows, deletions of what it has or may still get, hits."""
    latest = _latest(changes)
    held = known(_keys(latest), list(view.rolls.values()))
    new: list[Change] = []
    for at, change in enumerate(latest):
        version, row_expires, used = held.version[at], held.expires[at], held.used[at]
        if change.version > version:
            # An expired row is for nobody, unless it takes the place of one that is not.
            if change.expires > now or row_expires > now:
                new.append(change)
        elif change.row is not None and change.version == version and change.used > used and row_expires > now:
            new.append(replace(change, row=None))
    return new


def _latest(changes: Sequence[Change]) -> list[Change]:
    """One change for each key: the newest version, with the last hit of all."""
    latest: dict[bytes, Change] = {}
    for change in changes:
        other = latest.get(change.key)
        if other is None or (change.version, change.used) > (other.version, other.used):
            latest[change.key] = change
    return list(latest.values())


def _keys(changes: Sequence[Change]) -> Keys:
    return np.frombuffer(b"".join(change.key for change in changes), np.uint64).reshape(-1, 4)


def absorbable(manifest: Manifest, view: View, incoming: int) -> list[str]:
    """The newest segments that the new one is to take in."""
    taken: list[str] = []
    entries, size = incoming, 0
    for segment in reversed(manifest.segments):
        size += segment.bytes
        if segment.id in view.lost or segment.entries > FANOUT * entries or size > ABSORBED:
            break
        taken.append(segment.id)
        entries += segment.entries
    return taken
