"""Keeps an index small and correct: repairs, rebuilds, evicts, merges, deletes orphans, checks.

The indexer's function calls it on a schedule, and after a commit that left too many segments; `subsecond cache` calls
it by hand. Never on a request's path. Every step is a commit like any other writer's, so it may be killed anywhere.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from subsecond.ports import Listed, ObjectsFailed
from subsecond.semantic.index.entries import KeyIndex, Keys, merge, superseded
from subsecond.semantic.index.live_rows import live_rows, live_tombstones, merge_groups, rows_to_evict
from subsecond.semantic.index.records import Change, part_of
from subsecond.semantic.index.segments import (
    ROOT,
    IndexId,
    Manifest,
    Part,
    Segment,
    damage_name,
    ids_name,
    index_id_of,
    manifest_name,
    matrix_name,
)
from subsecond.semantic.index.writer import Draft, Writer

log = logging.getLogger("subsecond")


class AnswersTable(Protocol):
    """The answers table (`answers_scan.AnswersScan`)."""

    def entries(self, index_id: IndexId) -> AsyncIterator[Sequence[Change]]:
        """All rows of one index, page by page. It may read the whole table."""


@dataclass(frozen=True, slots=True)
class CompactionLimits:
    """segment_bytes: the largest merged segment. index_bytes: the most that the live rows of one index may take.
    orphan_age_s: seconds after which an object that no manifest names is deleted. most_segments: with more, merging
    does not wait for the schedule."""

    segment_bytes: int = 8 * 1024 * 1024
    index_bytes: int = 128 * 1024 * 1024
    orphan_age_s: float = 4 * 3600.0
    most_segments: int = 24


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What `verify` found. rows: the live ones. bad: ids of damaged segments. double: rows that lie in two segments in
    the same version. orphans: objects that no manifest names.

    missing, surplus: rows that only the table has, and only the index; None without a table. Entries that are still in
    the stream count as one or the other, evicted ones as missing.
    """

    segments: int
    rows: int
    bad: tuple[str, ...]
    double: int
    orphans: int
    missing: int | None = None
    surplus: int | None = None

    @property
    def is_right(self) -> bool:
        return not (self.bad or self.double or self.missing or self.surplus)


class Compactor:
    """counts: merged and bad (segments), evicted (rows), rebuilt and failed (indexes), swept (objects)."""

    def __init__(self, writer: Writer, limits: CompactionLimits = CompactionLimits()) -> None:
        self._writer = writer
        self._limits = limits
        self.counts: Counter[str] = Counter()

    async def compact_all(self, answers: AnswersTable | None = None) -> None:
        """`compact` for every index. One that fails is counted and left for the next run."""
        for index_id in await self.indexes():
            try:
                await self.compact(index_id, answers)
            except ObjectsFailed as error:
                self.counts["failed"] += 1
                log.warning("compaction: an index is left for later: %s", error)

    async def indexes(self) -> list[IndexId]:
        """All indexes that have any object."""
        listed = await self._writer.objects.listed(ROOT)
        found: list[IndexId] = []
        for prefix in dict.fromkeys(one.name[: one.name.rfind("/") + 1] for one in listed):
            try:
                found.append(index_id_of(prefix))
            except ValueError:
                log.warning("compaction: a name that is not ours")
        return found

    async def compact(self, index_id: IndexId, answers: AnswersTable | None = None) -> None:
        """Repair, rebuild what was lost (where the table is given), evict, merge, delete orphans. Raises
        ObjectsFailed."""
        await self.repair(index_id)
        manifest, _ = await self._writer.manifest(index_id)
        if manifest.rebuild and answers:
            await self.rebuild(index_id, answers)
        await self.merge_and_evict(index_id)
        await self.delete_orphans(index_id)

    def is_urgent(self, manifest: Manifest) -> bool:
        """Whether `merge_and_evict` should not wait for the schedule."""
        # At this size either the live rows are too many, or a quarter of the entries is garbage.
        return len(manifest.segments) > self._limits.most_segments or manifest.bytes > self._limits.index_bytes * 4 // 3

    async def merge_and_evict(self, index_id: IndexId) -> None:
        """Evict rows beyond the limit, and merge segments that are small or hold much garbage."""
        view = await self._writer.view(index_id)
        found = live_rows(view.manifest, view.key_indexes, self._writer.clock())
        evicted = rows_to_evict(found, self._limits.index_bytes)
        for segment_id, keys in evicted.items():
            if await self._merge(index_id, [segment_id], keys):
                self.counts["evicted"] += len(keys)
        if evicted:
            view = await self._writer.view(index_id)
            found = live_rows(view.manifest, view.key_indexes, self._writer.clock())
        for group in merge_groups(found, self._limits.segment_bytes):
            if await self._merge(index_id, group):
                self.counts["merged"] += len(group)

    async def repair(self, index_id: IndexId) -> None:
        """Check the segments that readers reported, and take the damaged ones out of the manifest."""
        objects = self._writer.objects
        notes = await objects.listed(damage_name(index_id.prefix, ""))
        reported = {note.name.removeprefix(damage_name(index_id.prefix, "")) for note in notes}
        view = await self._writer.view(index_id)
        for segment in view.manifest.segments:
            if segment.id in reported:
                await self._writer.check(index_id, segment)
        async with aclosing(self._writer.views(index_id)) as views:
            async for view in views:
                if not view.lost or await self._writer.commit(view, Draft.of(())):
                    self.counts["bad"] += len(view.lost)
                    break
        if notes:
            await objects.delete([note.name for note in notes])

    async def rebuild(self, index_id: IndexId, answers: AnswersTable) -> int:
        """Write the index anew from the table. What others commit meanwhile stays. Returns the number of rows."""
        before = await self._writer.view(index_id)
        segments: list[Segment] = []
        begun = Draft.of(())
        now = self._writer.clock()
        tombstones = live_tombstones(list(before.key_indexes.values()), now)
        parts = [Part(np.empty((0, index_id.dim), np.int16), tombstones)]
        async for page in answers.entries(index_id):
            parts.append(part_of(page, index_id.dim))
            if sum(part.vectors.nbytes for part in parts) > self._limits.segment_bytes:
                segments += await self._write(index_id, parts, now)
                parts = []
        segments += await self._write(index_id, parts, now)
        replaced = {segment.id for segment in before.manifest.segments}
        async with aclosing(self._writer.views(index_id)) as views:
            async for view in views:
                kept = tuple(one for one in view.manifest.segments if one.id not in replaced | view.lost)
                if segments and set(segments) <= set(kept):
                    break
                manifest = replace(view.manifest, segments=(*segments, *kept), rebuild=False)
                if await self._writer.commit_manifest(replace(view, lost=frozenset()), manifest, begun.at):
                    break
        self.counts["rebuilt"] += 1
        return sum(segment.rows for segment in segments)

    async def delete_orphans(self, index_id: IndexId) -> None:
        """Delete the objects that no manifest names, and that are too old for a writer to name them still."""
        orphans = await self._orphans(index_id)
        if orphans:
            await self._writer.objects.delete([one.name for one in orphans])
            self.counts["swept"] += len(orphans)

    async def verify(self, index_id: IndexId, answers: AnswersTable | None = None) -> IndexReport:
        """Load and check every segment, count the live rows, and compare them with the table where it is given."""
        manifest, _ = await self._writer.manifest(index_id)
        bad = [one.id for one in manifest.segments if not await self._writer.check(index_id, one)]
        view = await self._writer.view(index_id)
        found = live_rows(view.manifest, view.key_indexes, self._writer.clock())
        report = IndexReport(
            segments=len(view.manifest.segments),
            rows=found.rows,
            bad=tuple(bad),
            double=_doubles(list(view.key_indexes.values())),
            orphans=len(await self._orphans(index_id)),
        )
        if answers is None:
            return report
        indexed = {
            (found.key_indexes[segment_id].keys[row].tobytes(), int(found.key_indexes[segment_id].versions[row]))
            for segment_id, live in found.live.items()
            for row in np.flatnonzero(live)
        }
        now = self._writer.clock()
        stored = {
            (change.key, change.version)
            async for page in answers.entries(index_id)
            for change in page
            if change.expires > now
        }
        return replace(report, missing=len(stored - indexed), surplus=len(indexed - stored))

    async def _merge(self, index_id: IndexId, group: Collection[str], evicted: Keys | None = None) -> bool:
        """Merge a group of segments into one. False when others have changed the group meanwhile, or it cannot be
        read."""
        draft: Draft | None = None
        async with aclosing(self._writer.views(index_id)) as views:
            async for view in views:
                if draft and draft.is_in(view.manifest):
                    return True
                if not set(group) <= view.key_indexes.keys():
                    return False
                draft = draft or await self._writer.draft(view, group, None, evicted)
                if draft and await self._writer.commit(view, draft):
                    return True
        return False

    async def _write(self, index_id: IndexId, parts: Sequence[Part], now: float) -> list[Segment]:
        merged = merge(parts, [], now) if parts else None
        return [await self._writer.write(index_id, merged)] if merged else []

    async def _orphans(self, index_id: IndexId) -> list[Listed]:
        # The list before the manifest: an object that is old enough and not named by then never will be.
        listed = await self._writer.objects.listed(index_id.prefix)
        manifest, _ = await self._writer.manifest(index_id)
        named = {manifest_name(index_id.prefix)}
        for segment in manifest.segments:
            named |= {matrix_name(index_id.prefix, segment.id), ids_name(index_id.prefix, segment.id)}
        latest = self._writer.clock() - self._limits.orphan_age_s
        return [one for one in listed if one.name not in named and one.modified < latest]


def _doubles(key_indexes: Sequence[KeyIndex]) -> int:
    """Rows that lie in two segments in the same version."""
    count = 0
    for at, newer in enumerate(key_indexes):
        for older in key_indexes[:at]:
            lost, _ = superseded(older, newer)
            positions = newer.finder.find(older.keys[lost])
            count += int((newer.versions[positions] == older.versions[lost]).sum())
    return count
