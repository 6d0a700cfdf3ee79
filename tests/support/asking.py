"""Asks an upstream, and reads what it says."""

from dataclasses import replace

import pytest

from subsecond.model import Call, RequestBytes
from subsecond.ports import Reply


def call(deadline=None, endpoint="chat", form="stream", **fields):
    return Call(
        endpoint, "m", {"messages": [{"role": "user", "content": "hi"}], **fields}, form=form, deadline=deadline
    )


def whole(**fields):
    return call(form="whole", **fields)


def forwarded(data, asked):
    """The call with these as its own bytes."""
    return replace(asked, raw=RequestBytes(data, asked.body, asked.model))


async def chunks(upstream, asked=None):
    """All of a stream, comments included."""
    stream = await upstream.ask(asked or call())
    assert not isinstance(stream, Reply)
    found = []
    try:
        while (chunk := await stream.next()) is not None:
            found.append(chunk)
    finally:
        stream.close()
    return found


async def collect(upstream, asked=None):
    """The payloads of a stream."""
    return [chunk.data for chunk in await chunks(upstream, asked) if not chunk.comment]


async def collect_until(error, upstream, asked=None):
    """The payloads that came before this error, and the error."""
    payloads = []

    async def read():
        stream = await upstream.ask(asked or call())
        try:
            while (chunk := await stream.next()) is not None:
                payloads.append(chunk.data)
        finally:
            stream.close()

    with pytest.raises(error) as raised:
        await read()
    return payloads, raised.value


async def refused(error, upstream, asked=None):
    """The error with which it is refused at once."""
    with pytest.raises(error) as raised:
        await upstream.ask(asked or call())
    return raised.value
