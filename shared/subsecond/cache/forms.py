"""A recording told again in its own form, and told in the other one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from subsecond.model import Chunk, Endpoint, Recording
from subsecond.streaming.convert import to_stream, to_whole
from subsecond.streaming.events import is_usage_only


def replayed(recording: Recording) -> Iterator[Chunk]:
    """Its payloads, as they came."""
    for payload in recording.payloads:
        yield Chunk(payload, usage=is_usage_only(payload))


def converted(endpoint: Endpoint, recording: Recording) -> Recording | None:
    """The same answer in the other form; None where something in it cannot stand there."""
    if recording.form == "stream":
        body = to_whole(endpoint, recording.payloads)
        return None if body is None else replace(recording, form="whole", payloads=(body,))
    payloads = to_stream(endpoint, recording.payloads[0])
    return None if payloads is None else replace(recording, form="stream", payloads=payloads)
