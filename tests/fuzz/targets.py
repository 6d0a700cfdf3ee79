"""What must hold for any bytes from outside, one function for each parser. Each raises when it does not."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

from subsecond.api.bodies import BatchBody, ChatBody, Common, EmbeddingsBody, TextBody, check
from subsecond.api.request import ZLIB, inflated
from subsecond.api.usual_body import usual_chat, usual_text
from subsecond.api.wire import Asked, parse, to_call
from subsecond.bootstrap import gateway
from subsecond.cache.cacheability import lifetime, may_coalesce, may_compare
from subsecond.cache.codec import pack, unpack
from subsecond.cache.forms import converted
from subsecond.cache.key import prepare
from subsecond.config import Settings
from subsecond.dialects.lookup import recorded
from subsecond.errors import SubsecondError
from subsecond.lambda_runtime.asgi import StreamingHandler
from subsecond.model import Chunk, Recording, Tenant
from subsecond.semantic.index.records import Poisoned, changes_of
from subsecond.semantic.index.segments import (
    Damaged,
    IndexId,
    Manifest,
    Segment,
    decode_manifest,
    encode_manifest,
    size_of,
)
from subsecond.streaming.sse import Splitter, encode
from subsecond.upstreams.http.response_parser import Response
from subsecond.upstreams.request_body import request_body
from tests.fuzz.mutation import Corpus, pieces
from tests.support.shapes import corpus, wire

ROOT = Path(__file__).parents[2]
TENANT = Tenant("acme", "prod", "k")
SETTINGS = Settings(upstream="subsecond_local.simulator.adapter", api_key="sk-test-events", semantic="off")
LIMIT = 4_096
INDEX = IndexId("acme:prod", "static-1", 256)


@dataclass(frozen=True)
class Target:
    corpus: Callable[[], Corpus]
    check: Callable[[bytes, Random], None]


def check_body(data: bytes, random: Random) -> None:
    """A body is refused with a 4xx, or every rule that looks at it works, and what is sent on is JSON."""
    try:
        if random.random() < 0.1:
            data = inflated(data, random.choice(list(ZLIB)), LIMIT)
        body = parse(data)
    except SubsecondError as error:
        refused = error
    else:
        return _check_calls(body, data)
    assert 400 <= refused.status < 500
    return None


def _check_calls(body: dict[str, Any], data: bytes) -> None:
    for usual, kind in ((usual_chat, ChatBody), (usual_text, TextBody)):
        if passed := usual(body):
            assert check(kind, body).model == passed.model
    for kind, endpoint in ((ChatBody, "chat"), (TextBody, "text"), (BatchBody, "text"), (EmbeddingsBody, "text")):
        with suppress(SubsecondError):
            checked = check(kind, body)
            if not isinstance(checked, Common) or kind is BatchBody:
                continue
            call = to_call(endpoint, Asked(body, data), checked, "", None)
            prompt = prepare(call, TENANT)
            assert prepare(call, TENANT) == prompt
            may_compare(call, prompt.text)
            may_coalesce(call)
            assert lifetime(SETTINGS, call, prompt) >= 0
            sent = json.loads(request_body(call, usage=True))
            assert sent["model"] == call.model


def check_events(data: bytes, random: Random) -> None:
    """The cut changes nothing; what is kept is bounded; what was read can be written, recorded and converted."""
    whole, cut = _split([data]), _split(pieces(data, random))
    assert cut == whole
    if whole is None:
        return
    told = [chunk for chunk in whole if not chunk.comment]
    assert _split([encode(chunk) for chunk in told]) == told
    for endpoint in ("chat", "text"):
        for form in ("stream", "whole"):
            recording = recorded(endpoint, form, [chunk.data for chunk in told] or [b""])
            assert unpack(pack(recording)) == recording
            converted(endpoint, recording)


def _split(parts: list[bytes]) -> list[Chunk] | None:
    """None where it is refused."""
    splitter, found = Splitter(limit=LIMIT), []
    try:
        for part in parts:
            found += splitter.feed(part)
            assert len(splitter._line) + len(splitter._event) <= 3 * LIMIT
        return found + splitter.finish()
    except ValueError:
        return None


def check_response(data: bytes, random: Random) -> None:
    """The cut changes nothing, and nothing but ValueError is raised."""
    whole, cut = _respond([data]), _respond(pieces(data, random))
    assert cut == whole


def _respond(parts: list[bytes]) -> tuple[Any, ...] | None:
    response = Response()
    try:
        for part in parts:
            response.feed(part)
        response.end()
    except ValueError:
        return None
    return response.status, response.headers, b"".join(response.body), response.complete


def check_manifest(data: bytes, random: Random) -> None:
    """Damaged, or a manifest that is written as it was read. The same for stored answers and stream records."""
    with suppress(Damaged):
        manifest = decode_manifest(data, INDEX)
        assert decode_manifest(encode_manifest(manifest), INDEX) == manifest
    with suppress(ValueError):
        unpack(_flipped(pack(ANSWER), random))
    with suppress(ValueError, RecursionError, Poisoned):
        record = json.loads(data)
        assert isinstance(changes_of(record), list)


def _flipped(data: bytes, random: Random) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + bytes((data[at] ^ 1 << random.randrange(8),)) + data[at + 1 :]


def check_event(data: bytes, random: Random) -> None:
    """A client decides on path, query, headers, cookies and body of a Function URL's event: it gets an answer that is
    none of our failures."""
    event = json.loads(random.choice(_events()))
    text = data.decode("utf-8", "replace")
    at = random.choice(("rawPath", "rawQueryString", "body", "base64", "header", "cookies"))
    if at == "header":
        event["headers"][random.choice(("content-type", "cache-control", "content-encoding", "x-subsecond-trace"))] = (
            text
        )
    elif at == "body":
        event |= {"body": text, "isBase64Encoded": False}
    elif at == "cookies":
        event["cookies"] = [text]
    elif at == "base64":
        event |= {"body": base64.b64encode(data).decode(), "isBase64Encoded": True}
    else:
        event[at] = ("/" if at == "rawPath" else "") + text
    found = _handler()(event, _Context())
    body = _handler().loop.run_until_complete(_read(found.chunks))
    assert 200 <= found.status < 500, (found.status, body)


async def _read(chunks: Any) -> bytes:
    return b"".join([chunk async for chunk in chunks])


class _Context:
    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@lru_cache
def _handler() -> StreamingHandler:
    from subsecond.api.app import create_app

    return StreamingHandler(lambda: create_app(gateway(SETTINGS), bare=True))


@lru_cache
def _events() -> tuple[str, ...]:
    return tuple(
        path.read_text() for path in sorted((ROOT / "events").glob("streaming-*.json")) if "schedule" not in path.name
    )


@lru_cache
def _requests() -> Corpus:
    """The bodies of the events in `events/`."""
    events = (json.loads(text) for text in _events())
    return Corpus([event["body"].encode() for event in events if event.get("body")])


@lru_cache
def _streams() -> Corpus:
    shapes = [shape for shape in corpus().values() if "events" in shape or "raw_stream" in shape]
    return Corpus([wire(shape).partition(b"\r\n\r\n")[2] for shape in shapes])


@lru_cache
def _responses() -> Corpus:
    return Corpus([wire(shape) for shape in corpus().values()])


@lru_cache
def _manifests() -> Corpus:
    segments = tuple(Segment(f"{at:032x}", at, 1, size_of(at, 1, INDEX.dim), "a" * 64, "b" * 64) for at in range(1, 4))
    made = [Manifest(INDEX), Manifest(INDEX, segments, 7), Manifest(INDEX, segments[:1], 1, rebuild=True)]
    records = json.loads((ROOT / "events" / "indexer-insert.json").read_text())["Records"]
    return Corpus([*map(encode_manifest, made), *(json.dumps(record).encode() for record in records)])


ANSWER = Recording("stream", (b'{"a":1}', b'{"b":2}'), "stop", "m", {"total_tokens": 3}, text="Hi.")
TARGETS = {
    "request body": Target(_requests, check_body),
    "server-sent events": Target(_streams, check_events),
    "http response": Target(_responses, check_response),
    "manifest": Target(_manifests, check_manifest),
    "lambda event": Target(_requests, check_event),
}
