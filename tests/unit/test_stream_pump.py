"""A stream on its way to the Runtime API: what is written, and what is closed whoever ends it."""

import asyncio
import socket

import pytest

from subsecond.lambda_runtime.http_stream import HttpStream, frame, prelude
from subsecond.lambda_runtime.runtime_client import _HungUpError, _pump


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    theirs.settimeout(5)
    yield ours, theirs
    ours.close()
    theirs.close()


class Chunks:
    """Says whether it was closed."""

    def __init__(self, *chunks):
        self.chunks, self.closed = chunks, False

    async def given(self):
        try:
            for chunk in self.chunks:
                yield chunk
        finally:
            self.closed = True


async def test_an_empty_chunk_is_left_out_because_it_would_end_the_response(pair):
    ours, theirs = pair
    chunks = Chunks(b"a", b"", b"b")
    stream = HttpStream(200, [], [], chunks.given())
    await _pump(ours, b"HEAD", stream)
    assert theirs.recv(65_536) == b"HEAD" + frame(prelude(stream)) + frame(b"a") + frame(b"b")
    assert chunks.closed


async def test_plain_chunks_are_written_too(pair):
    ours, theirs = pair
    stream = HttpStream(200, [], [], [b"a", b"", b"b"])
    await _pump(ours, b"", stream)
    assert theirs.recv(65_536) == frame(prelude(stream)) + frame(b"a") + frame(b"b")


async def test_when_the_other_side_hangs_up_the_chunks_are_closed_so_that_nobody_pays_for_more(pair):
    ours, theirs = pair
    chunks = Chunks(*[b"x" * 65_536] * 64)  # more than the sockets hold
    pump = asyncio.create_task(_pump(ours, b"", HttpStream(200, [], [], chunks.given())))
    await asyncio.to_thread(theirs.recv, 65_536)
    theirs.close()
    with pytest.raises(_HungUpError):
        await pump
    assert chunks.closed
