"""A second call when the first one is later than usual, and a budget that keeps such calls rare.

Late is a stream by its first token, a whole call by its reply. Whoever answers first wins, the other is closed at once.
A request with tools acts; whether asking for that twice is harmless only its owner knows, so it is not done unless the
settings allow it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from subsecond.config import Settings
from subsecond.model import Call

# Calls saved up at the most: as many may leave together when all servers stall at once.
BURST = 20.0


class Closable(Protocol):
    async def aclose(self) -> None: ...


T = TypeVar("T", bound=Closable)
Opening = Coroutine[Any, Any, T]


class Budget:
    """A token bucket: `allowance` calls at first; once those are earned, `share` of a call more for each request.

    So of n requests at most max(allowance, share * n) have a second call, at any time.
    """

    def __init__(self, share: float, allowance: float) -> None:
        self._share = share
        self._most = max(allowance, BURST if share else 0.0)
        self._tokens = self._owed = allowance

    def earn(self) -> None:
        """A request has come."""
        repaid = min(self._owed, self._share)
        self._owed -= repaid
        self._tokens = min(self._most, self._tokens + self._share - repaid)

    def take(self) -> bool:
        """Whether a second call may leave now. A millionth of a call is rounding."""
        if self._tokens < 1 - 1e-6:
            return False
        self._tokens -= 1
        return True


class Hedges:
    """The rules. after: the share of first tokens, or of whole replies, that have come when a second call leaves."""

    def __init__(self, budget: Budget, after: float, *, tools: bool) -> None:
        self.budget = budget
        self.after = after
        self._tools = tools

    @classmethod
    def of(cls, settings: Settings) -> Hedges:
        budget = Budget(settings.hedge_share, settings.hedge_allowance if settings.hedge_share else 0.0)
        return cls(budget, settings.hedge_after, tools=settings.hedge_tools)

    def may(self, call: Call) -> bool:
        return may_double(call, tools=self._tools)


def may_double(call: Call, *, tools: bool) -> bool:
    """Whether the call may be made twice for one answer."""
    return tools or not (call.body.get("tools") or call.body.get("functions"))


async def race(
    first: Opening[T],
    delay: float,
    second: Callable[[], Opening[T] | None],
    final: Callable[[BaseException], bool],
) -> T:
    """What opens first: `first`, or what `second` gives after `delay` seconds (None: no second call). What loses is
    closed before this returns or raises. When one fails, the other decides; `final`: failures that speak for both.

    Raises the first one's error when all fail.
    """
    calls = [asyncio.create_task(first)]
    winner = None
    try:
        done, _ = await asyncio.wait(calls, timeout=delay)
        if not done and (other := second()):
            calls.append(asyncio.create_task(other))
        winner = await _opened(calls, final)
        return winner.result()
    finally:
        await close_all(call for call in calls if call is not winner)


async def _opened(calls: Sequence[asyncio.Task[T]], final: Callable[[BaseException], bool]) -> asyncio.Task[T]:
    waiting = set(calls)
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for call in calls:  # in this order: of two at once the one that was begun first
            if call in done:
                error = call.exception()
                if error is None:
                    return call
                if final(error):
                    raise error
    raise calls[0].exception() or AssertionError


async def close_all(calls: Iterable[asyncio.Task[Any]]) -> None:
    """End these tasks and whatever they opened."""
    ending = list(calls)
    for call in ending:
        call.cancel()
    if ending:
        await asyncio.wait(ending)
    for call in ending:
        if not call.cancelled() and call.exception() is None:
            await call.result().aclose()
