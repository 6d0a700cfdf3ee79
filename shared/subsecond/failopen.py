"""The one place where a failure of our own is turned into a counted miss.

What Subsecond adds (stores, index, embedder, ledger) may fail in any way that its libraries know; the answer must come
all the same. That is why this is the only catch-all in the request's path. Authentication never comes through here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TypeVar

from subsecond.stats.trace import Trace

T = TypeVar("T")

log = logging.getLogger("subsecond")


async def fail_open(trace: Trace, step: str, work: Awaitable[T], box: float) -> T | None:
    """The work's result, or None when it failed or took longer than `box` seconds; then `<step>_failed` is counted."""
    try:
        async with asyncio.timeout(box):
            return await work
    except Exception as error:  # noqa: BLE001 -- see the module's docstring
        trace.counts[f"{step}_failed"] += 1
        # The type alone: a library's message may quote the item, and so the prompt.
        log.warning("%s failed open: %s", step, type(error).__name__, extra={"request_id": trace.request_id})
        return None
