"""Takes the answers table's stream into the index. Idempotent, and safe beside other indexers: see `entries`,
`writer`."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import numpy as np

from subsecond.ports import ObjectsFailed
from subsecond.semantic.index.compaction import Compactor
from subsecond.semantic.index.entries import Keys, known
from subsecond.semantic.index.records import Change, Poisoned, changes_of, part_of, sequence_of
from subsecond.semantic.index.segments import IndexId, Manifest
from subsecond.semantic.index.writer import Draft, ManifestView, Writer

log = logging.getLogger("subsecond")

# A commit takes the newest segments into its own as long as the next has at most this many times its entries. So an
# index of n entries has at most log4(n) segments, and an entry is written about as often.
FANOUT = 4
# Bytes of segments that a commit takes in. Compaction merges what is larger, so that a new entry does not wait for it.
ABSORBED = 4 * 1024 * 1024


class Indexer:
    """counts: written, deleted, used (dates of hits), repeated (nothing new), poisoned, failed (records)."""

    def __init__(self, writer: Writer, compactor: Compactor) -> None:
        self._writer = writer
        self._compactor = compactor
        self.counts: Counter[str] = Counter()

    async def handle(self, records: Sequence[Mapping[str, Any]]) -> list[str]:
        """Index a batch of stream records. Returns the sequence numbers of those that Lambda must deliver again."""
        changes: dict[IndexId, list[Change]] = defaultdict(list)
        sources: dict[IndexId, list[str]] = defaultdict(list)
        for record in records:
            try:
                sequence, found = sequence_of(record), changes_of(record)
            except Poisoned as error:
                # It would fail for ever and block its shard: it is counted and skipped.
                self.counts["poisoned"] += 1
                log.warning("indexer: a record is skipped: %s", error)
                continue
            for index_id, change in found:
                changes[index_id].append(change)
                sources[index_id].append(sequence)
        failures: list[str] = []
        for index_id, wanted in changes.items():
            try:
                await self.apply(index_id, wanted)
            except ObjectsFailed as error:
                self.counts["failed"] += len(wanted)
                log.warning("indexer: a batch comes again: %s", error)
                failures += sources[index_id]
        return list(dict.fromkeys(failures))

    async def apply(self, index_id: IndexId, changes: Sequence[Change]) -> None:
        """Commit the changes of one index. Raises ObjectsFailed; then all, some or none of it has happened."""
        manifest = await self._commit(index_id, changes)
        if manifest and self._compactor.is_urgent(manifest):
            try:
                await self._compactor.merge_and_evict(index_id)
            except ObjectsFailed as error:
                # The changes are committed. The schedule merges later.
                log.warning("indexer: merging waits: %s", error)

    async def _commit(self, index_id: IndexId, changes: Sequence[Change]) -> Manifest | None:
        """Returns the manifest that the changes were added to; None when there was nothing new."""
        draft: Draft | None = None
        drafted = 0
        async with aclosing(self._writer.views(index_id)) as views:
            async for view in views:
                if draft and draft.is_in(view.manifest):
                    return view.manifest
                new = unknown_changes(changes, view, self._writer.clock())
                if not new and not view.lost:
                    self.counts["repeated"] += len(changes)
                    return None
                if draft is None or drafted != len(new) or not draft.fits(view.manifest):
                    # After a lost race no segment is merged in: only the manifest is written again.
                    absorbed = [] if draft else segments_to_absorb(view.manifest, view, len(new))
                    draft = await self._writer.draft(view, absorbed, part_of(new, index_id.dim) if new else None)
                    drafted = len(new)
                if draft and await self._writer.commit(view, draft):
                    self._count(changes, new)
                    return view.manifest
        return None

    def _count(self, changes: Sequence[Change], new: Sequence[Change]) -> None:
        kinds = Counter("written" if one.row is not None else "used" if one.used else "deleted" for one in new)
        self.counts.update(kinds)
        self.counts["repeated"] += len(changes) - len(new)


def unknown_changes(changes: Sequence[Change], view: ManifestView, now: float) -> list[Change]:
    """The changes that the index does not have: newer rows, deletions of what it has or may still get, later hits."""
    latest = _latest(changes)
    held = known(_keys(latest), list(view.key_indexes.values()))
    new: list[Change] = []
    for at, change in enumerate(latest):
        version, row_expires, used = held.version[at], held.expires[at], held.used[at]
        if change.version > version:
            # An expired row is dropped, unless it replaces one that has not expired.
            if change.expires > now or row_expires > now:
                new.append(change)
        elif change.row is not None and change.version == version and change.used > used and row_expires > now:
            new.append(replace(change, row=None))
    return new


def _latest(changes: Sequence[Change]) -> list[Change]:
    """One change for each key: the newest version; of equal ones, that with the latest hit."""
    latest: dict[bytes, Change] = {}
    for change in changes:
        other = latest.get(change.key)
        if other is None or (change.version, change.used) > (other.version, other.used):
            latest[change.key] = change
    return list(latest.values())


def _keys(changes: Sequence[Change]) -> Keys:
    return np.frombuffer(b"".join(change.key for change in changes), np.uint64).reshape(-1, 4)


def segments_to_absorb(manifest: Manifest, view: ManifestView, incoming: int) -> list[str]:
    """The ids of the newest segments that the new one is merged with."""
    taken: list[str] = []
    entries, size = incoming, 0
    for segment in reversed(manifest.segments):
        size += segment.bytes
        if segment.id in view.lost or segment.entries > FANOUT * entries or size > ABSORBED:
            break
        taken.append(segment.id)
        entries += segment.entries
    return taken
