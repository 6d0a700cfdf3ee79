"""A recording told again in its own form, and told in the other one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from subsecond.dialects.lookup import dialect_of
from subsecond.model import Chunk, Endpoint, Recording


def replayed(endpoint: Endpoint, recording: Recording) -> Iterator[Chunk]:
    """Its payloads, as they came."""
    dialect = dialect_of(endpoint)
    for payload in recording.payloads:
        yield Chunk(payload, usage=dialect.is_usage_only(payload), name=dialect.event_name(payload))


def converted(endpoint: Endpoint, recording: Recording) -> Recording | None:
    """The same answer in the other form; None where something in it cannot stand there."""
    dialect = dialect_of(endpoint)
    if recording.form == "stream":
        body = dialect.to_whole(recording.payloads)
        return None if body is None else replace(recording, form="whole", payloads=(body,))
    payloads = dialect.to_stream(recording.payloads[0])
    return None if payloads is None else replace(recording, form="stream", payloads=payloads)
