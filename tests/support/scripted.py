"""Upstreams that say what a test has written down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from subsecond.model import Chunk


def piece(text: str | None, finish: str | None = None) -> bytes:
    """The payload of one streamed chunk."""
    choice = {"index": 0, "delta": {} if text is None else {"content": text}, "finish_reason": finish}
    return json.dumps({"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}).encode()


def whole(text: str, finish: str | None = "stop", usage: dict[str, Any] | None = None) -> bytes:
    """The body of a whole reply."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice]}
    return json.dumps(body | ({"usage": usage} if usage else {})).encode()


class ScriptedStream:
    """The port `EventStream`. steps: payloads, chunks, seconds to wait, errors to raise, functions to await."""

    headers = ()

    def __init__(
        self,
        steps: Iterable[bytes | Chunk | float | BaseException | Callable[[], Awaitable[object]]],
        when_closed: Callable[[], None] = lambda: None,
    ) -> None:
        self._steps = iter(steps)
        self._when_closed = when_closed
        self._closed = False

    async def next(self) -> Chunk | None:
        for step in self._steps:
            if isinstance(step, bytes):
                return Chunk(step)
            if isinstance(step, Chunk):
                return step
            if isinstance(step, BaseException):
                raise step
            await (asyncio.sleep(step) if isinstance(step, int | float) else step())
        return None

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._when_closed()
