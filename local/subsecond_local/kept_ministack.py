"""ministack, whose tables outlive its sudden end: by itself it writes them when it stops in good order, and only then.

It runs in ministack's own process, once a minute where something has changed, and when it is asked to (`SAVE`). A fork
does the writing: in a process of its own it sees all at one moment, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

SAVE = "/_subsecond/save"
# Seconds: what a sudden end costs at the most.
INTERVAL = 60.0
READS = ("Get", "BatchGet", "TransactGet", "Query", "Scan", "Describe", "List")

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Kept:
    """An ASGI app in front of ministack's. `write` writes its state down, and is called in a fork."""

    def __init__(self, app: App, write: Callable[[], object], interval: float = INTERVAL) -> None:
        self._app = app
        self._write = write
        self._interval = interval
        self._changed = False
        # One writes at a time: ministack's own last writing, which comes after `_stop`, uses the same files.
        self._writing = asyncio.Lock()
        self._stopped = False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            clock = asyncio.create_task(self._tick())
            await self._app(scope, lambda: self._until_shutdown(receive), send)
            clock.cancel()
        elif scope.get("path") == SAVE:
            await self.save()
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            await self._app(scope, receive, send)
            self._changed = self._changed or writes(scope)

    async def save(self) -> None:
        async with self._writing:
            if self._stopped:
                return
            self._changed = False
            child = os.fork()
            if child == 0:
                try:
                    self._write()
                finally:
                    os._exit(0)
            await asyncio.to_thread(os.waitpid, child, 0)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            if self._changed:
                await self.save()

    async def _until_shutdown(self, receive: Receive) -> Message:
        message = await receive()
        if message["type"] == "lifespan.shutdown":
            async with self._writing:
                self._stopped = True
        return message


def writes(scope: Message) -> bool:
    """Whether it is a call of DynamoDB that may change something."""
    target = next((value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"x-amz-target"), "")
    service, _, operation = target.partition(".")
    return service.startswith("DynamoDB_") and not operation.startswith(READS)


def main() -> None:
    from ministack import app  # type: ignore[import-untyped]  # noqa: PLC0415 -- 0.5 s, for this process alone
    from ministack.core.persistence import save_all  # type: ignore[import-untyped]  # noqa: PLC0415

    # What it does itself at its end.
    app.app = Kept(app.app, lambda: save_all(app._build_persistence_save_dict()))  # noqa: SLF001
    app.main()


if __name__ == "__main__":
    main()
