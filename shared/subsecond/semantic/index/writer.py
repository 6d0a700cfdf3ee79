"""Commits changes to an index that others change too: immutable segments, then a conditional write of the manifest.

Steps of a commit, at each of which the writer may die:

    1  PUT segment-<id>.npy         no manifest names it yet
    2  PUT segment-<id>.ids.npy     no manifest names it yet
    3  PUT manifest.json, If-Match  the commit: before it nothing has changed, after it everything

A writer killed before 3 leaves an orphan, which compaction deletes once it is older than any writer can be. Whoever
loses the race for 3 reads the new manifest and tries again, with the same segment where that still fits.
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
from subsecond.semantic.index.entries import KeyIndex, Keys, merge
from subsecond.semantic.index.segments import (
    Damaged,
    IndexId,
    Manifest,
    Part,
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
    """Other writers committed first, until the time was up."""


@dataclass(frozen=True, slots=True)
class WriterLimits:
    """max_wait_s: for one commit, all attempts included. stale_after_s: a segment that was written so long ago is not
    committed any more: half of compaction's `orphan_age_s`. cached: bytes of key indexes and of parts, each."""

    max_wait_s: float = 20.0
    stale_after_s: float = 2 * 3600.0
    cached: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ManifestView:
    """The index as one attempt sees it. `lost`: segments that the manifest names and that are gone or damaged."""

    manifest: Manifest
    etag: str | None
    key_indexes: Mapping[str, KeyIndex]
    lost: frozenset[str]


@dataclass(frozen=True, slots=True)
class Draft:
    """A prepared commit: the segments that it replaces, the one that it adds. at: when that was written, monotonic."""

    replaced: frozenset[str]
    segment: Segment | None
    at: float

    @classmethod
    def of(cls, replaced: Collection[str]) -> Draft:
        """One that adds nothing."""
        return cls(frozenset(replaced), None, time.monotonic())

    def is_in(self, manifest: Manifest) -> bool:
        """Whether it was committed already, where the reply was lost."""
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
        self._key_indexes = _Cache[KeyIndex](limits.cached)
        self._parts = _Cache[Part](limits.cached)
        self._damaged: set[str] = set()
        self._loading = asyncio.Semaphore(LOADED_AT_ONCE)

    async def views(self, index_id: IndexId) -> AsyncGenerator[ManifestView]:
        """Yields the index now, and again for each further attempt, with growing pauses. Raises Contended at
        max_wait_s."""
        end = time.monotonic() + self._limits.max_wait_s
        pause = FIRST_PAUSE
        while True:
            yield await self.view(index_id)
            if time.monotonic() > end:
                raise Contended(f"{self._limits.max_wait_s:.0f} s")
            await asyncio.sleep(random.uniform(0, pause))
            pause = min(2 * pause, LONGEST_PAUSE)

    async def view(self, index_id: IndexId) -> ManifestView:
        manifest, etag = await self.manifest(index_id)
        key_indexes = await asyncio.gather(*(self._key_index(index_id, segment) for segment in manifest.segments))
        named = dict(zip((segment.id for segment in manifest.segments), key_indexes, strict=True))
        lost = frozenset(segment_id for segment_id, key_index in named.items() if key_index is None)
        return ManifestView(
            manifest, etag, {segment_id: key_index for segment_id, key_index in named.items() if key_index}, lost
        )

    async def manifest(self, index_id: IndexId) -> tuple[Manifest, str | None]:
        """The manifest and its ETag; for a damaged one, an empty one that asks for a rebuild."""
        found = await self.objects.get(manifest_name(index_id.prefix))
        if found is None or found.data is None:
            return Manifest(index_id), None
        try:
            return decode_manifest(found.data, index_id), found.etag
        except Damaged:
            return Manifest(index_id, rebuild=True), found.etag

    async def part(self, index_id: IndexId, segment: Segment) -> Part | None:
        """A segment's entries with their vectors; None when it is damaged or gone."""
        return self._parts.get(segment.id) or await self._load(index_id, segment)

    async def check(self, index_id: IndexId, segment: Segment) -> bool:
        """Whether its objects are what the manifest says; if not, views name it as lost from now on."""
        self._damaged.discard(segment.id)
        return await self._load(index_id, segment) is not None

    async def _load(self, index_id: IndexId, segment: Segment) -> Part | None:
        matrix, ids = await asyncio.gather(
            self.objects.get(matrix_name(index_id.prefix, segment.id)),
            self.objects.get(ids_name(index_id.prefix, segment.id)),
        )
        try:
            part = await asyncio.to_thread(_decode, segment, index_id.dim, _data(matrix), _data(ids))
        except Damaged:
            self._damaged.add(segment.id)
            return None
        self._parts.put(segment.id, part, segment.bytes)
        return part

    async def draft(
        self, view: ManifestView, replaced: Collection[str], new: Part | None, evicted: Keys | None = None
    ) -> Draft | None:
        """Write one segment that merges several and `new`. None when one of them cannot be read."""
        index_id = view.manifest.index_id
        going = [segment for segment in view.manifest.segments if segment.id in replaced]
        parts = [await self.part(index_id, segment) for segment in going] + ([new] if new else [])
        found = [part for part in parts if part is not None]
        if len(found) < len(parts):
            return None
        others = [key_index for segment_id, key_index in view.key_indexes.items() if segment_id not in replaced]
        segment = None
        if found:
            merged = await asyncio.to_thread(merge, found, others, self.clock(), evicted)
            segment = await self.write(index_id, merged) if len(merged) else None
        return Draft(frozenset(replaced), segment, time.monotonic())

    async def write(self, index_id: IndexId, part: Part) -> Segment:
        """Steps 1 and 2. The name is new each time: nothing is ever overwritten or deleted under a reader."""
        segment, matrix, ids = await asyncio.to_thread(encode, part, uuid4().hex)
        await self.objects.put(matrix_name(index_id.prefix, segment.id), matrix)
        await self.objects.put(ids_name(index_id.prefix, segment.id), ids)
        self._key_indexes.put(segment.id, key_index := KeyIndex(part.ids, part.rows), key_index.nbytes)
        self._parts.put(segment.id, part, segment.bytes)
        return segment

    async def commit(self, view: ManifestView, draft: Draft) -> bool:
        """Step 3. False when another writer was first, or the draft is too old."""
        gone = draft.replaced | view.lost
        kept = tuple(segment for segment in view.manifest.segments if segment.id not in gone)
        added = (draft.segment,) if draft.segment else ()
        return await self.commit_manifest(view, replace(view.manifest, segments=kept + added), draft.at)

    async def commit_manifest(self, view: ManifestView, manifest: Manifest, written: float) -> bool:
        """Step 3 with a given manifest. written: when its oldest new segment was, monotonic."""
        if time.monotonic() - written > self._limits.stale_after_s:
            return False
        rebuild = manifest.rebuild or bool(view.lost)
        following = replace(manifest, revision=view.manifest.revision + 1, rebuild=rebuild)
        name = manifest_name(manifest.index_id.prefix)
        return await self.objects.put_if(name, encode_manifest(following), view.etag) is not None

    async def _key_index(self, index_id: IndexId, segment: Segment) -> KeyIndex | None:
        if segment.id in self._damaged:
            return None
        if key_index := self._key_indexes.get(segment.id):
            return key_index
        async with self._loading:
            found = await self.objects.get(ids_name(index_id.prefix, segment.id))
        try:
            key_index = await asyncio.to_thread(_read_key_index, segment, _data(found))
        except Damaged:
            self._damaged.add(segment.id)
            return None
        self._key_indexes.put(segment.id, key_index, key_index.nbytes)
        return key_index


def _data(found: Found | None) -> bytes:
    """The object's bytes. One that is named and not there counts as damaged: objects are written before their name."""
    if found is None or found.data is None:
        raise Damaged("missing")
    return found.data


def _decode(segment: Segment, dim: int, matrix: bytes, ids: bytes) -> Part:
    return Part(decode_matrix(segment, dim, matrix), decode_ids(segment, ids))


def _read_key_index(segment: Segment, ids: bytes) -> KeyIndex:
    return KeyIndex(decode_ids(segment, ids), segment.rows)


class _Cache(Generic[V]):
    """Values by segment, the least recently used dropped first. `limit` in bytes."""

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
