"""A semantic hit is noted: its request id is then all that it takes to explain it and to report it, and an index that
runs full keeps what is hit."""

from __future__ import annotations

import time

from subsecond.aio.fail_open import fail_open
from subsecond.cache.false_hits import digest
from subsecond.model import Hit, Request
from subsecond.ports import ExactStore, HitLog
from subsecond.stats.trace import Step


async def note(log: HitLog, store: ExactStore, request: Request, box: float) -> None:
    """After the answer's last byte; `box` in seconds. Other hits are their own explanation."""
    trace, partition = request.trace, request.tenant.partition
    if trace.source != "semantic" or trace.neighbour is None:
        return
    asked = digest(partition, request.prompt.text)
    hit = Hit(trace.request_id, trace.neighbour, asked, time.time(), tuple(trace.verdicts))
    with trace.step(Step.RECORD):
        await fail_open(trace, "note", log.note(partition, hit), box)
        await fail_open(trace, "note", store.touch(partition, trace.neighbour), box)
