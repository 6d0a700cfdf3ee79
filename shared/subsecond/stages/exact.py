"""The same question again: the answer that is stored for it, and the storing."""

from __future__ import annotations

import json
import time
from typing import Any

from subsecond.cacheability import may_read, may_store
from subsecond.config import Settings
from subsecond.failopen import fail_open
from subsecond.model import Answer, Call, Entry, Head, Prompt, Source, Tenant
from subsecond.ports import ExactStore
from subsecond.stats.trace import Trace


async def look_up(
    store: ExactStore, settings: Settings, call: Call, tenant: Tenant, prompt: Prompt, trace: Trace
) -> Entry | None:
    """The stored entry, as young as the request wants it."""
    if not may_read(call):
        return None
    trace.cacheable = True
    entry = await fail_open(trace, "exact", store.get(tenant.partition, prompt.key), settings.store_timeout)
    return entry if entry and young_enough(entry.created, call) else None


def young_enough(created: float, call: Call) -> bool:
    """Whether an answer of that time is as young as the request wants it."""
    oldest = call.rules.max_age
    return oldest is None or time.time() - created <= oldest


def head_of_hit(source: Source, entry: Entry, trace: Trace) -> Head:
    now = time.time()
    trace.source = source
    trace.first_byte()
    return Head(source, entry.answer.model, age=max(0.0, now - entry.created), ttl=entry.expires - now)


def usage_of(answer: Answer) -> dict[str, Any] | None:
    """What the answer cost when it was made, and so what a hit saves."""
    usage = json.loads(answer.body).get("usage")
    return usage if isinstance(usage, dict) else None


def entry_of(settings: Settings, call: Call, tenant: Tenant, prompt: Prompt, answer: Answer) -> Entry | None:
    """What is to be stored; None when the answer is not."""
    if not may_store(call, answer):
        return None
    now = time.time()
    return Entry(tenant.partition, prompt, answer, created=now, expires=now + settings.ttl)


async def keep(store: ExactStore, settings: Settings, entry: Entry, trace: Trace) -> bool:
    """Whether it was stored."""
    # A large answer takes two writes, S3's and the table's.
    replaced = await fail_open(trace, "store", store.put(entry), 2 * settings.store_timeout)
    if replaced is not None:
        trace.stored_expiry, trace.replaced_expiry = entry.expires, replaced or None
    return replaced is not None
