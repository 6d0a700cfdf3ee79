"""The same question again: the answer that is stored for it, and the storing."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from time import perf_counter
from typing import Any

from subsecond.aio.fail_open import fail_open
from subsecond.cache.cacheability import lifetime, may_read, may_store
from subsecond.cache.invalidation import Rules
from subsecond.config import Settings
from subsecond.model import Answer, Call, Done, Entry, Event, Head, Prompt, Source, Tenant
from subsecond.ports import ExactStore
from subsecond.stats.trace import Trace


async def look_up(
    store: ExactStore,
    rules: Rules,
    settings: Settings,
    call: Call,
    tenant: Tenant,
    prompt: Prompt,
    trace: Trace,
    *,
    fresh: bool = False,
) -> Entry | None:
    """The stored entry, as young as the request wants it, unless it was invalidated."""
    if not may_read(call):
        return None
    trace.cacheable = True
    rules.begin(tenant.partition)
    partition, box = tenant.partition, settings.store_timeout
    read = store.fresh if fresh else store.get
    entry = await fail_open(trace, "exact", read(partition, prompt.key), box)
    if entry is None or not await rules.ready(partition, trace):
        return None
    if rules.cover(entry):
        # This environment's memory had it; the table may have what came after the invalidation.
        entry = await fail_open(trace, "exact", store.fresh(partition, prompt.key), box)
    return entry if entry and not rules.cover(entry) and young_enough(entry.created, call) else None


def young_enough(created: float, call: Call) -> bool:
    """Whether an answer of that time is as young as the request wants it."""
    oldest = call.rules.max_age
    return oldest is None or time.time() - created <= oldest


def head_of_hit(source: Source, entry: Entry, trace: Trace) -> Head:
    now = time.time()
    trace.source = source
    trace.entry, trace.served = entry.prompt.key, entry.answer.model
    trace.first_byte()
    age = max(0.0, now - entry.created)
    return Head(source, entry.answer.model, age=age, ttl=entry.expires - now, entry=entry.prompt.key)


async def served(source: Source, entry: Entry, trace: Trace) -> AsyncGenerator[Event]:
    """A stored answer as events."""
    yield head_of_hit(source, entry, trace)
    yield Done(entry.answer)
    trace.usage = usage_of(entry.answer)


def usage_of(answer: Answer) -> dict[str, Any] | None:
    """What the answer cost when it was made, and so what a hit saves."""
    usage = json.loads(answer.body).get("usage")
    return usage if isinstance(usage, dict) else None


def entry_of(
    settings: Settings, call: Call, tenant: Tenant, prompt: Prompt, answer: Answer, trace: Trace | None = None
) -> Entry | None:
    """What is to be stored; None when the answer is not. trace: the request's, whose beginning dates the answer, so
    that what is invalidated while the model still answers covers this answer too (and as RFC 9111, section 4.2.3,
    counts an age); without one, it is dated now."""
    seconds = lifetime(settings, call, prompt)
    if not may_store(call, answer) or seconds <= 0:
        return None
    now = time.time()
    created = now - (perf_counter() - trace.started) if trace else now
    rules = call.rules
    return Entry(
        tenant.partition, prompt, answer, created=created, expires=now + seconds, tags=rules.tags, model=call.model
    )


async def keep(store: ExactStore, settings: Settings, entry: Entry, trace: Trace) -> bool:
    """Whether it was stored."""
    # A large answer takes two writes, S3's and the table's.
    replaced = await fail_open(trace, "store", store.put(entry), 2 * settings.store_timeout)
    if replaced is not None:
        trace.stored_expiry, trace.replaced_expiry = entry.expires, replaced or None
        trace.stored_bytes = entry.answer.size
    return replaced is not None
