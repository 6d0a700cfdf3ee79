"""The app as `subsecond run` serves it, which also tells what its process holds: tasks are seen from inside alone."""

from __future__ import annotations

import asyncio
import gc
import json
from collections import Counter
from collections.abc import Iterable
from functools import _lru_cache_wrapper
from typing import Any

from subsecond.api import app as served
from subsecond.semantic.index.memtable import Memtable

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
    caches = dict(_caches(objects))
    return {"tasks": dict(sorted(tasks.items())), "objects": len(objects), "kinds": dict(kinds), "caches": caches}


def _caches(objects: Iterable[object]) -> Iterable[tuple[str, tuple[int, int | None]]]:
    """By name: how many entries a cache has, and the most that it may have."""
    for one in objects:
        if isinstance(one, _lru_cache_wrapper):
            info = one.cache_info()
            # The bound too: one function may stand behind two caches.
            yield f"{one.__module__}.{one.__qualname__}, {info.maxsize}", (info.currsize, info.maxsize)
        elif isinstance(one, Memtable):
            yield f"stored and not in the index yet, {id(one)}", (len(one), one._most)
            yield f"deleted and maybe in the index yet, {id(one)}", (len(one._deleted), one._most)
