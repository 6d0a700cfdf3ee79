"""The one place where a failure of our own is turned into a counted miss.

What Subsecond adds (stores, index, embedder, ledger) may fail in any way that its libraries know; the answer must come
all the same. That is why this is the only catch-all in the request's path. Authentication never comes through here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Generator
from types import coroutine
from typing import Any, TypeVar

from subsecond.stats.trace import Trace

T = TypeVar("T")

log = logging.getLogger("subsecond")


async def fail_open(trace: Trace, step: str, work: Awaitable[T], box: float) -> T | None:
    """The work's result, or None when it failed or took longer than `box` seconds; then `<step>_failed` is counted."""
    until = asyncio.get_running_loop().time() + box
    try:
        steps = work.__await__()
        try:
            wait = next(steps)
        except StopIteration as done:
            # It never waited, as what is in memory: no timer, which takes 4 µs; ten are a tenth of a lone miss's time.
            result: T = done.value
            return result
        async with asyncio.timeout_at(until):
            return await _rest(steps, wait)
    except Exception as error:  # noqa: BLE001 -- see the module's docstring
        trace.counts[f"{step}_failed"] += 1
        # The type alone: a library's message may quote the item, and so the prompt.
        log.warning("%s failed open: %s", step, type(error).__name__, extra={"request_id": trace.request_id})
        return None


@coroutine
def _rest(steps: Generator[Any, Any, T], wait: Any) -> Generator[Any, Any, T]:
    """What `await` does, of work that has begun: hand its waits to the loop, and to it what becomes of them."""
    try:
        while True:
            try:
                yield wait
            except BaseException as error:  # noqa: BLE001 -- a cancellation is the work's to clean up after
                wait = steps.throw(error)
            else:
                wait = next(steps)
    except StopIteration as done:
        result: T = done.value
        return result
