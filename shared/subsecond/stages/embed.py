"""One vector of the question's text, for the semantic stage.

A running embedding cannot be cancelled, which is why an embedder has `max_chars`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from subsecond.aio.fail_open import fail_open
from subsecond.model import Request
from subsecond.stats.trace import Step

if TYPE_CHECKING:
    from subsecond.aio.lazy import Lazy
    from subsecond.semantic.index.vectors import Vector  # it loads numpy, which a hit does not need
    from subsecond.stages.semantic import SemanticCache


# Counted where an environment had not loaded what the search takes.
COLD = "semantic_cold"


async def embed(lazy: Lazy[SemanticCache], request: Request, box: float) -> Vector | None:
    """None where the tables are not there yet: the model does not wait for them, they load behind its answer. A request
    that no model may answer waits, `box` seconds at the most."""
    trace = request.trace
    if lazy.made is None and not request.call.rules.only_if_cached:
        trace.counts[COLD] += 1
        return None
    with trace.step(Step.EMBED):
        return await _when_loaded(lazy, request, box)


async def embed_late(lazy: Lazy[SemanticCache], request: Request, box: float) -> Vector | None:
    """The vector that the model did not wait for, before the answer is stored: the tables may still be loading. No step
    of its own: what a search costs is learned from those."""
    return await _when_loaded(lazy, request, box) if request.trace.counts[COLD] else None


async def _when_loaded(lazy: Lazy[SemanticCache], request: Request, box: float) -> Vector | None:
    semantic = await fail_open(request.trace, "embed", lazy.get(), box)
    if semantic is None:
        return None
    # Where nothing of the index is there yet, it loads beside the embedding.
    semantic.begin(request.tenant)
    return await vector_of(semantic, request)


async def vector_of(semantic: SemanticCache, request: Request) -> Vector | None:
    """None where the request takes no part in similarity, or embedding failed."""
    text, trace = request.prompt.text, request.trace
    if not semantic.takes(request.call, request.prompt):
        return None
    if len(text) > semantic.embedder.max_chars:
        trace.counts["embed_too_long"] += 1
        return None
    vectors = await fail_open(trace, "embed", semantic.embedder.embed([text]), 10 * semantic.timeout_s)
    return None if vectors is None else vectors[0]
