"""The index as a gateway uses it: the matrices of the partitions that it serves, kept near the manifests.

A refresh is shared by all who wait for it and outlives them: a request's time box ends its waiting, not the loading.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from subsecond.aio.batcher import Batcher
from subsecond.clock import within
from subsecond.ports import Objects, ObjectsFailed
from subsecond.semantic.index.matrix import Block, Matrix, Neighbour, block_of, sketched
from subsecond.semantic.index.memtable import deleted, written
from subsecond.semantic.index.segments import (
    ROOT,
    Damaged,
    Manifest,
    Place,
    Segment,
    damage_name,
    decode_ids,
    decode_manifest,
    decode_matrix,
    ids_name,
    manifest_name,
    matrix_name,
    place_of,
)
from subsecond.semantic.index.vectors import Vector

log = logging.getLogger("subsecond")

# Segments loaded at once: each takes two calls, and the gateway's other calls need threads too.
LOADED_AT_ONCE = 3
# Questions of one product: with 100,000 rows its result has 25 MB.
SEARCHED_AT_ONCE = 64
# What a partition costs that holds nothing.
OVERHEAD = 4096


@dataclass(frozen=True, slots=True)
class ReaderLimits:
    """every: seconds between two questions for a manifest. memory: bytes of all matrices. own_rows: own writes kept
    for each partition until a segment has them."""

    every: float = 1.0
    memory: int = 256 * 1024 * 1024
    own_rows: int = 4096


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    partition: str
    scope: str
    vector: Vector
    k: int


@dataclass(slots=True, eq=False)
class _Served:
    """One partition. asked, fresh: when a manifest was asked for and last had, on the wall clock."""

    place: Place
    matrix: Matrix
    etag: str | None = None
    asked: float = float("-inf")
    fresh: float | None = None
    task: asyncio.Task[None] | None = None
    bad: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def nbytes(self) -> int:
        return self.matrix.nbytes + OVERHEAD


class Reader:
    """The vectors of one embedder. Used from one event loop. `clock`: epoch seconds; `ticks`: the same, for `every`."""

    def __init__(
        self,
        objects: Objects,
        embedder: str,
        dim: int,
        limits: ReaderLimits = ReaderLimits(),
        *,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.time,
    ) -> None:
        self._objects = objects
        self._embedder = embedder
        self._dim = dim
        self._limits = limits
        self._clock = clock
        self._ticks = ticks
        self._served: OrderedDict[str, _Served] = OrderedDict()
        self._loading = asyncio.Semaphore(LOADED_AT_ONCE)
        self._searches: Batcher[_Search, list[Neighbour]] = Batcher(self._search_all, most=SEARCHED_AT_ONCE)

    def begin(self, partition: str) -> asyncio.Task[None] | None:
        """Start to come near the manifest, unless that was done within `every`. The task is shared: not to be
        cancelled, and need not be awaited."""
        served = self._serve(partition)
        now = self._ticks()
        if served.task is None and not within(served.asked, self._limits.every, now):
            served.asked = now
            served.task = asyncio.create_task(self._refresh(served))
            served.task.add_done_callback(lambda task: _ended(served, task))
        return served.task

    async def refresh(self, partition: str) -> None:
        """Come near the manifest, as `begin` does. Raises ObjectsFailed when it cannot be had; what is in memory stays.
        May be cancelled: the loading goes on."""
        if task := self.begin(partition):
            await asyncio.shield(task)

    async def load(self, most: int) -> None:
        """Come near the manifests of the `most` largest partitions that have vectors of this embedder. Raises
        ObjectsFailed."""
        sizes: Counter[str] = Counter()
        for one in await self._objects.listed(ROOT):
            sizes[one.name[: one.name.rfind("/") + 1]] += one.size
        model = Place("", self._embedder, self._dim).prefix.removeprefix(ROOT)
        ours = [prefix for prefix, _ in sizes.most_common() if prefix.endswith(model)]
        for prefix in ours[:most]:
            partition = place_of(prefix).partition
            # However short it was ago: a run of the indexer may have ended meanwhile.
            self._serve(partition).asked = float("-inf")
            await self.refresh(partition)

    async def search_soon(self, partition: str, scope: str, vector: Vector, k: int) -> list[Neighbour]:
        """`search`; those that come at the same time for one scope, as a batch's prompts do, are one product."""
        return await self._searches.ask(_Search(partition, scope, vector, k))

    async def _search_all(self, searches: Sequence[_Search]) -> list[list[Neighbour]]:
        alike: defaultdict[tuple[str, str, int], list[int]] = defaultdict(list)
        for place, one in enumerate(searches):
            alike[one.partition, one.scope, one.k].append(place)
        found: list[list[Neighbour]] = [[] for _ in searches]
        for (partition, scope, k), places in alike.items():
            vectors = np.stack([searches[place].vector for place in places])
            for place, nearest in zip(places, self.search_many(partition, scope, vectors, k), strict=True):
                found[place] = nearest
        return found

    def search(self, partition: str, scope: str, vector: Vector, k: int = 1) -> list[Neighbour]:
        """The at most `k` nearest entries of the scope (hex), the nearest first. vector: (dim,), L2-normalised."""
        return self.search_many(partition, scope, vector.reshape(1, -1), k)[0]

    def search_many(self, partition: str, scope: str, vectors: Vector, k: int = 1) -> list[list[Neighbour]]:
        """`search` for each row of vectors (m, dim)."""
        queries = np.ascontiguousarray(vectors, np.float32)
        return self._serve(partition).matrix.search(bytes.fromhex(scope), queries, k)

    def add(self, partition: str, key: str, scope: str, created: float, expires: float, vector: Vector) -> None:
        """An entry that was just stored is found at once. Key and scope in hex, times in epoch seconds."""
        self._serve(partition).matrix.add(written(key, scope, created, expires), vector)

    def forget(self, partition: str, key: str, scope: str, created: float) -> None:
        """An entry that was just deleted, or found to be no longer there, is not found any more."""
        self._serve(partition).matrix.forget(deleted(key, scope, created))

    def figures(self, partition: str) -> Mapping[str, float | int | None]:
        """age: seconds since the manifest was last had. bad, left_out: segments that are damaged, or beyond memory."""
        served = self._serve(partition)
        counts = ("refreshes", "loaded", "bad", "left_out", "failed")
        return {
            "rows": served.matrix.rows,
            "bytes": served.matrix.nbytes,
            "segments": len(served.matrix.blocks),
            "age": None if served.fresh is None else self._ticks() - served.fresh,
            **{name: served.counts[name] for name in counts},
        }

    async def close(self) -> None:
        """End what still loads."""
        tasks = [served.task for served in self._served.values() if served.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _serve(self, partition: str) -> _Served:
        served = self._served.get(partition)
        if served is None:
            matrix = Matrix(self._dim, self._limits.own_rows, self._clock)
            served = self._served[partition] = _Served(Place(partition, self._embedder, self._dim), matrix)
            self._make_room(served)
        self._served.move_to_end(partition)
        return served

    async def _refresh(self, served: _Served) -> None:
        found = await self._objects.get(manifest_name(served.place.prefix), served.etag)
        served.fresh = self._ticks()
        served.counts["refreshes"] += 1
        if found is not None and found.data is None:
            return
        manifest = self._read(served, found.data if found else None)
        if manifest is None:
            served.etag = found.etag if found else None
            return
        segments = self._fitting(served, manifest)
        missing = [one for one in segments if one.id not in served.matrix.blocks and one.id not in served.bad]
        missing.sort(key=lambda one: -one.bytes)
        loaded = await asyncio.gather(*(self._load(served, one) for one in missing))
        blocks = [block for block in loaded if block]
        plan = await asyncio.to_thread(served.matrix.plan, blocks, [one.id for one in segments])
        served.matrix.become(plan)
        served.counts["loaded"] += len(blocks)
        served.bad &= {one.id for one in segments}
        whole = all(one.id in served.bad or one.id in served.matrix.blocks for one in segments)
        # A segment that was not there, or not to be had: another look at the manifest tells more.
        served.etag = found.etag if found and whole else None
        self._make_room(served)

    def _read(self, served: _Served, data: bytes | None) -> Manifest | None:
        """The manifest; without one, an empty one. None when it is damaged: then what is in memory has to do."""
        if data is None:
            return Manifest(served.place)
        try:
            return decode_manifest(data, served.place)
        except Damaged as error:
            served.counts["bad"] += 1
            log.warning("index: %s", error)
            return None

    def _fitting(self, served: _Served, manifest: Manifest) -> Sequence[Segment]:
        """What fits into memory, in the manifest's order; the oldest are left out."""
        room = self._limits.memory
        fitting: list[Segment] = []
        for segment in reversed(manifest.segments):
            room -= segment.bytes
            if room >= 0:
                fitting.append(segment)
        served.counts["left_out"] = len(manifest.segments) - len(fitting)
        return fitting[::-1]

    async def _load(self, served: _Served, segment: Segment) -> Block | None:
        """None when it cannot be had now, or is damaged: then it is left to the upkeep."""
        try:
            # The next segment travels while this one is checked.
            async with self._loading:
                ids, matrix = await asyncio.gather(
                    self._fetch(ids_name(served.place.prefix, segment.id)),
                    self._fetch(matrix_name(served.place.prefix, segment.id)),
                )
            if ids is not None and matrix is not None:
                return await self._block(served.matrix, segment, ids, matrix)
            served.counts["failed"] += 1
        except ObjectsFailed:
            served.counts["failed"] += 1
        except Damaged as error:
            served.counts["bad"] += 1
            served.bad.add(segment.id)
            log.warning("index: a bad segment is skipped: %s", error)
            await self._report(served, segment)
        return None

    async def _fetch(self, name: str) -> bytes | None:
        found = await self._objects.get(name)
        return found.data if found else None

    async def _block(self, matrix: Matrix, segment: Segment, ids: bytes, vectors: bytes) -> Block:
        block = await asyncio.to_thread(_checked, segment, self._dim, ids, vectors)
        matrix.learn(block.vectors)
        return await asyncio.to_thread(sketched, block, matrix.centre)

    async def _report(self, served: _Served, segment: Segment) -> None:
        """Leave a note beside the segment, which the upkeep looks for."""
        try:
            await self._objects.put_if(damage_name(served.place.prefix, segment.id), b"", None)
        except ObjectsFailed:
            served.counts["failed"] += 1

    def _make_room(self, current: _Served) -> None:
        total = sum(served.nbytes for served in self._served.values())
        for partition, served in list(self._served.items()):
            if total <= self._limits.memory:
                return
            if served is not current and served.task is None:
                total -= served.nbytes
                del self._served[partition]


def _checked(segment: Segment, dim: int, ids: bytes, vectors: bytes) -> Block:
    return block_of(segment.id, decode_matrix(segment, dim, vectors), decode_ids(segment, ids))


def _ended(served: _Served, task: asyncio.Task[None]) -> None:
    served.task = None
    # Whoever still waits gets the error; where nobody does, it has been looked at.
    if not task.cancelled():
        task.exception()
