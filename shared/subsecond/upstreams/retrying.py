"""Asks an upstream again where a failure may pass, before anything of an answer was given to anybody."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from subsecond.errors import UpstreamError
from subsecond.resending import count
from subsecond.upstreams.time_limits import Clock

# Statuses of a server that may answer in a moment. 429 is not among them: whoever counts the client's calls must hear.
RETRIED = frozenset({408, 500, 502, 503, 504, 529})
# Full jitter: each pause is anything up to this, in seconds, doubled for each attempt up to the cap.
BACKOFF = 0.2
BACKOFF_CAP = 2.0

T = TypeVar("T")


class Passing(Exception):
    """A failure that another attempt may not meet; `error` is what the client gets if it does. sent: how often the
    request went out; the transport may have sent it again, which is one of the retries."""

    def __init__(self, error: UpstreamError, sent: int = 1) -> None:
        super().__init__(error.message)
        self.error = error
        self.sent = sent


async def retrying(attempt: Callable[[], Awaitable[T]], clock: Clock, retries: int) -> T:
    """The attempt's result, tried again while it may help and the pause still fits."""
    failures = 0
    while True:
        try:
            clock.check()
            return await attempt()
        except Passing as failure:
            pause = _pause(failures, failure.error.retry_after)
            failures += failure.sent
            if failures > retries or pause is None or not clock.fits(pause):
                raise failure.error from failure.__cause__
        await asyncio.sleep(pause)
        count()


def _pause(failures: int, retry_after: str | None) -> float | None:
    """Seconds until the next attempt; None when the server wants longer peace than a client would wait for."""
    pause = random.uniform(0, min(BACKOFF_CAP, BACKOFF * 2**failures))
    if retry_after is None:
        return pause
    try:
        wished = float(retry_after)
    except ValueError:  # a date
        return None
    return None if wished > BACKOFF_CAP else max(pause, wished)
