"""The same question again: the answer that is stored for it, and the storing."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from time import perf_counter

from subsecond.aio.fail_open import fail_open
from subsecond.cache.cacheability import lifetime, may_read, may_store
from subsecond.cache.end_user import tags_of
from subsecond.cache.forms import converted
from subsecond.cache.invalidation import Rules
from subsecond.config import Settings
from subsecond.model import Call, Done, Entry, Event, Head, Recording, Request, Source
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
    trace.first_byte()
    age = max(0.0, now - entry.created)
    return Head(source, entry.recording.model, age=age, ttl=entry.expires - now, entry=entry.prompt.key)


async def served(source: Source, entry: Entry, trace: Trace) -> AsyncGenerator[Event]:
    """A stored answer as events."""
    yield head_of_hit(source, entry, trace)
    yield Done(entry.recording)
    # What the answer cost when it was made, and so what a hit saves.
    trace.usage = entry.recording.usage


def entry_of(settings: Settings, request: Request, recording: Recording) -> Entry | None:
    """What is to be stored; None when the answer is not. The request's beginning dates it, so that what is invalidated
    while the model still answers covers this answer too (and as RFC 9111, section 4.2.3, counts an age)."""
    call, prompt = request.call, request.prompt
    seconds = lifetime(settings, call, prompt)
    if not may_store(call, recording) or seconds <= 0:
        return None
    now = time.time()
    return Entry(
        request.tenant.partition,
        prompt,
        recording,
        created=now - (perf_counter() - request.trace.started),
        expires=now + seconds,
        tags=tags_of(call, request.tenant),
        model=call.model,
    )


async def keep(store: ExactStore, settings: Settings, entry: Entry, trace: Trace) -> bool:
    """Whether it was stored."""
    # A large answer takes two writes, S3's and the table's.
    replaced = await fail_open(trace, "store", store.put(entry), 2 * settings.store_timeout)
    if replaced is not None:
        trace.stored_expiry, trace.replaced_expiry = entry.expires, replaced or None
        trace.stored_bytes = entry.recording.size
    return replaced is not None
