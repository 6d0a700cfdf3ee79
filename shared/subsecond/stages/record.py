"""What a request was is counted, and what can be learned from it is."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from subsecond.aio.fail_open import fail_open
from subsecond.cache.false_hits import digest
from subsecond.model import Hit, Request
from subsecond.ports import ExactStore, HitLog, Ledger
from subsecond.stats.trace import Step, Trace

if TYPE_CHECKING:
    from subsecond.stages.upstream import Models


async def note(log: HitLog, store: ExactStore, request: Request, box: float) -> None:
    """A semantic hit, after the answer's last byte: its request id is then all that it takes to explain it and to
    report it, and an index that runs full keeps what is hit. Other hits explain themselves. `box` in seconds."""
    trace, partition = request.trace, request.tenant.partition
    if trace.source != "semantic" or trace.neighbour is None:
        return
    asked = digest(partition, request.prompt.text)
    hit = Hit(trace.request_id, trace.neighbour, asked, time.time(), tuple(trace.verdicts))
    with trace.step(Step.RECORD):
        await asyncio.gather(
            fail_open(trace, "note", log.note(partition, hit), box),
            fail_open(trace, "note", store.touch(partition, trace.neighbour), box),
        )


async def record(ledger: Ledger, models: Models, trace: Trace, box: float) -> None:
    """On every exit. What is merged into the shared tables goes after the last byte, every few seconds at the most."""
    trace.finish()
    ledger.record(trace)
    await fail_open(trace, "flush", ledger.flush(), box)
    await fail_open(trace, "health", models.learn(trace), box)
