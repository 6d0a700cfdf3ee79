"""A complete answer is stored: in the answers table, and in this environment's index of similar questions."""

from __future__ import annotations

import time
from time import perf_counter
from typing import TYPE_CHECKING

from subsecond.aio.fail_open import fail_open
from subsecond.cache.cacheability import lifetime, may_store
from subsecond.cache.end_user import tags_of
from subsecond.config import Settings
from subsecond.model import Entry, Recording, Request
from subsecond.ports import ExactStore
from subsecond.stages.embed import embed_late
from subsecond.stats.trace import Step, Trace

if TYPE_CHECKING:
    from subsecond.aio.lazy import Lazy
    from subsecond.semantic.index.vectors import Vector  # it loads numpy, which a hit does not need
    from subsecond.stages.semantic import SemanticCache


async def store(
    exact: ExactStore,
    settings: Settings,
    request: Request,
    recording: Recording,
    lazy: Lazy[SemanticCache] | None,
    vector: Vector | None,
) -> bool:
    """Whether it was stored. lazy: None where the semantic cache is off."""
    trace = request.trace
    if lazy and lazy.made and trace.shadow:
        lazy.made.compare(trace, recording)
    entry = entry_of(settings, request, recording)
    if entry is None:
        return False
    with trace.step(Step.STORE):
        if lazy and vector is None:
            vector = await embed_late(lazy, request, settings.loading_timeout)
        semantic = lazy.made if lazy else None
        entry = semantic.with_vector(entry, vector) if semantic else entry
        stored = await _kept(exact, settings, entry, trace)
    if stored and semantic:
        semantic.learn(entry, vector)
    return stored


def entry_of(settings: Settings, request: Request, recording: Recording) -> Entry | None:
    """What is to be stored; None when the answer is not. The request's beginning dates it, so that what is invalidated
    while the model still answers covers this answer too (and as RFC 9111, section 4.2.3, counts an age)."""
    call, prompt = request.call, request.prompt
    seconds = lifetime(settings, call, prompt)
    if not may_store(call, recording) or seconds <= 0:
        return None
    from subsecond.cache.fingerprint import fingerprint  # a hit stores nothing

    now = time.time()
    return Entry(
        request.tenant.partition,
        prompt,
        recording,
        created=now - (perf_counter() - request.trace.started),
        expires=now + seconds,
        tags=tags_of(call, request.tenant),
        model=call.model,
        fields=fingerprint(request),
    )


async def _kept(exact: ExactStore, settings: Settings, entry: Entry, trace: Trace) -> bool:
    # A large answer takes two writes, S3's and the table's.
    replaced = await fail_open(trace, "store", exact.put(entry), 2 * settings.store_timeout)
    if replaced is not None:
        trace.stored_expiry, trace.replaced_expiry = entry.expires, replaced or None
        trace.stored_bytes = entry.recording.size
    return replaced is not None
