"""One refresh that all who need it share. `cache.invalidation` has one for each partition's rules, the semantic index's
`reader` one for each partition's manifest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from subsecond.clock import within

NEVER = float("-inf")


class SharedRefresh:
    """Runs `work` at most once in `every` seconds, and one at a time. Used from one event loop.

    A refresh outlives its waiters: a request's time limit ends the waiting, not the work. `clock`: epoch seconds.
    """

    __slots__ = ("_begun", "_clock", "_every", "_task", "_work")

    def __init__(
        self, work: Callable[[], Coroutine[None, None, None]], every: float, clock: Callable[[], float]
    ) -> None:
        self._work = work
        self._every = every
        self._clock = clock
        self._begun = NEVER
        self._task: asyncio.Task[None] | None = None

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The work, while it runs: see `begin`."""
        return self._task

    @property
    def is_running(self) -> bool:
        return self._task is not None

    def begin(self) -> asyncio.Task[None] | None:
        """Start the work in the background, unless one ran within `every`. Returns the task that runs, if one does: it
        is shared, so a caller must not cancel it, and need not await it."""
        now = self._clock()
        if self._task is None and not within(self._begun, self._every, now):
            self._begun = now
            self._task = asyncio.create_task(self._work())
            self._task.add_done_callback(self._ended)
        return self._task

    async def wait(self) -> None:
        """`begin`, and wait for the end. Raises what the work raises. Cancelling a waiter does not cancel the work."""
        if task := self.begin():
            await asyncio.shield(task)

    def expire(self) -> None:
        """Let the next `begin` start the work, however short ago it ran."""
        self._begun = NEVER

    def cancel(self) -> asyncio.Task[None] | None:
        """Cancel the work that runs. Returns its task, to be awaited."""
        if self._task:
            self._task.cancel()
        return self._task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        # Taken here, so that the loop does not report the error of a refresh that nobody waits for.
        if not task.cancelled():
            task.exception()
