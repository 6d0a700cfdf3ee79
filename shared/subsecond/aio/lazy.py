"""Makes a value when it is first needed, once, in a thread: a hit does not pay for what only a miss uses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

# Seconds: some turns of the loop. A thread that imports takes the interpreter for 5 ms at a time.
MOMENT = 0.005


class Lazy(Generic[T]):
    """`made` is None until `get` has ended for the first time."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._making: asyncio.Future[T] | None = None
        self._due = False
        self.made: T | None = None

    async def get(self) -> T:
        """The value. Raises what `make` raised; the next call tries again. Cancelling one caller does not cancel the
        making, which the others wait for."""
        if self.made is None:
            self.made = await asyncio.shield(self._begun())
        return self.made

    def begin(self) -> None:
        """Make it beside what goes on, unless it is made: a moment later, so that what is said now leaves first."""
        if self.made is None and not self._due:
            self._due = True
            asyncio.get_running_loop().call_later(MOMENT, self._when_due)

    def _when_due(self) -> None:
        self._due = False
        if self.made is None:
            self._begun()

    def _begun(self) -> asyncio.Future[T]:
        if self._making is None:
            self._making = asyncio.ensure_future(asyncio.to_thread(self._make))
            self._making.add_done_callback(self._ended)
        return self._making

    def _ended(self, making: asyncio.Future[T]) -> None:
        self._making = None
        # An error is taken, so that the loop does not report it where no caller waits any more.
        if not making.cancelled() and making.exception() is None:
            self.made = making.result()
