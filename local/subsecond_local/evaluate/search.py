"""Measures what the semantic stage costs at a given index size, through the product's own indexer, reader and stage.

All questions are in one scope, in segments. The questions asked are paraphrases of stored ones, so the stage finds
candidates, reads their entries and has the policy judge them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from subsecond.semantic.index.compaction import CompactionLimits, Compactor
from subsecond.semantic.index.indexer import Indexer
from subsecond.semantic.index.records import Change
from subsecond.semantic.index.segments import IndexId
from subsecond.semantic.index.vectors import quantise
from subsecond.semantic.index.writer import Writer
from subsecond.stats.trace import Trace
from subsecond.stores.memory.objects import MemoryObjects
from subsecond_local.errors import LocalError
from subsecond_local.evaluate import questions
from subsecond_local.evaluate.cache import MEMORY, Cache
from subsecond_local.evaluate.progress import Bars, silent
from subsecond_local.evaluate.setting import TENANT, Asked, Setting, embedded, question

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from subsecond.ports import Objects
    from subsecond.semantic.index.vectors import Vector

# Questions asked, and those before them that are not counted.
ASKED, WARM = 500, 20
# Entries that the indexer gets at once.
PART = 2_000
# Nearer than this, two neighbours are as good as each other: what 16 bits can be off by.
TOLERANCE = 1e-4
# From here on a neighbour could answer, so the search has to find it always.
HIGH = 0.8
# Rows of an exact comparison at once: 40 MB of cosines.
BLOCK = 20_000


@dataclass(slots=True)
class _Stage:
    """CPU of each request in ms, and what came of them."""

    times: list[float]
    judged: int = 0
    hits: int = 0


async def measured(rows: int, setting: Setting, asked: int = ASKED, bars: Bars = silent) -> dict[str, Any]:
    """CPU in ms, of a request's stage (`stage_cpu_ms`: the median) and of embedding one question; recall against an
    exact search in float32, by cosine; bytes of the index in memory. LocalError when there are not as many questions.
    """
    if not 1 <= rows <= questions.MOST - asked:
        raise LocalError(f"--rows must be between 1 and {questions.MOST - asked:,}.")
    stored = [question(questions.question(number)) for number in range(rows)]
    step = max(1, rows // asked)
    wanted = [question(questions.reworded(number), setting.least) for number in range(0, rows, step)][:asked]
    vectors = await embedded(setting.embedder, [*stored, *wanted], bars)
    objects = MemoryObjects()
    cache = Cache(setting, setting.policy, rows, objects)
    try:
        await _filled(cache, objects, stored, vectors, bars)
        figures = cache.reader.figures(TENANT.partition)
        embedding = await _embedding(wanted, setting)
        stage = await _asked(cache, wanted, vectors, bars)
        recall = _recall(cache, stored, wanted, vectors)
    finally:
        await cache.close()
    vector_bytes = 2 * setting.embedder.dim * rows
    return {
        "rows": rows,
        "stage_cpu_ms": round(median(stage.times), 4),
        "stage_cpu_ms_p90": round(float(np.quantile(stage.times, 0.9)), 4),
        "embed_cpu_ms": round(embedding, 4),
        **recall,
        "bytes": figures["bytes"],
        "vector_bytes": vector_bytes,
        "bytes_per_vector_byte": round((figures["bytes"] or 0) / vector_bytes, 3),
        "segments": figures["segments"],
        "queries": len(wanted),
        "judged_per_query": round(stage.judged / len(wanted), 3),
        "hits": stage.hits,
    }


async def _filled(cache: Cache, objects: Objects, stored: list[Asked], vectors: dict[str, Vector], bars: Bars) -> None:
    """Stores the questions, and has them indexed and loaded."""
    embedder = cache.semantic.embedder
    index_id = IndexId(TENANT.partition, embedder.id, embedder.dim)
    compactor = Compactor(writer := Writer(objects), CompactionLimits(index_bytes=MEMORY))
    indexer = Indexer(writer, compactor)
    changes = []
    with bars("indexing", len(stored)) as bar:
        for at, one in enumerate(stored, 1):
            vector = vectors[one.prompt.text]
            if entry := await cache.put(one, vector):
                keys = bytes.fromhex(one.prompt.key), bytes.fromhex(one.prompt.scope)
                changes.append(Change(*keys, int(1e6 * entry.created), int(entry.expires), 0, quantise(vector)))
            if len(changes) == PART or at == len(stored):
                await indexer.apply(index_id, changes)
                bar.advance(len(changes))
                changes = []
    await compactor.merge_and_evict(index_id)
    await cache.reader.refresh(TENANT.partition)


async def _embedding(wanted: list[Asked], setting: Setting) -> float:
    """The median CPU of one question, in ms. A model's first run is not counted."""
    times = []
    for one in wanted[:200]:
        begun = time.process_time_ns()
        await setting.embedder.embed([one.prompt.text])
        times.append((time.process_time_ns() - begun) / 1e6)
    return median(times)


async def _asked(cache: Cache, wanted: list[Asked], vectors: dict[str, Vector], bars: Bars) -> _Stage:
    for one in wanted[:WARM]:
        await cache.find(one, vectors[one.prompt.text], Trace())
    stage = _Stage([])
    with bars("asking", len(wanted)) as bar:
        for one in wanted:
            trace, vector = Trace(), vectors[one.prompt.text]
            begun = time.process_time_ns()
            hit = await cache.find(one, vector, trace)
            stage.times.append((time.process_time_ns() - begun) / 1e6)
            stage.judged += len(trace.verdicts)
            stage.hits += hit is not None
            bar.advance()
    return stage


def _recall(cache: Cache, stored: list[Asked], wanted: list[Asked], vectors: dict[str, Vector]) -> dict[str, Any]:
    """How often the first neighbour's cosine is the best one: of all questions, and of those whose best is high."""
    rows = {one.prompt.key: vectors[one.prompt.text] for one in stored}
    asked = np.stack([vectors[one.prompt.text] for one in wanted])
    best = _best(np.stack(list(rows.values())), asked)
    found = cache.reader.search_many(TENANT.partition, wanted[0].prompt.scope, asked)
    cosines = np.array([float(rows[first.key] @ vector) for (first, *_), vector in zip(found, asked, strict=True)])
    right, high = cosines >= best - TOLERANCE, best >= HIGH
    return {
        "recall_at_1": round(float(right.mean()), 5),
        "recall_at_1_above_08": round(float(right[high].mean()), 5) if high.any() else None,
        "queries_above_08": int(high.sum()),
    }


def _best(stored: NDArray[np.float32], asked: NDArray[np.float32]) -> NDArray[np.float32]:
    """The highest cosine of each question, exactly."""
    best = np.full(len(asked), -2.0, np.float32)
    for start in range(0, len(stored), BLOCK):
        np.maximum(best, (asked @ stored[start : start + BLOCK].T).max(axis=1), out=best)
    return best
