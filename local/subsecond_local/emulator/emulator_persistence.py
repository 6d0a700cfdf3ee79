"""ministack, closed to web pages; with a bucket's name it serves the gateway's needs alone, and keeps its tables.

    python -m subsecond_local.emulator.emulator_persistence [BUCKET]

By itself it answers every web page's preflight with `*`, checks no signature, and runs as a function whatever it is
given. `make run` names its bucket, and gets DynamoDB, its streams and this bucket; `make deploy-local` needs all else
too. By itself it writes its tables when it stops in good order, and only then. Here they are written in ministack's own
process, once a minute where something has changed, and when it is asked to (`SAVE`). A fork does the writing: in a
process of its own it sees all at one moment, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Callable

from subsecond_local.run.browser_guard import App, Guard, Message, Receive, RefusalRule, Send

HEALTH = "/_ministack/health"
SAVE = "/_subsecond/save"
# Seconds: what a sudden end costs at the most.
INTERVAL = 60.0
READS = ("Get", "BatchGet", "TransactGet", "Query", "Scan", "Describe", "List")
# ministack goes by the target's prefix first, and then by the service that a request is signed for.
TARGETS = ("DynamoDB_20120810.", "DynamoDBStreams_20120810.")
SIGNED_FOR_S3 = re.compile(r"AWS4-HMAC-SHA256 Credential=[^/,\s]+/[^/,\s]+/[^/,\s]+/s3/aws4_request[,\s]")


class PersistentApp:
    """An ASGI app in front of ministack's. `write` writes its state down, and is called in a fork."""

    def __init__(self, app: App, write: Callable[[], object]) -> None:
        self._app = app
        self._write = write
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
            await asyncio.sleep(INTERVAL)
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
    service, _, operation = header(scope, b"x-amz-target").partition(".")
    return service.startswith("DynamoDB_") and not operation.startswith(READS)


def header(scope: Message, wanted: bytes) -> str:
    """All values of a header, joined as ministack joins them."""
    return ", ".join(value.decode("latin-1") for name, value in scope["headers"] if name.lower() == wanted)


def only_stores(bucket: str) -> RefusalRule:
    """The rule that lets through what the gateway needs: DynamoDB and its streams, this bucket, health and saving."""

    def rule(scope: Message) -> str | None:
        method, path, target = scope["method"], scope["path"], header(scope, b"x-amz-target")
        if path == "/":
            served = method == "POST" and target.startswith(TARGETS)
        elif path == f"/{bucket}" or path.startswith(f"/{bucket}/"):
            signed = SIGNED_FOR_S3.match(header(scope, b"authorization"))
            served = signed is not None and not target
        else:
            served = (method, path) in {("GET", HEALTH), ("POST", SAVE)}
        return None if served else "Only DynamoDB, its streams and the gateway's bucket are served here."

    return rule


def main() -> None:
    """Serve until SIGTERM, as the environment tells ministack."""
    from ministack import app  # type: ignore[import-untyped]  # 0.5 s, for this process alone
    from ministack.core.persistence import save_all  # type: ignore[import-untyped]

    from subsecond_local.emulator import delays  # ministack's own environment may have no more of us

    # ministack reads arguments too, and has no such one.
    buckets, sys.argv[1:] = sys.argv[1:], []
    if medians := delays.read(os.environ):
        app.app = delays.Delays(app.app, medians)
    if buckets:
        # What it does itself at its end.
        kept = PersistentApp(app.app, lambda: save_all(app._build_persistence_save_dict()))  # noqa: SLF001
        app.app = Guard(kept, only_stores(buckets[0]))
    else:
        app.app = Guard(app.app)
    app.main()


if __name__ == "__main__":
    main()
