"""Changing an index that others change too: immutable segments, then a conditional write of the manifest.

Steps of a commit, at each of which the writer may die:

    1  PUT segment-<id>.npy         nobody knows of it yet
    2  PUT segment-<id>.ids.npy     nobody knows of it yet
    3  PUT manifest.json, If-Match  the commit: before it nothing has changed, after it everything

What dies before 3 leaves an orphan, which the upkeep removes once it is older than any writer can be. Whoever loses the
race for 3 looks at the new manifest and tries again, with the same segment where that still fits.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar
from uuid import uuid4

from subsecond.ports import Found, Objects, ObjectsFailed
from subsecond.semantic.index.entries import Keys, Roll, fold
from subsecond.semantic.index.segments import (
    Damaged,
    Manifest,
    Part,
    Place,
    Segment,
    decode_ids,
    decode_manifest,
    decode_matrix,
    encode,
    encode_manifest,
    ids_name,
    manifest_name,
    matrix_name,
)

V = TypeVar("V")

LOADED_AT_ONCE = 4
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 1.0


class Contended(ObjectsFailed):
    """Others were first, again and again."""


@dataclass(frozen=True, slots=True)
class WriterLimits:
    """patience: seconds for one commit, attempts included. stale: seconds after which a segment that was written is
    not committed any more: half the upkeep's grace. cached: bytes of rolls and of parts, each."""

    patience: float = 20.0
    stale: float = 2 * 3600.0
    cached: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class View:
    """The index as one attempt sees it. `lost`: segments that are named but gone or damaged."""

    manifest: Manifest
    etag: str | None
    rolls: Mapping[str, Roll]
    lost: frozenset[str]


@dataclass(frozen=True, slots=True)
class Draft:
    """A commit in the making: the segments that go, the one that comes. at: when it was written, monotonic."""

    replaced: frozenset[str]
    segment: Segment | None
    at: float

    @classmethod
    def of(cls, replaced: Collection[str]) -> Draft:
        """One that adds nothing."""
        return cls(frozenset(replaced), None, time.monotonic())

    def is_in(self, manifest: Manifest) -> bool:
        """Whether it was committed, though the reply was lost."""
        return self.segment is not None and self.segment in manifest.segments

    def fits(self, manifest: Manifest) -> bool:
        return self.replaced <= {segment.id for segment in manifest.segments}


class Writer:
    """One for each environment: it keeps what it has read, as segments never change. `clock`: epoch seconds."""

    def __init__(
        self, objects: Objects, limits: WriterLimits = WriterLimits(), clock: Callable[[], float] = time.time
    ) -> None:
        self.objects = objects
        self.clock = clock
        self._limits = limits
        self._rolls = _Cache[Roll](limits.cached)
        self._parts = _Cache[Part](limits.cached)
        self._damaged: set[str] = set()
        self._loading = asyncio.Semaphore(LOADED_AT_ONCE)

    async def views(self, place: Place) -> AsyncGenerator[View]:
        """The index now, and again whenever it is asked for, with growing pauses. Contended when patience ends."""
        end = time.monotonic() + self._limits.patience
        pause = FIRST_PAUSE
        while True:
            yield await self.view(place)
            if time.monotonic() > end:
                raise Contended(f"{self._limits.patience:.0f} s")
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 -- jitter, no secret
            pause = min(2 * pause, LONGEST_PAUSE)

    async def view(self, place: Place) -> View:
        manifest, etag = await self.manifest(place)
        rolls = await asyncio.gather(*(self._roll(place, segment) for segment in manifest.segments))
        named = dict(zip((segment.id for segment in manifest.segments), rolls, strict=True))
        lost = frozenset(segment_id for segment_id, roll in named.items() if roll is None)
        return View(manifest, etag, {segment_id: roll for segment_id, roll in named.items() if roll}, lost)

    async def manifest(self, place: Place) -> tuple[Manifest, str | None]:
        """The manifest and its ETag; an empty one that is to be rebuilt in the place of a damaged one."""
        found = await self.objects.get(manifest_name(place.prefix))
        if found is None or found.data is None:
            return Manifest(place), None
        try:
            return decode_manifest(found.data, place), found.etag
        except Damaged:
            return Manifest(place, rebuild=True), found.etag

    async def part(self, place: Place, segment: Segment) -> Part | None:
        """A segment's entries with their vectors; None when it is damaged, or there no more."""
        return self._parts.get(segment.id) or await self._load(place, segment)

    async def check(self, place: Place, segment: Segment) -> bool:
        """Whether its objects are what the manifest says; if not, it is lost from now on."""
        self._damaged.discard(segment.id)
        return await self._load(place, segment) is not None

    async def _load(self, place: Place, segment: Segment) -> Part | None:
        matrix, ids = await asyncio.gather(
            self.objects.get(matrix_name(place.prefix, segment.id)),
            self.objects.get(ids_name(place.prefix, segment.id)),
        )
        try:
            part = await asyncio.to_thread(_decode, segment, place.dim, _data(matrix), _data(ids))
        except Damaged:
            self._damaged.add(segment.id)
            return None
        self._parts.put(segment.id, part, segment.bytes)
        return part

    async def draft(
        self, view: View, replaced: Collection[str], new: Part | None, evicted: Keys | None = None
    ) -> Draft | None:
        """Write one segment in the place of several and of `new`. None when one of them cannot be read."""
        place = view.manifest.place
        going = [segment for segment in view.manifest.segments if segment.id in replaced]
        parts = [await self.part(place, segment) for segment in going] + ([new] if new else [])
        found = [part for part in parts if part is not None]
        if len(found) < len(parts):
            return None
        others = [roll for segment_id, roll in view.rolls.items() if segment_id not in replaced]
        segment = None
        if found:
            folded = await asyncio.to_thread(fold, found, others, self.clock(), evicted)
            segment = await self.write(place, folded) if len(folded) else None
        return Draft(frozenset(replaced), segment, time.monotonic())

    async def write(self, place: Place, part: Part) -> Segment:
        """Steps 1 and 2. The name is new each time, so that nothing is ever overwritten or deleted under a reader."""
        segment, matrix, ids = await asyncio.to_thread(encode, part, uuid4().hex)
        await self.objects.put(matrix_name(place.prefix, segment.id), matrix)
        await self.objects.put(ids_name(place.prefix, segment.id), ids)
        self._rolls.put(segment.id, roll := Roll(part.ids, part.rows), roll.nbytes)
        self._parts.put(segment.id, part, segment.bytes)
        return segment

    async def commit(self, view: View, draft: Draft) -> bool:
        """Step 3. False when somebody else was first, or the draft is too old."""
        gone = draft.replaced | view.lost
        kept = tuple(segment for segment in view.manifest.segments if segment.id not in gone)
        added = (draft.segment,) if draft.segment else ()
        return await self.succeed(view, replace(view.manifest, segments=kept + added), draft.at)

    async def succeed(self, view: View, manifest: Manifest, written: float) -> bool:
        """Commit this manifest as the view's successor. written: when its oldest new segment was, monotonic."""
        if time.monotonic() - written > self._limits.stale:
            return False
        rebuild = manifest.rebuild or bool(view.lost)
        following = replace(manifest, revision=view.manifest.revision + 1, rebuild=rebuild)
        name = manifest_name(manifest.place.prefix)
        return await self.objects.put_if(name, encode_manifest(following), view.etag) is not None

    async def _roll(self, place: Place, segment: Segment) -> Roll | None:
        if segment.id in self._damaged:
            return None
        if roll := self._rolls.get(segment.id):
            return roll
        async with self._loading:
            found = await self.objects.get(ids_name(place.prefix, segment.id))
        try:
            roll = await asyncio.to_thread(_read_roll, segment, _data(found))
        except Damaged:
            self._damaged.add(segment.id)
            return None
        self._rolls.put(segment.id, roll, roll.nbytes)
        return roll


def _data(found: Found | None) -> bytes:
    """A segment that is named and not there is as lost as a damaged one: its objects came before its name."""
    if found is None or found.data is None:
        raise Damaged("missing")
    return found.data


def _decode(segment: Segment, dim: int, matrix: bytes, ids: bytes) -> Part:
    return Part(decode_matrix(segment, dim, matrix), decode_ids(segment, ids))


def _read_roll(segment: Segment, ids: bytes) -> Roll:
    return Roll(decode_ids(segment, ids), segment.rows)


class _Cache(Generic[V]):
    """By segment, the least recently used go first. `limit` in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[str, tuple[V, int]] = OrderedDict()
        self._bytes = 0

    def get(self, name: str) -> V | None:
        if name not in self._values:
            return None
        self._values.move_to_end(name)
        return self._values[name][0]

    def put(self, name: str, value: V, size: int) -> None:
        if name in self._values or size > self._limit:
            return
        self._values[name] = value, size
        self._bytes += size
        while self._bytes > self._limit:
            self._bytes -= self._values.popitem(last=False)[1][1]
