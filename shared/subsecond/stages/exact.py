"""The same question again: the answer that is stored for it, and the storing."""

from __future__ import annotations

import json
import time
from typing import Any

from subsecond.cacheability import may_read, may_store
from subsecond.config import Settings
from subsecond.failopen import fail_open
from subsecond.model import Answer, Call, Entry, Head, Prompt, Tenant
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
    oldest = call.rules.max_age
    return entry if entry and (oldest is None or time.time() - entry.created <= oldest) else None


def head_of_hit(entry: Entry, trace: Trace) -> Head:
    now = time.time()
    trace.source = "exact"
    trace.first_byte()
    return Head("exact", entry.answer.model, age=max(0.0, now - entry.created), ttl=entry.expires - now)


def usage_of(answer: Answer) -> dict[str, Any] | None:
    """What the answer cost when it was made, and so what a hit saves."""
    usage = json.loads(answer.body).get("usage")
    return usage if isinstance(usage, dict) else None


async def keep(
    store: ExactStore, settings: Settings, call: Call, tenant: Tenant, prompt: Prompt, answer: Answer, trace: Trace
) -> None:
    """Store the answer, if it is one to be stored."""
    if not may_store(call, answer):
        return
    now = time.time()
    entry = Entry(tenant.partition, prompt, answer, created=now, expires=now + settings.ttl)
    # A large answer takes two writes, S3's and the table's.
    replaced = await fail_open(trace, "store", store.put(entry), 2 * settings.store_timeout)
    if replaced is not None:
        trace.stored_expiry, trace.replaced_expiry = entry.expires, replaced or None
