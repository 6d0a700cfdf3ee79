"""The OpenAI upstream against real servers on loopback: its own that say exact bytes, and the simulator."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import aclosing
from itertools import pairwise
from time import monotonic

import openai  # noqa: F401 - so that no deadline here has to pay for the import
import pytest

from subsecond.config import Settings
from subsecond.errors import (
    DeadlineExceeded,
    Unavailable,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from subsecond.model import Call, Tenant
from subsecond.stages.upstream import Models
from subsecond.stats.trace import Trace
from subsecond.streaming.sse import DONE, encode
from subsecond.upstreams.admission import Admission, Limits
from subsecond.upstreams.openai import BACKOFF_CAP, build
from subsecond_local.simulator.server import SimulatorProcess

HANG, CLOSE = "hang", "close"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def part(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(payload):
    return part(encode(payload))


def answer(*payloads):
    """A good stream, whole."""
    return [HEAD + b"".join(map(event, payloads)) + part(DONE) + END]


def reply(status, body, *headers, kind=b"application/json"):
    """A good response, whole."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [
        b"HTTP/1.1 %d X" % status,
        b"content-type: " + kind,
        b"content-length: %d" % len(data),
        *headers,
        b"",
        data,
    ]
    return [b"\r\n".join(lines)]


class Server:
    """Speaks from a script: for each request a list of bytes to send, seconds to wait, HANG (until the client leaves)
    and CLOSE. The last list is for all requests to come. What was asked is kept, and who left."""

    def __init__(self, script):
        self.script = list(script)
        self.requests = []
        self.asked = asyncio.Event()
        self.left = []

    @property
    def connections(self):
        return len(self.left)

    async def gone(self):
        """Until every client has closed."""
        await asyncio.wait_for(asyncio.gather(*self.left), 5)

    async def serve(self, reader, writer):
        left = asyncio.get_running_loop().create_future()
        self.left.append(left)
        try:
            while True:
                self.requests.append(await self.request(reader))
                self.asked.set()
                steps = self.script[min(len(self.requests), len(self.script)) - 1]
                if not await self.play(steps, reader, writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            left.set_result(None)

    async def request(self, reader):
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")[:-2]
        headers = dict(line.lower().split(": ", 1) for line in lines)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return first, head.decode(), json.loads(body) if body else None

    async def play(self, steps, reader, writer):
        for step in steps:
            if step == CLOSE:
                return False
            if step == HANG:
                await reader.read(1)
                return False
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            else:
                await asyncio.sleep(step)
        return True


@pytest.fixture
async def serving():
    """`upstream, server = await serving([steps], ..., setting=...)`"""
    opened = []

    async def serve(*script, path="/v1", **settings):
        server = Server(script)
        listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        chosen = {"upstream_key": "sk-ours", "upstream_retries": 0, **settings}
        upstream = build(Settings(upstream_url=f"http://127.0.0.1:{port}{path}", **chosen))
        opened.append((listener, upstream, server))
        return upstream, server

    yield serve
    for listener, upstream, server in opened:
        await upstream.aclose()
        listener.close()
        await server.gone()
    await asyncio.sleep(0.001)
    assert asyncio.all_tasks() == {asyncio.current_task()}, "a task was left behind"


def call(deadline=None, endpoint="chat", **fields):
    return Call(endpoint, "m", {"messages": [{"role": "user", "content": "hi"}], **fields}, deadline=deadline)


async def collect(upstream, asked=None):
    async with aclosing(upstream.stream(asked or call())) as payloads:
        return [payload async for payload in payloads]


async def collect_until(error, upstream, asked=None):
    """What came before this error, and the error."""
    payloads = []

    async def read():
        async for payload in upstream.stream(asked or call()):
            payloads.append(payload)  # noqa: PERF401 - what came before an error counts too

    with pytest.raises(error) as raised:
        await read()
    return payloads, raised.value


# What is sent


async def test_the_payloads_come_as_they_are_and_done_is_not_among_them(serving):
    upstream, _ = await serving(answer(b'{"a": 1}', b'{ "b":"\xc3\xa9" }', b'{"c":[]}'))
    assert await collect(upstream) == [b'{"a": 1}', b'{ "b":"\xc3\xa9" }', b'{"c":[]}']


async def test_the_body_is_the_clients_with_streaming_and_usage_asked_for(serving):
    upstream, server = await serving(answer(b"{}"))
    unknown = {"x": [1, {"y": None}], "temperature": 0.3, "tools": [{"type": "function", "function": {"name": "f"}}]}
    await collect(upstream, call(**unknown, stream_options={"include_usage": False}, model="other"))
    sent = {**call(**unknown).body, "model": "m", "stream": True, "stream_options": {"include_usage": True}}
    assert server.requests[0][2] == sent


@pytest.mark.parametrize(("endpoint", "path"), [("chat", "/v1/chat/completions"), ("text", "/v1/completions")])
@pytest.mark.parametrize("base", ["/v1", "/v1/"])
async def test_the_path_follows_from_the_endpoint(serving, endpoint, path, base):
    upstream, server = await serving(answer(b"{}"), path=base)
    await collect(upstream, call(endpoint=endpoint))
    assert server.requests[0][0] == f"POST {path} HTTP/1.1"


async def test_the_key_is_sent_once_as_authorization(serving):
    upstream, server = await serving(answer(b"{}"))
    await collect(upstream)
    _, head, body = server.requests[0]
    assert head.lower().count("sk-ours") == 1
    assert "authorization: bearer sk-ours\r\n" in head.lower()
    assert "sk-ours" not in json.dumps(body)


async def test_half_a_surrogate_goes_through_as_it_came(serving):
    upstream, server = await serving(answer(b"{}"))
    await collect(upstream, call(user="\ud83d \N{GRINNING FACE} é"))
    assert server.requests[0][2]["user"] == "\ud83d \N{GRINNING FACE} é"


async def test_a_key_with_a_line_break_in_it_forges_no_header(serving):
    upstream, server = await serving(answer(b"{}"), upstream_key="sk\r\nx-evil: 1")
    await collect_until(UpstreamUnreachable, upstream)
    assert server.requests == []


async def test_cookies_do_not_pass_from_one_call_to_the_next(serving):
    head = HEAD.replace(b"\r\n\r\n", b"\r\nset-cookie: who=acme; path=/\r\n\r\n")
    upstream, server = await serving([head + event(b"{}") + part(DONE) + END])
    await collect(upstream)
    await collect(upstream)
    assert "who=acme" not in server.requests[1][1]


# How it comes in


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
async def test_events_cut_anywhere_and_chunks_cut_elsewhere_are_put_together(serving, size):
    events = encode(b'{"a":"\xf0\x9f\x98\x80"}') + b": ping\r\n\r\ndata: {\r\ndata: }\r\n\r\n" + DONE
    cut = [events[a:b] for a, b in pairwise([*range(0, len(events), 5), len(events)])]
    sent = HEAD + b"".join(map(part, cut)) + END
    steps = [step for at in range(0, len(sent), size) for step in (sent[at : at + size], 0.0)]
    upstream, _ = await serving(steps)
    assert await collect(upstream) == [b'{"a":"\xf0\x9f\x98\x80"}', b"{\n}"]


async def test_a_payload_comes_before_the_next_one_is_sent(serving):
    upstream, server = await serving([HEAD + event(b"first"), HANG])
    async with aclosing(upstream.stream(call())) as payloads:
        assert await anext(payloads) == b"first"
        assert not server.left[0].done()
    await server.gone()


async def test_empty_events_are_not_payloads(serving):
    upstream, _ = await serving([HEAD + part(b"data:\n\n") + event(b"{}") + part(DONE) + END])
    assert await collect(upstream) == [b"{}"]


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_a_server_that_does_not_stream_gives_one_payload(serving, framing):
    whole = json.dumps({"object": "chat.completion", "text": "x" * 5000}, indent=1).encode()
    start = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
    steps = {
        "length": [start + b"content-length: %d\r\n\r\n" % len(whole) + whole[:100], 0.01, whole[100:]],
        "chunked": [start + b"transfer-encoding: chunked\r\n\r\n" + part(whole[:100]), 0.01, part(whole[100:]), END],
        "close": [start + b"\r\n" + whole[:100], 0.01, whole[100:], CLOSE],
    }
    upstream, _ = await serving(steps[framing])
    assert await collect(upstream) == [whole]


async def test_a_stream_larger_than_what_is_buffered_comes_whole_to_a_slow_reader(serving):
    big = [b'{"n":%d,"x":"%b"}' % (at, b"x" * 20_000) for at in range(100)]
    upstream, _ = await serving(answer(*big))
    seen = []
    async for payload in upstream.stream(call()):
        seen.append(payload)
        await asyncio.sleep(0)
    assert seen == big


# How it breaks

BROKEN = {
    "it ends without [DONE]": [END],
    "the connection ends": [CLOSE],
    "a chunk is no chunk": [b"zz\r\n"],
    "an event is cut": [part(b"data: {"), END],
    "an event has no bound": [part(b"data: " + b"x" * 17_000_000)],
}


@pytest.mark.parametrize("end", BROKEN.values(), ids=BROKEN.keys())
async def test_a_stream_that_breaks_off_is_an_error_after_what_came_of_it(serving, end):
    upstream, server = await serving([HEAD + event(b"{}"), 0.01, *end], upstream_retries=2)
    payloads, error = await collect_until(UpstreamUnreachable, upstream)
    assert payloads == [b"{}"]
    assert "broke off" in error.message
    assert error.status == 502
    assert len(server.requests) == 1, "it must not be tried again once something was given out"


@pytest.mark.parametrize("end", BROKEN.values(), ids=BROKEN.keys())
async def test_a_stream_that_breaks_off_before_anything_came_is_tried_again(serving, end):
    upstream, server = await serving([HEAD, *end], answer(b"{}"), upstream_retries=1)
    assert await collect(upstream) == [b"{}"]
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "steps",
    [
        [CLOSE],
        [b"HTTP/1.1 200", CLOSE],
        [b"SSH-2.0\r\n\r\n"],
        [HEAD + part(DONE) + END],
        reply(200, b""),
        reply(200, b"<html>", kind=b"text/html"),
        [b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{", CLOSE],
    ],
)
async def test_an_answer_that_is_none_is_an_error(serving, steps):
    upstream, _ = await serving(steps)
    payloads, error = await collect_until(UpstreamUnreachable, upstream)
    assert payloads == []
    assert error.code == "upstream_unreachable"


async def test_a_server_that_is_not_there_is_an_error(unused_tcp_port):
    upstream = build(Settings(upstream_url=f"http://127.0.0.1:{unused_tcp_port}", upstream_retries=0))
    await collect_until(UpstreamUnreachable, upstream)
    with pytest.raises(UpstreamUnreachable):
        await upstream.warm()
    await upstream.aclose()


# What the upstream refuses


async def test_a_refusal_keeps_its_status_and_its_error_object(serving):
    theirs = {"message": "No such model", "type": "invalid_request_error", "param": "model", "code": "model_not_found"}
    upstream, server = await serving(reply(404, {"error": theirs}), upstream_retries=2)
    _, error = await collect_until(UpstreamError, upstream)
    assert (error.status, error.body()) == (404, {"error": theirs})
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"code": 400, "message": "context full", "type": "exceed_context", "n_ctx": 9}}, "context full"),
        ({"object": "error", "message": "bad", "type": "BadRequestError", "param": None, "code": 400}, "bad"),
        ({"error": {"message": "bad", "code": 400, "param": 7}}, "bad"),
        ({"error": "just text"}, "just text"),
        (b"just text", "just text"),
        ({"detail": [{"loc": ["body"]}]}, "The upstream refused the request."),
        (b"<html>Bad Request</html>", "The upstream refused the request."),
        ([1], "The upstream refused the request."),
        (b"", "The upstream refused the request."),
        (b"\xff\xfe", "\N{REPLACEMENT CHARACTER}" * 2),
    ],
)
async def test_an_error_object_is_completed_to_what_openai_clients_read(serving, body, message):
    upstream, _ = await serving(reply(400, body))
    _, error = await collect_until(UpstreamError, upstream)
    found = error.body()["error"]
    assert (error.status, found["message"]) == (400, message)
    assert isinstance(found["type"], str)
    assert found["param"] is None
    assert found["code"] in (None, "400")


@pytest.mark.parametrize("after", ["7", "0", None])
async def test_429_is_told_at_once_with_its_retry_after(serving, after):
    """Never tried again, also where the pause would be short enough for us to wait."""
    limit = {"error": {"message": "slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}}
    headers = [b"retry-after: " + after.encode()] if after else []
    upstream, server = await serving(reply(429, limit, *headers), answer(b"{}"), upstream_retries=2)
    _, error = await collect_until(UpstreamError, upstream)
    assert (error.status, error.retry_after, error.body()) == (429, after, limit)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_our_fault_and_the_upstreams_text_stays_here(serving, status):
    upstream, server = await serving(reply(status, {"error": {"message": "Wrong key sk-o***s"}}), upstream_retries=2)
    _, error = await collect_until(UpstreamError, upstream)
    assert (error.status, error.code) == (502, "upstream_auth")
    assert "sk-" not in json.dumps(error.body())
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 529])
async def test_a_failure_that_may_pass_is_tried_again(serving, status):
    upstream, server = await serving(reply(status, {}), reply(status, {}), answer(b"{}"), upstream_retries=2)
    assert await collect(upstream) == [b"{}"]
    assert len(server.requests) == 3


async def test_a_failure_that_stays_is_told_with_its_status(serving):
    upstream, server = await serving(reply(500, {"error": {"message": "secret stack"}}), upstream_retries=2)
    _, error = await collect_until(UpstreamError, upstream)
    assert (error.status, error.code) == (502, "upstream_failed")
    assert "HTTP 500" in error.message
    assert "secret" not in json.dumps(error.body())
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [301, 307, 501, 505])
async def test_other_failures_are_told_at_once(serving, status):
    upstream, server = await serving(reply(status, {}, b"location: http://127.0.0.1:9/"), upstream_retries=2)
    _, error = await collect_until(UpstreamError, upstream)
    assert error.status == 502
    assert f"HTTP {status}" in error.message
    assert len(server.requests) == 1


async def test_a_short_retry_after_is_waited_for_and_a_long_one_passed_on(serving):
    upstream, server = await serving(reply(503, {}, b"retry-after: 0"), answer(b"{}"), upstream_retries=1)
    assert await collect(upstream) == [b"{}"]
    longer = str(int(BACKOFF_CAP) + 1)
    upstream, server = await serving(reply(503, {}, b"retry-after: " + longer.encode()), upstream_retries=1)
    _, error = await collect_until(UpstreamError, upstream)
    assert (error.status, error.retry_after) == (502, longer)
    assert len(server.requests) == 1


async def test_a_refusal_that_breaks_off_is_an_error_all_the_same(serving):
    upstream, _ = await serving([b"HTTP/1.1 400 Bad\r\ncontent-length: 99\r\n\r\n{", CLOSE])
    await collect_until(UpstreamUnreachable, upstream)


# What comes too late


async def test_no_first_payload_in_time_is_a_timeout_and_not_tried_again(serving):
    for steps in (
        [HANG],
        [HEAD, HANG],
        [HEAD + part(b": ping\n\n"), HANG],
        [b"HTTP/1.1 500 X\r\ncontent-length: 9\r\n\r\n", HANG],
    ):
        upstream, server = await serving(steps, first_token_timeout=0.2, upstream_retries=2)
        payloads, error = await collect_until(UpstreamTimeout, upstream)
        assert (payloads, error.status, error.code) == ([], 504, "upstream_timeout")
        assert "no answer within 0.2 s" in error.message
        assert len(server.requests) == 1


async def test_silence_between_payloads_is_a_timeout(serving):
    upstream, server = await serving([HEAD + event(b"{}"), HANG], idle_timeout=0.05)
    payloads, error = await collect_until(UpstreamTimeout, upstream)
    assert payloads == [b"{}"]
    assert "nothing more for 0.05 s" in error.message
    await server.gone()


async def test_comments_break_the_silence(serving):
    pings = [step for _ in range(6) for step in (part(b": ping\n\n"), 0.05)]
    upstream, _ = await serving([HEAD + event(b"{}"), *pings, part(DONE) + END], idle_timeout=0.2)
    assert await collect(upstream) == [b"{}"]


async def test_comments_do_not_stretch_the_total(serving):
    pings = [step for _ in range(1000) for step in (part(b": ping\n\n"), 0.02)]
    upstream, _ = await serving([HEAD + event(b"{}"), *pings], idle_timeout=5, total_timeout=0.1)
    _, error = await collect_until(UpstreamTimeout, upstream)
    assert "0.1 s in total" in error.message


async def test_the_readers_own_time_counts_neither_as_silence_nor_in_the_total(serving):
    steps = [HEAD + event(b"a"), 0.6, event(b"b") + part(DONE) + END]
    upstream, _ = await serving(steps, idle_timeout=0.4, total_timeout=0.4)
    seen = []
    async for payload in upstream.stream(call()):
        seen.append(payload)
        await asyncio.sleep(0.5)
    assert seen == [b"a", b"b"]


@pytest.mark.parametrize("steps", [[HANG], [HEAD, HANG], [HEAD + event(b"{}"), HANG]])
async def test_the_requests_deadline_ends_a_call_wherever_it_is(serving, steps):
    upstream, server = await serving(steps, upstream_retries=2)
    _, error = await collect_until(DeadlineExceeded, upstream, call(deadline=monotonic() + 0.3))
    assert (error.status, error.code) == (504, "deadline_exceeded")
    assert len(server.requests) == 1


async def test_what_comes_after_the_deadline_is_not_waited_for(serving):
    """The setting for silence is much longer: without the deadline the second event would be read."""
    upstream, _ = await serving([HEAD + event(b"a"), 1.0, event(b"b"), HANG])
    payloads, _ = await collect_until(DeadlineExceeded, upstream, call(deadline=monotonic() + 0.5))
    assert payloads == [b"a"]


async def test_the_deadline_counts_the_readers_time(serving):
    upstream, _ = await serving([HEAD + event(b"a"), 0.01, event(b"b"), HANG])

    async def read():
        async for _ in upstream.stream(call(deadline=monotonic() + 0.1)):
            await asyncio.sleep(0.2)

    with pytest.raises(DeadlineExceeded):
        await read()


async def test_a_deadline_that_has_passed_costs_no_request(serving):
    upstream, server = await serving(answer(b"{}"))
    await collect_until(DeadlineExceeded, upstream, call(deadline=monotonic() - 1))
    with pytest.raises(DeadlineExceeded):
        await upstream.fetch("/models", None, monotonic() - 1)
    assert server.requests == []


async def test_retries_end_where_their_pause_no_longer_fits(serving):
    upstream, server = await serving(reply(503, {}, b"retry-after: 2"), upstream_retries=2)
    _, error = await collect_until(UpstreamError, upstream, call(deadline=monotonic() + 1))
    assert (error.code, error.retry_after) == ("upstream_failed", "2")
    assert len(server.requests) == 1


async def test_a_connection_that_is_not_accepted_in_time_is_a_timeout():
    # A listener that never accepts, with a full queue: further connections get no answer.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(0)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        url = f"http://127.0.0.1:{port}/v1"
        upstream = build(Settings(upstream_url=url, connect_timeout=0.1, upstream_retries=1))
        _, error = await collect_until(UpstreamTimeout, upstream)
        assert "no connection within 0.1 s" in error.message
        await upstream.aclose()
        for filler in fillers:
            filler.close()


# Leaving, and staying connected


@pytest.mark.parametrize("steps", [[HANG], [HEAD, HANG], [HEAD + event(b"{}"), HANG]])
async def test_a_cancelled_call_closes_the_connection(serving, steps):
    upstream, server = await serving(steps)
    task = asyncio.create_task(collect(upstream))
    await asyncio.wait_for(server.asked.wait(), 5)
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.gone()


async def test_calls_one_after_the_other_share_a_connection(serving):
    upstream, server = await serving(answer(b"{}"))
    for _ in range(5):
        await collect(upstream)
    await upstream.fetch("/models", None, None)
    assert (server.connections, len(server.requests)) == (1, 6)


async def test_a_body_whose_end_comes_after_done_does_not_cost_the_connection(serving):
    upstream, server = await serving([HEAD + event(b"{}") + part(DONE), 0.05, END])
    await collect(upstream)
    await asyncio.sleep(0.1)
    await collect(upstream)
    assert server.connections == 1


async def test_a_body_that_goes_on_after_done_is_not_read(serving):
    upstream, server = await serving([HEAD + event(b"{}") + part(DONE), 0.02, b"rubbish", HANG], answer(b"{}"))
    await collect(upstream)
    await server.gone()
    assert await collect(upstream) == [b"{}"]


async def test_a_kept_connection_that_the_server_closed_is_not_used(serving):
    upstream, server = await serving([*answer(b"{}"), CLOSE])
    for _ in range(3):
        assert await collect(upstream) == [b"{}"]
        await asyncio.sleep(0.02)
    assert server.connections == 3


async def test_a_kept_connection_that_closes_in_the_moment_of_its_use_costs_no_error(serving):
    upstream, server = await serving(answer(b"1"), [CLOSE], answer(b"3"))
    assert await collect(upstream) == [b"1"]
    assert await collect(upstream) == [b"3"]
    assert (server.connections, len(server.requests)) == (2, 3)


async def test_what_goes_out_again_on_a_new_connection_is_one_of_the_retries_and_all_are_counted(serving):
    upstream, server = await serving(answer(b"1"), [CLOSE], upstream_retries=2)
    await collect(upstream)
    models, trace = Models(upstream, Admission(Limits.of(Settings()))), Trace()
    with pytest.raises(UpstreamUnreachable):
        await anext(models.ask(Tenant("t", "n", "k"), call(), None, trace))
    assert len(server.requests) - 1 == 3
    assert trace.counts["retries"] == 2


async def test_a_kept_connection_on_which_the_server_spoke_unasked_is_not_used(serving):
    upstream, server = await serving([*answer(b"1"), 0.02, b"HTTP/1.1 408 Timeout\r\n\r\n"], answer(b"2"))
    await collect(upstream)
    await asyncio.sleep(0.05)
    assert await collect(upstream) == [b"2"]
    assert server.connections == 2


async def test_what_a_server_said_while_the_process_was_frozen_is_no_answer():
    good, late = answer(b"{}")[0], b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"

    def serve(listener):
        for sent in (good, good):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(sent)
                time.sleep(0.05)
                connection.sendall(late)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=[listener])
        thread.start()
        upstream = build(Settings(upstream_url=f"http://127.0.0.1:{listener.getsockname()[1]}", upstream_retries=0))
        assert await collect(upstream) == [b"{}"]
        time.sleep(0.2)  # noqa: ASYNC251 - the event loop stands still, as in a frozen Lambda environment
        assert await collect(upstream) == [b"{}"]
        await upstream.aclose()
        thread.join()


async def test_calls_at_once_are_bounded_and_those_that_wait_come_through(serving):
    upstream, server = await serving([0.01, *answer(b"{}")], upstream_connections=3)
    results = await asyncio.gather(*(collect(upstream) for _ in range(12)))
    assert results == [[b"{}"]] * 12
    assert server.connections == 3


async def test_broken_and_cancelled_calls_give_their_place_back(serving):
    upstream, _ = await serving([CLOSE], [HEAD, HANG], reply(400, {}), answer(b"{}"), upstream_connections=1)
    await collect_until(UpstreamUnreachable, upstream)
    await collect_until(DeadlineExceeded, upstream, call(deadline=monotonic() + 0.2))
    await collect_until(UpstreamError, upstream)
    assert await collect(upstream) == [b"{}"]


async def test_warming_up_opens_the_connection_that_the_first_call_uses(serving):
    upstream, server = await serving(answer(b"{}"))
    await upstream.warm()
    await upstream.warm()
    await asyncio.sleep(0.02)
    assert (server.connections, server.requests) == (1, [])
    await collect(upstream)
    assert server.connections == 1


def test_importing_and_building_load_neither_the_package_nor_its_http_client():
    code = """
import sys
from subsecond.config import Settings
from subsecond.upstreams.openai import build
build(Settings(upstream_url="https://host/v1"))
print(*(name for name in ("openai", "httpx2", "ssl") if name in sys.modules))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"openai", "httpx2"} & set(ran.stdout.split())


# Whole replies


async def test_a_whole_reply_comes_with_its_status_and_type(serving):
    upstream, server = await serving(reply(200, {"data": []}))
    found = await upstream.fetch("/embeddings", {"model": "m", "input": "é"}, monotonic() + 5)
    assert (found.status, found.content_type, found.body) == (200, "application/json", b'{"data": []}')
    found = await upstream.fetch("/models", None, None)
    assert found.body == b'{"data": []}'
    (post, _, body), (get, _, nothing) = server.requests
    assert (post, body) == ("POST /v1/embeddings HTTP/1.1", {"model": "m", "input": "é"})
    assert (get, nothing) == ("GET /v1/models HTTP/1.1", None)


async def test_a_whole_reply_has_the_same_errors_retries_and_limits(serving):
    upstream, server = await serving(reply(500, {}), reply(200, {}), upstream_retries=1)
    assert (await upstream.fetch("/models", None, None)).body == b"{}"
    assert len(server.requests) == 2
    for steps, kind, status in (
        (reply(401, {}), UpstreamError, 502),
        (reply(400, {}), UpstreamError, 400),
        ([CLOSE], UpstreamUnreachable, 502),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", CLOSE], UpstreamUnreachable, 502),
        ([HANG], UpstreamTimeout, 504),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", HANG], UpstreamTimeout, 504),
    ):
        upstream, _ = await serving(steps, first_token_timeout=0.05)
        with pytest.raises(kind) as raised:
            await upstream.fetch("/embeddings", {"model": "m"}, None)
        assert raised.value.status == status
    upstream, _ = await serving([HANG])
    with pytest.raises(DeadlineExceeded):
        await upstream.fetch("/models", None, monotonic() + 0.05)


# Settings


async def test_without_an_address_a_call_says_which_setting_is_missing():
    upstream = build(Settings())
    for asked in (collect(upstream), upstream.fetch("/models", None, None), upstream.warm()):
        with pytest.raises(Unavailable, match="SUBSECOND_UPSTREAM_URL"):
            await asked


@pytest.mark.parametrize(
    "url",
    ["host/v1", "ftp://host/v1", "http://", "https://host/v1?a=b", "http://host:99999999/v1", "https://me:key@host/v1"],
)
def test_an_address_that_is_none_is_an_error_at_once(url):
    with pytest.raises(ValueError, match="SUBSECOND_UPSTREAM_URL"):
        build(Settings(upstream_url=url))


@pytest.mark.parametrize("place", ["sk-secret", "vault:mine"])
def test_a_secrets_place_that_is_none_is_an_error_at_once_that_does_not_repeat_it(place):
    with pytest.raises(ValueError, match="SUBSECOND_UPSTREAM_SECRET") as caught:
        build(Settings(upstream_secret=place))
    assert place not in str(caught.value)


async def test_a_server_that_wants_no_key_needs_none(serving):
    upstream, _ = await serving(answer(b"{}"), upstream_key="")
    assert await collect(upstream) == [b"{}"]


# The simulator


@pytest.fixture(scope="module")
def simulator():
    with SimulatorProcess(key="secret") as process:
        yield process


@pytest.fixture
async def simulated(simulator):
    upstream = build(Settings(upstream_url=simulator.base_url, upstream_key="secret", upstream_retries=2))
    yield upstream
    await upstream.aclose()


def named(model):
    return Call("chat", model, {"messages": [{"role": "user", "content": "hi"}]})


@pytest.mark.parametrize("model", ["sim-t0-i0-n32", "sim-t2-i1-n16", "sim-t0-i0-n8-fslow-funicode"])
async def test_the_simulators_answers_come_whole_with_their_usage(simulated, model):
    chunks = [json.loads(payload) for payload in await collect(simulated, named(model))]
    tokens = int(model.split("-n")[1].split("-")[0])
    assert chunks[-1]["usage"]["completion_tokens"] == tokens
    assert sum(bool(chunk["choices"] and chunk["choices"][0]["delta"].get("content")) for chunk in chunks) == tokens


async def test_the_simulators_faults_are_what_they_are(simulated):
    for model, kind in (
        ("sim-t0-i0-n8-ftruncate3", UpstreamUnreachable),
        ("sim-t0-i0-n8-fnodone", UpstreamUnreachable),
    ):
        payloads, _ = await collect_until(kind, simulated, named(model))
        assert payloads
    assert await collect(simulated, named("sim-t0-i0-n8-fstatus503-fafter0-fonce2"))
    _, error = await collect_until(UpstreamError, simulated, named("no-such-model"))
    assert (error.status, error.body()["error"]["code"]) == (404, "model_not_found")


async def test_many_calls_at_once_are_kept_apart(simulated):
    async def one(number):
        asked = Call("chat", "sim-t1-i1-n9", {"messages": [{"role": "user", "content": str(number)}]})
        return b"".join(await collect(simulated, asked))

    answers = await asyncio.gather(*(one(number) for number in range(40)))
    assert len({json.dumps([c for c in found if c > 64]) for found in answers}) == 40
