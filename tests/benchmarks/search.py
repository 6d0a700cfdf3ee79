"""The semantic index alone: CPU of a search, recall, memory, and loading beside the bare GET of the same bytes.

    python tests/benchmarks/search.py [--rows 10000 100000] [--queries 500] [--vectors FILE.npy] [--no-load] [--json]

Everything goes the product's way: the indexer writes segments, a reader loads them and searches. All rows lie in one
scope. Without `--vectors` (n x dim, float) they are made: topics, heavier and lighter dimensions, a common direction.
A search is measured from the scope's name and the float32 vector to the neighbours; the embedding is not part of it.
`recall_at_1`: how often the first neighbour's float32 cosine is the best, or within 0.0001 of it; `above_08`: the same
where the best is at least 0.8.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

# Before NumPy: BLAS would start a thread for each core, which spin while they wait and count as our CPU.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import boto3
import numpy as np
from botocore.config import Config
from stores import emulator

from subsecond.aws.client import Aws
from subsecond.config import Settings
from subsecond.semantic.index.compaction import CompactionLimits, Compactor
from subsecond.semantic.index.indexer import Indexer
from subsecond.semantic.index.reader import Reader, ReaderLimits
from subsecond.semantic.index.records import Change
from subsecond.semantic.index.segments import IndexId, ids_name, manifest_name, matrix_name
from subsecond.semantic.index.vectors import quantise
from subsecond.semantic.index.writer import Writer
from subsecond.stores.memory.objects import MemoryObjects
from subsecond.stores.s3.objects import S3Objects

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from subsecond.ports import Objects

SCOPE = bytes(32)
MEMORY = 1 << 32
BATCH = 2_000
ROUNDS = 15
# Nearer than this, two neighbours are as good as each other: what 16 bits can be off by.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Data:
    """Unit vectors: what is stored (n, dim), and what is asked (m, dim)."""

    stored: NDArray[np.float32]
    asked: NDArray[np.float32]


def made(rows: int, queries: int, dim: int = 256, seed: int = 1) -> Data:
    random = np.random.default_rng(seed)
    weights = 1 / np.sqrt(1 + np.arange(dim) / 64)
    topics = random.standard_normal((max(2, rows // 10), dim)) * weights
    vectors = topics[random.integers(0, len(topics), rows + queries)]
    vectors = (
        vectors + 0.6 * random.standard_normal(vectors.shape) * weights + 0.3 * random.standard_normal(dim) * weights
    )
    return split(vectors, rows, queries)


def split(vectors: NDArray[np.floating], rows: int, queries: int) -> Data:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = (vectors / np.maximum(lengths, 1e-9))[lengths[:, 0] > 0].astype(np.float32)
    order = np.random.default_rng(2).permutation(len(vectors))
    if len(vectors) < rows + queries:
        raise SystemExit(f"--vectors holds {len(vectors)}; {rows} rows and {queries} queries are wanted")
    return Data(vectors[order[:rows]], vectors[order[rows : rows + queries]])


async def indexed(objects: Objects, data: Data, index_id: IndexId) -> None:
    compactor = Compactor(writer := Writer(objects), CompactionLimits(index_bytes=MEMORY))
    indexer = Indexer(writer, compactor)
    expires = int(time.time()) + 86_400
    rows = quantise(data.stored)
    for start in range(0, len(rows), BATCH):
        part = [
            Change(at.to_bytes(32, "little"), SCOPE, 1 + at, expires, 0, rows[at])
            for at in range(start, min(start + BATCH, len(rows)))
        ]
        await indexer.apply(index_id, part)
    await compactor.merge_and_evict(index_id)


def searched(reader: Reader, index_id: IndexId, data: Data) -> dict[str, Any]:
    """CPU of one search after the other, and of all together."""
    scope = SCOPE.hex()
    for query in data.asked[:20]:
        reader.search(index_id.partition, scope, query)
    times, firsts = [], []
    for query in data.asked:
        begun = time.process_time_ns()
        found = reader.search(index_id.partition, scope, query)
        times.append((time.process_time_ns() - begun) / 1e6)
        firsts.append(int.from_bytes(bytes.fromhex(found[0].key), "little"))
    begun = time.process_time_ns()
    reader.search_many(index_id.partition, scope, data.asked[:64])
    batch = (time.process_time_ns() - begun) / 1e6 / min(64, len(data.asked))
    cosines = data.asked @ data.stored.T
    best = cosines.max(axis=1)
    right = cosines[np.arange(len(firsts)), firsts] >= best - TOLERANCE
    high = best >= 0.8
    return {
        "cpu_ms": {"median": median(times), "p90": float(np.quantile(times, 0.9)), "max": max(times)},
        "batch_cpu_ms": batch,
        "recall_at_1": float(right.mean()),
        "above_08": {"queries": int(high.sum()), "recall_at_1": float(right[high].mean()) if high.any() else None},
        "best_cosine_median": float(np.median(best)),
    }


async def one(data: Data) -> dict[str, Any]:
    rows, dim = data.stored.shape
    index_id = IndexId("bench:search", "made", dim)
    objects = MemoryObjects()
    await indexed(objects, data, index_id)
    reader = Reader(objects, index_id.embedder, dim, ReaderLimits(memory=MEMORY))
    await reader.refresh(index_id.partition)
    figures = reader.figures(index_id.partition)
    vectors = quantise(data.stored).nbytes
    return {
        "rows": rows,
        "dim": dim,
        "segments": figures["segments"],
        "bytes": figures["bytes"],
        "bytes_per_vector_byte": int(figures["bytes"] or 0) / vectors,
        **searched(reader, index_id, data),
    }


async def loaded(data: Data) -> dict[str, Any]:
    """A cold reader's load beside the bare GET of the same objects by boto3 as it comes, one after the other and six at
    a time, in turns."""
    rows, dim = data.stored.shape
    index_id = IndexId(f"bench:load{rows}", "made", dim)
    aws = Aws(Settings(store_timeout=30))
    plain = boto3.client("s3", config=Config(max_pool_connections=6))
    pool = ThreadPoolExecutor(6)

    def get(name: str) -> int:
        return len(plain.get_object(Bucket=Settings().bucket, Key=name)["Body"].read())

    try:
        objects = S3Objects(aws, Settings().bucket)
        await indexed(objects, data, index_id)
        manifest, _ = await Writer(objects).manifest(index_id)
        names = [name(index_id.prefix, one.id) for one in manifest.segments for name in (ids_name, matrix_name)]
        first = manifest_name(index_id.prefix)
        times: dict[str, list[float]] = {"get_ms": [], "get_six_ms": [], "load_ms": []}
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            list(map(get, [first, *names]))
            times["get_ms"].append(1e3 * (time.perf_counter() - begun))
            begun = time.perf_counter()
            list(pool.map(get, [first, *names]))
            times["get_six_ms"].append(1e3 * (time.perf_counter() - begun))
            reader = Reader(objects, index_id.embedder, dim, ReaderLimits(memory=MEMORY))
            begun = time.perf_counter()
            await reader.refresh(index_id.partition)
            times["load_ms"].append(1e3 * (time.perf_counter() - begun))
        return {"bytes": manifest.bytes, **{name: median(values) for name, values in times.items()}}
    finally:
        pool.shutdown()
        plain.close()
        aws.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="The semantic index alone.")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--vectors", type=Path, help=".npy, (n, dim)")
    parser.add_argument("--no-load", action="store_true", help="without ministack")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    vectors = np.load(options.vectors, allow_pickle=False) if options.vectors else None
    results = []
    for rows in options.rows:
        data = made(rows, options.queries) if vectors is None else split(vectors, rows, options.queries)
        result = asyncio.run(one(data))
        if not options.no_load:
            with emulator() as reached:
                os.environ.update(reached)
                result["load"] = asyncio.run(loaded(data))
        results.append(result)
        sys.stdout.write(json.dumps(result) + "\n" if options.json else table(result))
        sys.stdout.flush()


def table(result: dict[str, Any]) -> str:
    cpu, high, load = result["cpu_ms"], result["above_08"], result.get("load")
    lines = [
        f"{result['rows']:>8,} rows of {result['dim']} in {result['segments']} segments",
        f"  search    {cpu['median']:.2f} ms CPU (p90 {cpu['p90']:.2f}), in a batch {result['batch_cpu_ms']:.2f}",
        f"  recall@1  {result['recall_at_1']:.4f}, above 0.8 {high['recall_at_1']} ({high['queries']} queries)",
        f"  memory    {result['bytes'] / 1e6:.1f} MB, {result['bytes_per_vector_byte']:.2f} x the vectors",
    ]
    if load:
        lines.append(
            f"  loading   {load['load_ms']:.0f} ms for {load['bytes'] / 1e6:.1f} MB; "
            f"bare GET {load['get_ms']:.0f} ms, six at a time {load['get_six_ms']:.0f} ms"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
