"""Objects in this process, with S3's conditions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from hashlib import md5

from subsecond.config import Settings
from subsecond.ports import Found, Listed


class MemoryObjects:
    """Each call lets other tasks run first, as a network would; the operation itself is atomic.

    `clock`: epoch seconds, for `modified`.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._objects: dict[str, tuple[bytes, str, float]] = {}

    async def get(self, name: str, known: str | None = None) -> Found | None:
        await asyncio.sleep(0)
        if name not in self._objects:
            return None
        data, etag, _ = self._objects[name]
        return Found(etag, None if etag == known else data)

    async def put(self, name: str, data: bytes) -> str:
        await asyncio.sleep(0)
        return self._write(name, data)

    async def put_if(self, name: str, data: bytes, etag: str | None) -> str | None:
        await asyncio.sleep(0)
        there = self._objects.get(name)
        if (there and there[1]) != etag:
            return None
        return self._write(name, data)

    async def listed(self, prefix: str) -> list[Listed]:
        await asyncio.sleep(0)
        found = sorted(self._objects.items())
        return [Listed(name, len(data), at) for name, (data, _, at) in found if name.startswith(prefix)]

    async def delete(self, names: Sequence[str]) -> None:
        await asyncio.sleep(0)
        for name in names:
            self._objects.pop(name, None)

    def _write(self, name: str, data: bytes) -> str:
        # An ETag of S3 is the MD5 in quotes: the same bytes have the same ETag.
        etag = f'"{md5(data, usedforsecurity=False).hexdigest()}"'
        self._objects[name] = (data, etag, self._clock())
        return etag


def build(_settings: Settings) -> MemoryObjects:
    return MemoryObjects()
