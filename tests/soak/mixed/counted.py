"""The app as `subsecond run` serves it, which also tells what its process holds: tasks are seen from inside alone."""

from __future__ import annotations

import asyncio
import gc
import json
from collections import Counter
from typing import Any

from subsecond.api import app as served

PATH = "/soak/held"


def create_app() -> Any:
    """The factory for the server. One comparison of a path is all that it adds to a request."""
    app = served.create_app()

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await app(scope, receive, send)
            return
        body = json.dumps(_held()).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return counted


def _held() -> dict[str, Any]:
    """Tasks by the coroutine that they run, this one left out, and the objects that the collector knows."""
    gc.collect()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    tasks = Counter(str(getattr(task.get_coro(), "__qualname__", task)) for task in others)
    objects = gc.get_objects()
    kinds = Counter(type(one).__name__ for one in objects)
    return {"tasks": dict(sorted(tasks.items())), "objects": len(objects), "kinds": dict(kinds)}
