"""Searches the index of each partition that this gateway serves, and loads what is new on S3.

All who wait share one refresh, and it outlives them: a request's time limit ends its waiting, not the loading.
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
from subsecond.aio.shared_refresh import SharedRefresh
from subsecond.ports import Objects, ObjectsFailed
from subsecond.semantic.index.memtable import deletion_of, write_of
from subsecond.semantic.index.partition_index import Block, Neighbour, PartitionIndex, block_of, sketched
from subsecond.semantic.index.segments import (
    ROOT,
    Damaged,
    IndexId,
    Manifest,
    Segment,
    damage_name,
    decode_ids,
    decode_manifest,
    decode_matrix,
    ids_name,
    index_id_of,
    manifest_name,
    matrix_name,
)
from subsecond.semantic.index.vectors import Vector

log = logging.getLogger("subsecond")

# Segments loaded at once: each takes two calls, and the gateway's other calls need threads too.
LOADED_AT_ONCE = 3
# Questions of one matrix product: with 100,000 rows its result has 25 MB.
SEARCHED_AT_ONCE = 64
# Bytes of a partition without any row.
OVERHEAD = 4096


@dataclass(frozen=True, slots=True)
class ReaderLimits:
    """every: seconds between two reads of a manifest. memory: bytes of all partitions together. memtable_rows: own
    writes kept for each partition until a segment has them."""

    every: float = 1.0
    memory: int = 256 * 1024 * 1024
    memtable_rows: int = 4096


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    partition: str
    scope: str
    vector: Vector
    k: int


@dataclass(slots=True, eq=False)
class _PartitionState:
    """One partition. refreshed_at: when its manifest was last read, in epoch seconds; None before that."""

    index_id: IndexId
    index: PartitionIndex
    refresh: SharedRefresh
    etag: str | None = None
    refreshed_at: float | None = None
    damaged: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def nbytes(self) -> int:
        return self.index.nbytes + OVERHEAD


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
        self._states: OrderedDict[str, _PartitionState] = OrderedDict()
        self._loading = asyncio.Semaphore(LOADED_AT_ONCE)
        self._searches: Batcher[_Search, list[Neighbour]] = Batcher(self._search_all, most=SEARCHED_AT_ONCE)

    def begin(self, partition: str) -> asyncio.Task[None] | None:
        """Start to load what is new, unless that was done within `every`: `SharedRefresh.begin`."""
        return self._state_of(partition).refresh.begin()

    def has(self, partition: str) -> bool:
        """Whether its manifest was read once, however long ago."""
        state = self._states.get(partition)
        return state is not None and state.refreshed_at is not None

    async def settle(self, seconds: float) -> None:
        """Wait for the refreshes that run, at most so long."""
        if running := [task for state in self._states.values() if (task := state.refresh.task)]:
            await asyncio.wait(running, timeout=seconds)

    async def refresh(self, partition: str) -> None:
        """Load what is new, as `begin` does, and wait. Raises ObjectsFailed when the manifest cannot be read; what is
        in memory stays. May be cancelled: the loading goes on."""
        await self._state_of(partition).refresh.wait()

    async def load(self, most: int) -> None:
        """Come near the manifests of the `most` largest partitions that have vectors of this embedder. Raises
        ObjectsFailed."""
        sizes: Counter[str] = Counter()
        for one in await self._objects.listed(ROOT):
            sizes[one.name[: one.name.rfind("/") + 1]] += one.size
        model = IndexId("", self._embedder, self._dim).prefix.removeprefix(ROOT)
        ours = [prefix for prefix, _ in sizes.most_common() if prefix.endswith(model)]
        for prefix in ours[:most]:
            partition = index_id_of(prefix).partition
            # However short it was ago: a run of the indexer may have ended meanwhile.
            self._state_of(partition).refresh.expire()
            await self.refresh(partition)

    async def search_batched(self, partition: str, scope: str, vector: Vector, k: int) -> list[Neighbour]:
        """`search`, batched: questions that come at the same time for one scope, as a list's prompts do, are one
        product."""
        return await self._searches.ask(_Search(partition, scope, vector, k))

    async def _search_all(self, searches: Sequence[_Search]) -> list[list[Neighbour]]:
        alike: defaultdict[tuple[str, str, int], list[int]] = defaultdict(list)
        for at, one in enumerate(searches):
            alike[one.partition, one.scope, one.k].append(at)
        found: list[list[Neighbour]] = [[] for _ in searches]
        for (partition, scope, k), positions in alike.items():
            vectors = np.stack([searches[at].vector for at in positions])
            for at, nearest in zip(positions, self.search_many(partition, scope, vectors, k), strict=True):
                found[at] = nearest
        return found

    def search(self, partition: str, scope: str, vector: Vector, k: int = 1) -> list[Neighbour]:
        """The at most `k` nearest entries of the scope (hex), the nearest first. vector: (dim,), L2-normalised."""
        return self.search_many(partition, scope, vector.reshape(1, -1), k)[0]

    def search_many(self, partition: str, scope: str, vectors: Vector, k: int = 1) -> list[list[Neighbour]]:
        """`search` for each row of vectors (m, dim)."""
        queries = np.ascontiguousarray(vectors, np.float32)
        return self._state_of(partition).index.search(bytes.fromhex(scope), queries, k)

    def anywhere(self, partition: str, vector: Vector, k: int) -> list[str]:
        """The keys of the at most `k` nearest entries of all scopes, for explanations."""
        return self._state_of(partition).index.anywhere(np.ascontiguousarray(vector, np.float32), k)

    def add(self, partition: str, key: str, scope: str, created: float, expires: float, vector: Vector) -> None:
        """Make an entry that was just stored findable at once. Key and scope in hex, times in epoch seconds."""
        self._state_of(partition).index.add(write_of(key, scope, created, expires), vector)

    def forget(self, partition: str, key: str, scope: str, created: float) -> None:
        """Hide an entry that was just deleted, or found to be gone."""
        self._state_of(partition).index.forget(deletion_of(key, scope, created))

    def figures(self, partition: str) -> Mapping[str, float | int | None]:
        """age: seconds since the manifest was last read. bad, left_out: segments that are damaged, or beyond memory."""
        state = self._state_of(partition)
        counts = ("refreshes", "loaded", "bad", "left_out", "failed")
        return {
            "rows": state.index.rows,
            "bytes": state.index.nbytes,
            "segments": len(state.index.blocks),
            "age": None if state.refreshed_at is None else self._ticks() - state.refreshed_at,
            **{name: state.counts[name] for name in counts},
        }

    async def close(self) -> None:
        """Cancel the refreshes that still run."""
        tasks = [task for state in self._states.values() if (task := state.refresh.cancel())]
        await asyncio.gather(*tasks, return_exceptions=True)

    def _state_of(self, partition: str) -> _PartitionState:
        state = self._states.get(partition)
        if state is None:
            index = PartitionIndex(self._dim, self._limits.memtable_rows, self._clock)
            refresh = SharedRefresh(lambda: self._refresh(self._states[partition]), self._limits.every, self._ticks)
            index_id = IndexId(partition, self._embedder, self._dim)
            state = self._states[partition] = _PartitionState(index_id, index, refresh)
            self._make_room(state)
        self._states.move_to_end(partition)
        return state

    async def _refresh(self, state: _PartitionState) -> None:
        found = await self._objects.get(manifest_name(state.index_id.prefix), state.etag)
        state.refreshed_at = self._ticks()
        state.counts["refreshes"] += 1
        if found is not None and found.data is None:
            return
        manifest = self._read(state, found.data if found else None)
        if manifest is None:
            state.etag = found.etag if found else None
            return
        segments = self._fitting(state, manifest)
        missing = [one for one in segments if one.id not in state.index.blocks and one.id not in state.damaged]
        missing.sort(key=lambda one: -one.bytes)
        loaded = await asyncio.gather(*(self._load(state, one) for one in missing))
        blocks = [block for block in loaded if block]
        planned = await asyncio.to_thread(state.index.plan_swap, blocks, [one.id for one in segments])
        state.index.swap(planned)
        state.counts["loaded"] += len(blocks)
        state.damaged &= {one.id for one in segments}
        whole = all(one.id in state.damaged or one.id in state.index.blocks for one in segments)
        # Where a segment is missing or could not be loaded, the manifest is read again in full next time.
        state.etag = found.etag if found and whole else None
        self._make_room(state)

    def _read(self, state: _PartitionState, data: bytes | None) -> Manifest | None:
        """The manifest; without one, an empty one. None when it is damaged: then what is in memory serves."""
        if data is None:
            return Manifest(state.index_id)
        try:
            return decode_manifest(data, state.index_id)
        except Damaged as error:
            state.counts["bad"] += 1
            log.warning("index: %s", error)
            return None

    def _fitting(self, state: _PartitionState, manifest: Manifest) -> Sequence[Segment]:
        """The segments that fit into memory, in the manifest's order; the oldest are left out."""
        room = self._limits.memory
        fitting: list[Segment] = []
        for segment in reversed(manifest.segments):
            room -= segment.bytes
            if room >= 0:
                fitting.append(segment)
        state.counts["left_out"] = len(manifest.segments) - len(fitting)
        return fitting[::-1]

    async def _load(self, state: _PartitionState, segment: Segment) -> Block | None:
        """None when it cannot be loaded now, or is damaged: that is reported, and compaction repairs it."""
        try:
            # The next segment travels while this one is checked.
            async with self._loading:
                ids, matrix = await asyncio.gather(
                    self._fetch(ids_name(state.index_id.prefix, segment.id)),
                    self._fetch(matrix_name(state.index_id.prefix, segment.id)),
                )
            if ids is not None and matrix is not None:
                return await self._block(state.index, segment, ids, matrix)
            state.counts["failed"] += 1
        except ObjectsFailed:
            state.counts["failed"] += 1
        except Damaged as error:
            state.counts["bad"] += 1
            state.damaged.add(segment.id)
            log.warning("index: a bad segment is skipped: %s", error)
            await self._report(state, segment)
        return None

    async def _fetch(self, name: str) -> bytes | None:
        found = await self._objects.get(name)
        return found.data if found else None

    async def _block(self, index: PartitionIndex, segment: Segment, ids: bytes, vectors: bytes) -> Block:
        block = await asyncio.to_thread(_checked, segment, self._dim, ids, vectors)
        index.take_centre(block.vectors)
        return await asyncio.to_thread(sketched, block, index.centre)

    async def _report(self, state: _PartitionState, segment: Segment) -> None:
        """Leave a note beside the segment, which compaction looks for."""
        try:
            await self._objects.put_if(damage_name(state.index_id.prefix, segment.id), b"", None)
        except ObjectsFailed:
            state.counts["failed"] += 1

    def _make_room(self, current: _PartitionState) -> None:
        total = sum(state.nbytes for state in self._states.values())
        for partition, state in list(self._states.items()):
            if total <= self._limits.memory:
                return
            if state is not current and not state.refresh.is_running:
                total -= state.nbytes
                del self._states[partition]


def _checked(segment: Segment, dim: int, ids: bytes, vectors: bytes) -> Block:
    return block_of(segment.id, decode_matrix(segment, dim, vectors), decode_ids(segment, ids))
