"""What a request was is counted, and what can be learned from it is."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

from subsecond.aio.fail_open import fail_open
from subsecond.cache.false_hits import digest
from subsecond.cache.key import KeyPolicy, KeyTerms, prepare
from subsecond.cache.system_text import may_have_clock
from subsecond.dialects.lookup import dialect_of
from subsecond.model import Hit, Request
from subsecond.ports import CheckLog, ExactStore, HitLog, Ledger
from subsecond.stats.trace import Step, Trace

if TYPE_CHECKING:
    from subsecond.stages.upstream import Models


async def note(
    log: HitLog, store: ExactStore, checks: CheckLog | None, keying: KeyPolicy, request: Request, box: float
) -> None:
    """A semantic hit, after the answer's last byte: its request id is then all that it takes to explain it and to
    report it, and an index that runs full keeps what is hit. Other hits explain themselves. A hit that was chosen for a
    check is kept for it, served or not. A miss: what it owes to a time in its system text. `box` in seconds."""
    trace, partition = request.trace, request.tenant.partition
    if checks and trace.sample:
        with trace.step(Step.RECORD):
            await fail_open(trace, "check", checks.add(trace.sample), box)
    if trace.source == "upstream" and trace.cacheable:
        _note_clock(keying, request)
    if trace.source != "semantic" or trace.neighbour is None:
        return
    asked = digest(partition, request.prompt.text)
    hit = Hit(trace.request_id, trace.neighbour, asked, time.time(), tuple(trace.verdicts))
    with trace.step(Step.RECORD):
        await asyncio.gather(
            fail_open(trace, "note", log.note(partition, hit), box),
            fail_open(trace, "note", store.touch(partition, trace.neighbour), box),
        )


def _note_clock(keying: KeyPolicy, request: Request) -> None:
    """Count a miss with a time of asking in its system text, where that is not masked already."""
    terms, call, trace = request.terms or KeyTerms(), request.call, request.trace
    arrival = time.time() - (perf_counter() - trace.started)
    texts = dialect_of(call.endpoint).system_texts(call.body)
    if terms.arrival is not None or not any(may_have_clock(text, arrival) for _, text in texts):
        return
    from subsecond.cache.clocks import clocks_in  # its tables, which few misses need

    clocks = clocks_in(call.endpoint, call.body, arrival)
    trace.counts.update(f"clock_at_{place}" for place in {clock.place for clock in clocks})
    masked = replace(terms, arrival=arrival)
    if clocks and keying.clock_misses.is_repeated(prepare(call, request.tenant, masked).key, arrival):
        trace.counts["clock_misses"] += 1


async def record(ledger: Ledger, models: Models, trace: Trace, box: float) -> None:
    """On every exit. What is merged into the shared tables goes after the last byte, every few seconds at the most."""
    trace.finish()
    ledger.record(trace)
    await fail_open(trace, "flush", ledger.flush(), box)
    await fail_open(trace, "health", models.learn(trace), box)
