"""A TCP proxy before a server, by which the server can be taken away: refused, reset, silent, slow, or answering wrong.

What is wrong in HTTP (a 500, a throttling, bytes that are none) is said by the proxy itself, once a request is there.
A fault also meets the connections that are open already, the answers on their way included.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Self

from subsecond_local.run.ports import HOST

# Of a slow server: before each piece of what it says. Less than the second that a store may take.
SLOW = 0.3
PIECE = 65_536
# What the network does. All other faults are answers, by name.
NETWORK = ("refused", "reset", "blackholed", "slow")


class FaultProxy:
    """`fault` is what it does now; empty: nothing. replies: the faults that are answers, each with the whole responses
    that it gives in turn; each ends its connection. Used from one event loop, as a context manager."""

    def __init__(self, target: int, replies: Mapping[str, Sequence[bytes]]) -> None:
        self.port = 0
        self.fault = ""
        self._target = target
        self._replies = {fault: itertools.cycle(said) for fault, said in replies.items()}
        self._server: asyncio.Server | None = None
        # Bound and never listening: while the proxy refuses, nobody else gets its port, which a busy machine would give
        # to any connection that goes out.
        self._held = socket.socket()
        self._open: set[asyncio.StreamWriter] = set()
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._held.bind((HOST, 0))
        self.port = self._held.getsockname()[1]
        self._names = f"{HOST}:{self.port}".encode(), f"{HOST}:{self._target}".encode()
        await self._listen()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.switch("")
        await self._close()
        self._held.close()

    async def switch(self, fault: str) -> None:
        """From now on this fault. Connections that hung until now are reset: nobody knows of them any more."""
        self.fault = fault
        self._changed.set()
        self._changed = asyncio.Event()
        if fault == "refused":
            await self._close()
        elif self._server is None:
            await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, self.port, limit=PIECE, reuse_port=True)

    async def _close(self) -> None:
        if self._server:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        ways: list[asyncio.Task[None]] = []
        try:
            inner, out = await asyncio.open_connection(HOST, self._target, limit=PIECE)
            self._open.add(out)
            ways = [asyncio.create_task(self._ask(reader, out, writer)), asyncio.create_task(self._tell(inner, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            out.transport.abort()
            self._open.discard(out)
        except OSError:
            pass
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._open.discard(writer)
            writer.close()

    async def _ask(self, reader: asyncio.StreamReader, out: asyncio.StreamWriter, back: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while data := await reader.read(PIECE):
                if self.fault in self._replies:
                    await self._reply(data, reader, back)
                    return
                if not await self._passes(back):
                    return
                # Who is asked by another's name refuses. Both ports have five digits, so that no length changes.
                out.write(data.replace(*self._names))
                await out.drain()

    async def _tell(self, inner: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await inner.read(PIECE):
                if self.fault == "slow":
                    await asyncio.sleep(SLOW)
                if not await self._passes(writer):
                    return
                writer.write(data)
                await writer.drain()

    async def _passes(self, towards: asyncio.StreamWriter) -> bool:
        """Whether the piece goes on. The client's connection is reset otherwise."""
        if self.fault == "blackholed":
            await self._changed.wait()
        elif self.fault != "reset":
            return True
        _reset(towards)
        return False

    async def _reply(self, data: bytes, reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """The next of the fault's responses, once the request is read: unread bytes would make a reset of it."""
        said = next(self._replies[self.fault])
        head, _, body = data.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
        if b"expect" not in fields:
            await reader.readexactly(max(0, int(fields.get(b"content-length", b"0")) - len(body)))
        back.write(said)
        await back.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close it as a machine does that has lost it."""
    taken: socket.socket = writer.get_extra_info("socket")
    with suppress(OSError):
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


def response(status: str, body: bytes, *, kind: str = "application/json", headers: Sequence[str] = ()) -> bytes:
    """A whole response that ends its connection."""
    lines = (f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", "connection: close")
    return "\r\n".join((*lines, *headers, "\r\n")).encode() + body
