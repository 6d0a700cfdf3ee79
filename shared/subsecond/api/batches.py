"""Several prompts in one request: `prompt` as a list, and `/v1/completions/batch`. Each goes its own way through the
pipeline, all side by side, so that they share lookups (`batcher.py`) and duplicates one flight; `admission.py` bounds
the upstream calls. They come back in the order that they were asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from subsecond.api.errors import unexpected
from subsecond.cache.forms import replayed
from subsecond.errors import SubsecondError
from subsecond.model import Call, Chunk, Done, Head, Recording, Tenant
from subsecond.pipeline import Gateway
from subsecond.stats.trace import Trace
from subsecond.streaming.events import choices_of, index_of, parsed
from subsecond.streaming.json_bytes import dump


@dataclass(frozen=True, slots=True)
class Answered:
    """One prompt's outcome. `seconds` until its first byte."""

    head: Head
    recording: Recording
    seconds: float


async def answer_all(gateway: Gateway, tenant: Tenant, calls: Sequence[Call]) -> list[Answered | SubsecondError]:
    """Each call's outcome, in order; one that fails fails alone."""

    async def one(call: Call) -> Answered | SubsecondError:
        try:
            return await _answer(gateway, tenant, call if len(calls) > 1 else lone(call))
        except SubsecondError as error:
            return error
        except Exception as error:  # noqa: BLE001 -- a fault of ours in one prompt must not take the others along
            return unexpected(error, call.batch)

    return await asyncio.gather(*map(one, calls))


def lone(call: Call) -> Call:
    """One prompt is no batch: it waits for no others."""
    return replace(call, batch="")


async def _answer(gateway: Gateway, tenant: Tenant, call: Call) -> Answered:
    trace = Trace(partition=tenant.partition)
    head: Head | None = None
    recording: Recording | None = None
    async with aclosing(gateway.complete(tenant, call, trace)) as events:
        async for event in events:
            if isinstance(event, Head):
                head = event
            elif isinstance(event, Done):
                recording = event.recording
    assert head is not None
    assert recording is not None
    return Answered(head, recording, trace.first or 0.0)


def joined(outcomes: Sequence[Answered], calls: Sequence[Call]) -> dict[str, Any]:
    """The answers of a list prompt as one `text_completion`: choices numbered through, usage added up."""
    wholes = [json.loads(outcome.recording.payloads[0]) for outcome in outcomes]
    choices = [
        {**choice, "index": place * _width(call) + index_of(choice, at)}
        for place, (whole, call) in enumerate(zip(wholes, calls, strict=True))
        for at, choice in enumerate(choices_of(whole))
    ]
    usages = [whole["usage"] for whole in wholes if isinstance(whole.get("usage"), dict)]
    return {**wholes[0], "choices": choices, **({"usage": total_usage(usages)} if usages else {})}


def _width(call: Call) -> int:
    return call.body.get("n") or 1


def total_usage(usages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts added up; what is not a plain number is left out, because it does not add."""
    total: dict[str, Any] = {}
    for usage in usages:
        for name, count in usage.items():
            if type(count) is int:
                total[name] = total.get(name, 0) + count
    return total | ({"estimated": True} if any(usage.get("estimated") for usage in usages) else {})


def seed_fields(outcomes: Sequence[Answered], started: float) -> dict[str, Any]:
    """The plain fields of `/v1/completions`; for a list they speak for all of it."""
    kinds = {outcome.head.source for outcome in outcomes}
    cached = "upstream" not in kinds
    return {
        "response": outcomes[0].recording.text,
        "cached": cached,
        "cache_type": min(kinds) if cached else None,
        "latency_ms": round((perf_counter() - started) * 1000, 3),
    }


async def stream_all(gateway: Gateway, tenant: Tenant, calls: Sequence[Call]) -> AsyncGenerator[Chunk]:
    """The chunks of all calls as they come, numbered through, under the first chunk's id; one usage chunk at the end.

    The first failure ends it. The queue is bounded, so that a slow client slows the upstreams and not the memory.
    """
    queue: asyncio.Queue[tuple[int, Chunk] | BaseException | None] = asyncio.Queue(64)

    async def tell(place: int, call: Call) -> None:
        try:
            async with aclosing(_chunks(gateway, tenant, call)) as chunks:
                async for chunk in chunks:
                    await queue.put((place, chunk))
            await queue.put(None)
        except Exception as error:  # noqa: BLE001 -- carried to the reader, who raises it
            await queue.put(error)

    tasks = [asyncio.create_task(tell(place, call)) for place, call in enumerate(calls)]
    try:
        async for chunk in _numbered(queue, calls):
            yield chunk
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _chunks(gateway: Gateway, tenant: Tenant, call: Call) -> AsyncGenerator[Chunk]:
    """One call's chunks, live or replayed; ends after its writes."""
    async with aclosing(gateway.complete(tenant, call, Trace(partition=tenant.partition))) as events:
        live = False
        async for event in events:
            if isinstance(event, Chunk):
                live = True
                yield event
            elif isinstance(event, Done) and not live:
                for chunk in replayed("text", event.recording):
                    yield chunk


async def _numbered(
    queue: asyncio.Queue[tuple[int, Chunk] | BaseException | None], calls: Sequence[Call]
) -> AsyncGenerator[Chunk]:
    running = len(calls)
    identity: Any = None
    frame: dict[str, Any] = {}
    usages: list[dict[str, Any]] = []
    while running:
        item = await queue.get()
        if item is None:
            running -= 1
            continue
        if isinstance(item, BaseException):
            raise item
        place, chunk = item
        if chunk.comment:
            yield chunk
            continue
        read = parsed(chunk.data)
        if not isinstance(read, dict):
            continue  # an event that is no object belongs to no prompt
        frame = read
        identity = frame["id"] = identity or frame.get("id")
        if chunk.usage:
            usages.append(frame["usage"])
        else:
            yield _renumbered(frame, place * _width(calls[place]))
    if usages:
        yield Chunk(dump({**frame, "choices": [], "usage": total_usage(usages)}), usage=True)


def _renumbered(frame: dict[str, Any], first: int) -> Chunk:
    for at, choice in enumerate(choices_of(frame)):
        choice["index"] = first + index_of(choice, at)
    return Chunk(dump(frame))
