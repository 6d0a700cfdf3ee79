"""The same question again: the answer that is stored for it."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from dataclasses import replace

from subsecond.aio.fail_open import fail_open
from subsecond.cache.cacheability import may_read
from subsecond.cache.forms import converted
from subsecond.cache.invalidation import Rules
from subsecond.config import Settings
from subsecond.model import Call, Done, Entry, Event, Head, Request, Source
from subsecond.ports import ExactStore
from subsecond.stats.trace import Trace


async def look_up(
    store: ExactStore, rules: Rules, settings: Settings, request: Request, *, fresh: bool = False
) -> Entry | None:
    """The stored entry in the request's form, as young as it wants it, unless it was invalidated."""
    call, trace, partition, key = request.call, request.trace, request.tenant.partition, request.prompt.key
    if not may_read(call):
        return None
    trace.cacheable = True
    rules.begin(partition)
    read = store.fresh if fresh else store.get
    entry = await fail_open(trace, "exact", read(partition, key, call.form), settings.store_timeout)
    if entry is None or not await rules.ready(partition, trace):
        return None
    if rules.cover(entry):
        # This environment's memory had it; the table may have what came after the invalidation.
        entry = await fail_open(trace, "exact", store.fresh(partition, key, call.form), settings.store_timeout)
    if entry is None or rules.cover(entry) or not young_enough(entry.created, call):
        return None
    return in_form(entry, request)


def in_form(entry: Entry, request: Request) -> Entry | None:
    """The entry with its recording in the request's form; None, and counted, where that does not convert: for this form
    it is then a miss, whose answer is recorded beside the first."""
    call = request.call
    if entry.recording.form == call.form:
        return entry
    if told := converted(call.endpoint, entry.recording):
        return replace(entry, recording=told)
    request.trace.counts["form_declined"] += 1
    return None


def young_enough(created: float, call: Call) -> bool:
    """Whether an answer of that time is as young as the request wants it."""
    oldest = call.rules.max_age
    return oldest is None or time.time() - created <= oldest


def head_of_hit(source: Source, entry: Entry, trace: Trace) -> Head:
    now = time.time()
    trace.source = source
    trace.entry, trace.served = entry.prompt.key, entry.recording.model
    trace.counted = entry.recording.by or entry.model
    trace.first_byte()
    age = max(0.0, now - entry.created)
    return Head(source, entry.recording.model, age=age, ttl=entry.expires - now, entry=entry.prompt.key)


async def served(source: Source, entry: Entry, trace: Trace) -> AsyncGenerator[Event]:
    """A stored answer as events."""
    yield head_of_hit(source, entry, trace)
    yield Done(entry.recording)
    # What the answer cost when it was made, and so what a hit saves.
    trace.usage = entry.recording.usage
