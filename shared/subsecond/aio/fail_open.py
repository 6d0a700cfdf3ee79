"""Turns a failure of our own parts into a counted miss.

Stores, index, embedder and ledger may fail in any way that their libraries know; the client must get its answer all the
same. So this is the only catch-all on the request's path. Authentication never comes through here.
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


async def fail_open(trace: Trace, step: str, work: Awaitable[T], timeout_s: float) -> T | None:
    """The work's result, or None when it failed or took longer than `timeout_s`; then `<step>_failed` is counted."""
    until = asyncio.get_running_loop().time() + timeout_s
    try:
        steps = work.__await__()
        try:
            wait = next(steps)
        except StopIteration as done:
            # Work in memory never waits: it gets no timer, which takes 4 µs. Ten are a tenth of a lone miss's time.
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
    """Awaits work that has begun: hands its waits to the loop, and their results back to it."""
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
