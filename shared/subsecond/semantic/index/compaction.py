"""What keeps an index small and right: merging, eviction, mending, rebuilding, sweeping, checking.

Nothing here is on a request's path. Every step is a commit like any other writer's, so it may die anywhere.
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
from subsecond.semantic.index.entries import Keys, Roll, beaten, fold
from subsecond.semantic.index.live_rows import deletions, merges, survey, victims
from subsecond.semantic.index.records import Change, part_of
from subsecond.semantic.index.segments import (
    ROOT,
    Manifest,
    Part,
    Place,
    Segment,
    damage_name,
    ids_name,
    manifest_name,
    matrix_name,
    place_of,
)
from subsecond.semantic.index.writer import Draft, Writer

log = logging.getLogger("subsecond")


class Truth(Protocol):
    """The answers table."""

    def entries(self, place: Place) -> AsyncIterator[Sequence[Change]]:
        """All rows of a place, page by page. It may read the whole table: for upkeep only."""


@dataclass(frozen=True, slots=True)
class UpkeepLimits:
    """segment: bytes of a merged segment, at most. place: bytes of what counts in one place, at most. grace: seconds
    after which an object that no manifest names is nobody's. crowd: segments that are too many to wait for the
    schedule."""

    segment: int = 8 * 1024 * 1024
    place: int = 128 * 1024 * 1024
    grace: float = 4 * 3600.0
    crowd: int = 24


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found. rows: those that count. double: rows of the same version as another.

    missing, surplus: compared with the table, None without it. Entries on their way through the stream count as either,
    evicted ones as missing.
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


class Upkeep:
    """counts: merged, evicted (rows), bad (segments), rebuilt, swept (objects), failed (places)."""

    def __init__(self, writer: Writer, limits: UpkeepLimits = UpkeepLimits()) -> None:
        self._writer = writer
        self._limits = limits
        self.counts: Counter[str] = Counter()

    async def tidy_all(self, truth: Truth | None = None) -> None:
        """`tidy` for every place. One that fails does not hold up the others."""
        for place in await self.places():
            try:
                await self.tidy(place, truth)
            except ObjectsFailed as error:
                self.counts["failed"] += 1
                log.warning("upkeep: a place is left for later: %s", error)

    async def places(self) -> list[Place]:
        """All places that have a manifest, or the remains of one."""
        listed = await self._writer.objects.listed(ROOT)
        found: list[Place] = []
        for prefix in dict.fromkeys(one.name[: one.name.rfind("/") + 1] for one in listed):
            try:
                found.append(place_of(prefix))
            except ValueError:
                log.warning("upkeep: a name that is not ours")
        return found

    async def tidy(self, place: Place, truth: Truth | None = None) -> None:
        """Mend, rebuild what was lost (given the table), evict, merge, sweep. Raises ObjectsFailed."""
        await self.mend(place)
        manifest, _ = await self._writer.manifest(place)
        if manifest.rebuild and truth:
            await self.rebuild(place, truth)
        await self.relieve(place)
        await self.sweep(place)

    def is_urgent(self, manifest: Manifest) -> bool:
        """Whether `relieve` should not wait for the schedule."""
        # At this size either the rows are too many, or a quarter is garbage.
        return len(manifest.segments) > self._limits.crowd or manifest.bytes > self._limits.place * 4 // 3

    async def relieve(self, place: Place) -> None:
        """Evict what is too much, merge what is small or half dead."""
        view = await self._writer.view(place)
        found = survey(view.manifest, view.rolls, self._writer.clock())
        evicted = victims(found, self._limits.place)
        for segment_id, keys in evicted.items():
            if await self._merge(place, [segment_id], keys):
                self.counts["evicted"] += len(keys)
        if evicted:
            view = await self._writer.view(place)
            found = survey(view.manifest, view.rolls, self._writer.clock())
        for group in merges(found, self._limits.segment):
            if await self._merge(place, group):
                self.counts["merged"] += len(group)

    async def mend(self, place: Place) -> None:
        """Look at the segments that readers reported, and take the damaged ones out of the manifest."""
        objects = self._writer.objects
        notes = await objects.listed(damage_name(place.prefix, ""))
        reported = {note.name.removeprefix(damage_name(place.prefix, "")) for note in notes}
        view = await self._writer.view(place)
        for segment in view.manifest.segments:
            if segment.id in reported:
                await self._writer.check(place, segment)
        async with aclosing(self._writer.views(place)) as views:
            async for view in views:
                if not view.lost or await self._writer.commit(view, Draft.of(())):
                    self.counts["bad"] += len(view.lost)
                    break
        if notes:
            await objects.delete([note.name for note in notes])

    async def rebuild(self, place: Place, truth: Truth) -> int:
        """Write the index anew from the table. What others commit meanwhile stays. Returns the rows."""
        before = await self._writer.view(place)
        segments: list[Segment] = []
        begun = Draft.of(())
        now = self._writer.clock()
        marks = deletions(list(before.rolls.values()), now)
        parts = [Part(np.empty((0, place.dim), np.int16), marks)]
        async for page in truth.entries(place):
            parts.append(part_of(page, place.dim))
            if sum(part.vectors.nbytes for part in parts) > self._limits.segment:
                segments += await self._write(place, parts, now)
                parts = []
        segments += await self._write(place, parts, now)
        stale = {segment.id for segment in before.manifest.segments}
        async with aclosing(self._writer.views(place)) as views:
            async for view in views:
                kept = tuple(one for one in view.manifest.segments if one.id not in stale | view.lost)
                if segments and set(segments) <= set(kept):
                    break
                manifest = replace(view.manifest, segments=(*segments, *kept), rebuild=False)
                if await self._writer.succeed(replace(view, lost=frozenset()), manifest, begun.at):
                    break
        self.counts["rebuilt"] += 1
        return sum(segment.rows for segment in segments)

    async def sweep(self, place: Place) -> None:
        """Remove what no manifest names and no writer can still be about to."""
        orphans = await self._orphans(place)
        if orphans:
            await self._writer.objects.delete([one.name for one in orphans])
            self.counts["swept"] += len(orphans)

    async def verify(self, place: Place, truth: Truth | None = None) -> Report:
        """Load every segment and check it; count what counts; compare it with the table where it is given."""
        manifest, _ = await self._writer.manifest(place)
        bad = [one.id for one in manifest.segments if not await self._writer.check(place, one)]
        view = await self._writer.view(place)
        found = survey(view.manifest, view.rolls, self._writer.clock())
        report = Report(
            segments=len(view.manifest.segments),
            rows=found.rows,
            bad=tuple(bad),
            double=_doubles(list(view.rolls.values())),
            orphans=len(await self._orphans(place)),
        )
        if truth is None:
            return report
        indexed = {
            (found.rolls[segment_id].keys[row].tobytes(), int(found.rolls[segment_id].versions[row]))
            for segment_id, live in found.live.items()
            for row in np.flatnonzero(live)
        }
        now = self._writer.clock()
        stored = {
            (change.key, change.version)
            async for page in truth.entries(place)
            for change in page
            if change.expires > now
        }
        return replace(report, missing=len(stored - indexed), surplus=len(indexed - stored))

    async def _merge(self, place: Place, group: Collection[str], evicted: Keys | None = None) -> bool:
        """False when others have changed the group meanwhile, or it cannot be read."""
        draft: Draft | None = None
        async with aclosing(self._writer.views(place)) as views:
            async for view in views:
                if draft and draft.is_in(view.manifest):
                    return True
                if not set(group) <= view.rolls.keys():
                    return False
                draft = draft or await self._writer.draft(view, group, None, evicted)
                if draft and await self._writer.commit(view, draft):
                    return True
        return False

    async def _write(self, place: Place, parts: Sequence[Part], now: float) -> list[Segment]:
        folded = fold(parts, [], now) if parts else None
        return [await self._writer.write(place, folded)] if folded else []

    async def _orphans(self, place: Place) -> list[Listed]:
        # First the list, then the manifest: what is old enough and still not named then will never be.
        listed = await self._writer.objects.listed(place.prefix)
        manifest, _ = await self._writer.manifest(place)
        named = {manifest_name(place.prefix)}
        for segment in manifest.segments:
            named |= {matrix_name(place.prefix, segment.id), ids_name(place.prefix, segment.id)}
        latest = self._writer.clock() - self._limits.grace
        return [one for one in listed if one.name not in named and one.modified < latest]


def _doubles(rolls: Sequence[Roll]) -> int:
    """Rows that lie in two segments in the same version."""
    count = 0
    for at, newer in enumerate(rolls):
        for older in rolls[:at]:
            lost, _ = beaten(older, newer)
            places = newer.finder.find(older.keys[lost])
            count += int((newer.versions[places] == older.versions[lost]).sum())
    return count
