"""How answers come in: cut anywhere, under any content type, compressed, without bounds, to their end."""

import asyncio
import gzip
import json
import zlib
from itertools import pairwise

import pytest

from subsecond.errors import UpstreamError, UpstreamUnreachable
from subsecond.model import Chunk
from subsecond.ports import Reply
from subsecond.streaming.sse import DONE, encode
from subsecond.upstreams import reading
from tests.support.asking import call, chunks, collect, collect_until, refused, whole
from tests.support.raw_server import CLOSE, END, HANG, HEAD, answer, event, part, reply

ADAPTERS = ["openai", "openai_package"]
JSON = b'{"object": "chat.completion", "choices": []}'
EVENTS = encode(Chunk(b'{"a":1}')) + DONE


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_the_payloads_come_as_they_are_and_done_is_not_among_them(serving, adapter):
    upstream, _ = await serving(answer(b'{"a": 1}', b'{ "b":"\xc3\xa9" }', b'{"c":[]}'), adapter=adapter)
    assert await collect(upstream) == [b'{"a": 1}', b'{ "b":"\xc3\xa9" }', b'{"c":[]}']


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
async def test_events_cut_anywhere_and_chunks_cut_elsewhere_are_put_together(serving, size):
    events = EVENTS[: -len(DONE)] + b": ping\r\n\r\ndata: {\r\ndata: }\r\n\r\n" + DONE
    cut = [events[a:b] for a, b in pairwise([*range(0, len(events), 5), len(events)])]
    sent = HEAD + b"".join(map(part, cut)) + END
    steps = [step for at in range(0, len(sent), size) for step in (sent[at : at + size], 0.0)]
    upstream, _ = await serving(steps)
    assert await chunks(upstream) == [Chunk(b'{"a":1}'), Chunk(b" ping", comment=True), Chunk(b"{\n}")]


async def test_a_payload_comes_before_the_next_one_is_sent(serving):
    upstream, server = await serving([HEAD + event(b"first"), HANG])
    stream = await upstream.ask(call())
    assert await stream.next() == Chunk(b"first")
    assert not server.left[0].done()
    stream.close()
    await server.gone()


async def test_a_comment_comes_at_once_be_it_the_first_thing_that_is_said(serving):
    upstream, _ = await serving([HEAD + part(b": WAITING\n\n"), 0.05, event(b"{}") + part(DONE) + END])
    assert await chunks(upstream) == [Chunk(b" WAITING", comment=True), Chunk(b"{}")]
    upstream, _ = await serving([HEAD + part(b": WAITING\n\n"), HANG])
    stream = await upstream.ask(call())
    assert (await stream.next()).comment
    stream.close()


async def test_a_named_event_keeps_its_name(serving):
    upstream, _ = await serving([HEAD + part(b'event: error\ndata: {"message":"no"}\n\n') + part(DONE) + END])
    assert await chunks(upstream) == [Chunk(b'{"message":"no"}', name=b"error")]


async def test_a_stream_larger_than_what_is_buffered_comes_whole_to_a_slow_reader(serving):
    big = [b'{"n":%d,"x":"%b"}' % (at, b"x" * 20_000) for at in range(100)]
    upstream, _ = await serving(answer(*big))
    stream = await upstream.ask(call())
    seen = []
    while chunk := await stream.next():
        seen.append(chunk.data)
        await asyncio.sleep(0)
    assert seen == big


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("form", ["whole", "stream"])
async def test_a_whole_reply_comes_whole_be_a_stream_asked_for_or_not(serving, framing, adapter, form):
    body = json.dumps({"object": "chat.completion", "text": "x" * 5000}, indent=1).encode()
    start = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
    steps = {
        "length": [start + b"content-length: %d\r\n\r\n" % len(body) + body[:100], 0.01, body[100:]],
        "chunked": [start + b"transfer-encoding: chunked\r\n\r\n" + part(body[:100]), 0.01, part(body[100:]), END],
        "close": [start + b"\r\n" + body[:100], 0.01, body[100:], CLOSE],
    }
    upstream, _ = await serving(steps[framing], adapter=adapter)
    assert await upstream.ask(call(form=form)) == Reply(body, content_type="application/json; charset=utf-8")


TYPES = [
    b"text/event-stream", b"Text/Event-Stream;charset=UTF-8", b"text/plain", b"", b"application/json",
    b"Application/JSON", b"application/json, text/event-stream; charset=utf-8", b"text/html", b"\xff",
]  # fmt: skip


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("form", ["whole", "stream"])
@pytest.mark.parametrize("before", [b"", b"\n", b"\xef\xbb\xbf", b"\r\n\r\n\n"])
async def test_the_body_says_what_it_is_whatever_the_content_type_says(serving, kind, form, before):
    upstream, _ = await serving(reply(200, before + EVENTS, kind=kind), reply(200, before + JSON, kind=kind))
    assert await collect(upstream, call(form=form)) == [b'{"a":1}']
    assert (await upstream.ask(call(form=form))).body == before + JSON


@pytest.mark.parametrize("first", [b"da", b":", b"event: x\n", b"id: 1\n", b"retry: 5\n", b"\n\n", b"d"])
async def test_a_mislabelled_stream_is_recognised_wherever_it_is_cut(serving, first):
    body = EVENTS if first in (b"da", b"d") else first + b"\n" + EVENTS
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n"
    upstream, _ = await serving([head + body[: len(first)], 0.02, body[len(first) :], CLOSE])
    assert await collect(upstream) == [b'{"a":1}']


async def test_what_is_neither_is_what_its_content_type_says(serving):
    upstream, _ = await serving(reply(200, b"<html>", kind=b"text/html"), reply(200, b"dat", kind=b"text/plain"))
    assert (await upstream.ask(call())).body == b"<html>"
    assert (await upstream.ask(call())).body == b"dat"


async def test_blank_lines_before_a_whole_reply_are_passed_on(serving):
    """DeepSeek sends them while a request waits."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    upstream, _ = await serving([head + part(b"\n"), 0.01, part(b"\n"), 0.01, part(JSON) + END])
    assert (await upstream.ask(whole())).body == b"\n\n" + JSON


# Compressed, though that was not asked for


def raw_deflate(data):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACKED = {
    b"gzip": gzip.compress, b"X-GZip": gzip.compress, b"deflate": zlib.compress, b"Deflate": raw_deflate,
    b"identity": bytes, b"identity, gzip": gzip.compress,
}  # fmt: skip


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("coding", PACKED)
@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_compressed_answers_are_unpacked_in_both_forms(serving, coding, size, adapter):
    named = b"content-encoding: " + coding
    body = PACKED[coding](EVENTS)
    cut = [part(body[at : at + size]) for at in range(0, len(body), size)]
    stream = HEAD.replace(b"\r\n\r\n", b"\r\n" + named + b"\r\n\r\n") + b"".join(cut) + END
    upstream, _ = await serving(
        [stream], reply(200, PACKED[coding](JSON), named), reply(400, PACKED[coding](b"No."), named), adapter=adapter
    )
    assert await collect(upstream) == [b'{"a":1}']
    assert (await upstream.ask(whole())).body == JSON
    assert (await refused(UpstreamError, upstream)).message == "No."


async def test_no_event_is_held_back_by_the_compression(serving):
    packer = zlib.compressobj(wbits=31)
    first = packer.compress(encode(Chunk(b"1"))) + packer.flush(zlib.Z_SYNC_FLUSH)
    head = HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n")
    upstream, _ = await serving([head + part(first), HANG])
    stream = await upstream.ask(call())
    assert await stream.next() == Chunk(b"1")
    stream.close()


async def test_members_of_gzip_may_follow_each_other(serving):
    body = gzip.compress(b'{"a":') + gzip.compress(b"1}")
    upstream, _ = await serving(reply(200, body, b"content-encoding: gzip"))
    assert (await upstream.ask(whole())).body == b'{"a":1}'


@pytest.mark.parametrize("coding", [b"br", b"zstd", b"gzip, br", b"nonsense"])
async def test_another_compression_is_an_error_that_names_it(serving, coding):
    upstream, server = await serving(reply(200, b"x", b"content-encoding: " + coding), upstream_retries=2)
    error = await refused(UpstreamError, upstream)
    assert (error.status, error.code) == (502, "upstream_encoding")
    assert coding.decode() in error.message
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body", [gzip.compress(JSON)[:-9], b"not gzip", gzip.compress(JSON) + b"more"], ids=["cut", "none", "more"]
)
async def test_a_compressed_body_that_is_cut_or_none_breaks_off(serving, body):
    upstream, _ = await serving(reply(200, body, b"content-encoding: gzip"))
    error = await refused(UpstreamUnreachable, upstream, whole())
    assert ("broke off" in error.message, error.code) == (True, "upstream_broke_off")


# Bounds


async def test_an_answer_without_end_is_refused_in_both_forms(serving, monkeypatch):
    monkeypatch.setattr(reading, "MAX_ANSWER", 300_000)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{"
    upstream, _ = await serving([head, *[b"x" * 100_000] * 4, HANG], [HEAD, *[event(b"x" * 100_000)] * 4, HANG])
    error = await refused(UpstreamError, upstream, whole())
    assert (error.status, error.code) == (502, "upstream_too_large")
    payloads, error = await collect_until(UpstreamError, upstream)
    assert (payloads[0], error.code) == (b"x" * 100_000, "upstream_too_large")


async def test_what_unpacks_to_too_much_is_refused(serving, monkeypatch):
    monkeypatch.setattr(reading, "MAX_ANSWER", 5_000_000)
    body = gzip.compress(b"{" + b" " * 50_000_000)
    upstream, _ = await serving(reply(200, body, b"content-encoding: gzip"))
    assert (await refused(UpstreamError, upstream, whole())).code == "upstream_too_large"


async def test_an_event_without_end_is_refused(serving):
    upstream, _ = await serving([HEAD + event(b"{}"), 0.01, part(b"data: " + b"x" * 17_000_000), HANG])
    payloads, error = await collect_until(UpstreamUnreachable, upstream)
    assert (payloads, "broke off" in error.message) == ([b"{}"], True)


async def test_an_error_without_end_is_cut(serving):
    head = b"HTTP/1.1 400 Bad\r\n\r\n"
    upstream, server = await serving([head, *[b"no " * 100_000] * 10, HANG])
    error = await refused(UpstreamError, upstream)
    assert (error.status, error.message[:6], len(error.message)) == (400, "no no ", 2000)
    await server.gone()


# The end


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize(
    "end",
    [[END], [part(b"data: [DONE] \n\n"), HANG], [part(b"data:[DONE]"), END], [part(b'data: {"b":2}\n') + END]],
)
async def test_an_end_behind_a_whole_event_is_an_end(serving, end, adapter):
    upstream, _ = await serving([HEAD + event(b"{}"), *end], adapter=adapter)
    found = await collect(upstream)
    assert found in ([b"{}"], [b"{}", b'{"b":2}'])


async def test_a_body_that_the_connection_ends_ends_there(serving):
    upstream, _ = await serving([b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + EVENTS[:14], CLOSE])
    assert await collect(upstream) == [b'{"a":1}']


BROKEN = {
    "the connection ends": [CLOSE],
    "a chunk is no chunk": [b"zz\r\n"],
    "a chunk is cut": [b"5\r\n: a", CLOSE],
    "an event is cut": [part(b"data: {"), END],
}


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("end", BROKEN.values(), ids=BROKEN.keys())
async def test_a_stream_that_breaks_off_is_an_error_after_what_came_of_it(serving, end, adapter):
    upstream, server = await serving([HEAD + event(b"{}"), 0.01, *end], upstream_retries=2, adapter=adapter)
    payloads, error = await collect_until(UpstreamUnreachable, upstream)
    assert payloads[:1] == [b"{}"]
    assert "broke off" in error.message
    assert error.status == 502
    assert len(server.requests) == 1, "it must not be tried again once something was given out"


@pytest.mark.parametrize("end", [[CLOSE], [b"zz\r\n"], [part(b"data: {"), END], [END], [part(DONE), END]])
async def test_a_stream_that_breaks_off_before_anything_came_is_tried_again(serving, end):
    upstream, server = await serving([HEAD, *end], answer(b"{}"), upstream_retries=1)
    assert await collect(upstream) == [b"{}"]
    assert len(server.requests) == 2


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("form", ["whole", "stream"])
@pytest.mark.parametrize(
    "steps",
    [
        [CLOSE],
        [b"HTTP/1.1 200", CLOSE],
        [b"SSH-2.0\r\n\r\n"],
        reply(200, b""),
        [b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{", CLOSE],
    ],
)
async def test_an_answer_that_is_none_is_an_error(serving, steps, form, adapter):
    upstream, server = await serving(steps, upstream_retries=1, adapter=adapter)
    error = await refused(UpstreamUnreachable, upstream, call(form=form))
    assert error.code in ("upstream_unreachable", "upstream_broke_off")
    assert len(server.requests) == 2
