"""Until when an upstream is waited for, on the event loop's clock.

The limits are those of OpenAI's own client, which waits ten minutes for a byte: a model that thinks says its role at
once and nothing more for minutes. A connection that is dead is found by TCP's keepalive, not by these.
"""

from __future__ import annotations

import asyncio
from time import monotonic

from subsecond.config import Settings
from subsecond.errors import DeadlineExceeded, UpstreamTimeout


class Clock:
    """Of one call. `begun`: something of the answer was given to somebody. `total` moves on while the stream's reader
    is busy with what it has; the request's deadline does not."""

    __slots__ = ("_deadline", "_first", "_settings", "_total", "begun", "now")

    def __init__(self, settings: Settings, deadline: float | None) -> None:
        self.now = asyncio.get_running_loop().time
        start = self.now()
        self.begun = False
        self._settings = settings
        self._deadline = float("inf") if deadline is None else start + deadline - monotonic()
        self._first = start + settings.first_token_timeout
        self._total = start + settings.total_timeout

    def next(self) -> float:
        """When the next sign of life is due: the first event or the whole reply, then anything at all."""
        limit = self.now() + self._settings.idle_timeout if self.begun else self._first
        return min(limit, self._total, self._deadline)

    def resume(self, paused: float) -> None:
        """The reader comes back; it has been busy since `paused`. Raises DeadlineExceeded."""
        self._total += self.now() - paused
        self.check()

    def check(self) -> None:
        """Raises DeadlineExceeded."""
        if self.now() >= self._deadline:
            raise self.late(self._deadline)

    def fits(self, pause: float) -> bool:
        """Whether there is time for it, and some left."""
        return self.now() + pause < self.next()

    def late(self, until: float) -> UpstreamTimeout:
        """The error of the limit that fell on `until`."""
        if until >= self._deadline:
            return DeadlineExceeded("The time limit of this request is used up.")
        if not self.begun and until >= self._first:
            return UpstreamTimeout(f"The upstream gave no answer within {self._settings.first_token_timeout:g} s.")
        if until >= self._total:
            return UpstreamTimeout(f"The upstream took more than {self._settings.total_timeout:g} s in total.")
        return UpstreamTimeout(f"The upstream gave nothing more for {self._settings.idle_timeout:g} s.")
