"""Batches single questions into calls: those of the same moment share one. Used for BatchGetItem, embeddings, searches.

There is no waiting window: a lone question goes out in the loop's next turn. Questions of the same turn, as those of a
list of prompts, share a call; those that come while `at_once` calls run share the next one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Question = TypeVar("Question")
Reply = TypeVar("Reply")


class ShortReply(Exception):
    """Fewer or more replies than questions: it is unknown whose is missing."""


class Batcher(Generic[Question, Reply]):
    """`ask_all` answers a list of questions in their order; an exception in place of a reply goes to that caller
    alone. Used from one event loop.

    most: questions of one call. at_once: calls that run concurrently, so that a slow one does not hold up the others.
    """

    def __init__(
        self,
        ask_all: Callable[[Sequence[Question]], Awaitable[Sequence[Reply | BaseException]]],
        *,
        most: int,
        at_once: int = 4,
    ) -> None:
        self._ask_all = ask_all
        self._most = most
        self._at_once = at_once
        self._waiting: deque[tuple[Question, asyncio.Future[Reply]]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._called = False

    async def ask(self, question: Question) -> Reply:
        """The reply. Raises what `ask_all` raised, or ShortReply. Cancelling one caller does not cancel the shared
        call."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        self._waiting.append((question, future))
        if not self._called:
            self._called = True
            loop.call_soon(self._go)
        return await future

    def _go(self) -> None:
        self._called = False
        while self._waiting and len(self._running) < self._at_once:
            batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            if wanted := [(question, future) for question, future in batch if not future.done()]:
                task = asyncio.create_task(self._answer(wanted))
                self._running.add(task)
                task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._go()

    async def _answer(self, batch: Sequence[tuple[Question, asyncio.Future[Reply]]]) -> None:
        try:
            replies = _whole(await self._ask_all([question for question, _ in batch]), len(batch))
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(_own(error))
            if isinstance(error, Exception):
                return
            raise
        for (_, future), reply in zip(batch, replies, strict=True):
            if future.done():
                continue
            if isinstance(reply, BaseException):
                future.set_exception(reply)
            else:
                future.set_result(reply)


def _whole(replies: Sequence[Reply | BaseException], questions: int) -> Sequence[Reply | BaseException]:
    if len(replies) != questions:
        raise ShortReply(f"{questions} questions, {len(replies)} replies")
    return replies


def _own(error: BaseException) -> BaseException:
    """The error for a caller: the call's own cancellation becomes ShortReply, because the caller was not cancelled."""
    return error if isinstance(error, Exception) else ShortReply("the call was cancelled")
