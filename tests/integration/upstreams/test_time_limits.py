"""What comes too late, and what is a sign of life."""

import asyncio
import socket
from itertools import chain, repeat
from time import monotonic

import pytest

from subsecond.config import Settings
from subsecond.errors import DeadlineExceeded, UpstreamError, UpstreamTimeout
from subsecond.upstreams.openai import build
from tests.support.asking import call, collect, collect_until, refused, whole
from tests.support.raw_server import END, HANG, HEAD, answer, event, part, reply

# No second here is a real one: see conftest.py.
pytestmark = pytest.mark.asyncio(loop_factories=["virtual"])
ADAPTERS = ["openai", "openai_package"]
HALF = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"
PING = part(b": ping\n\n")
DONE = part(b"data: [DONE]\n\n")


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("form", ["whole", "stream"])
@pytest.mark.parametrize(
    "steps", [[HANG], [HEAD, HANG], [b"HTTP/1.1 500 X\r\ncontent-length: 9\r\n\r\n", HANG], [HALF, HANG]]
)
async def test_no_answer_in_time_is_a_timeout_and_not_tried_again(serving, steps, form, adapter):
    upstream, server = await serving(steps, first_token_timeout=0.3, upstream_retries=2, adapter=adapter)
    error = await refused(UpstreamTimeout, upstream, call(form=form))
    assert (error.status, error.code) == (504, "upstream_timeout")
    assert "no answer within 0.3 s" in error.message
    assert len(server.requests) == 1


async def test_what_is_fetched_has_the_same_limits(serving):
    for steps in ([HANG], [HALF, HANG]):
        upstream, _ = await serving(steps, first_token_timeout=0.05)
        with pytest.raises(UpstreamTimeout):
            await upstream.fetch("/embeddings", {"model": "m"}, None)
    upstream, _ = await serving([HANG])
    with pytest.raises(DeadlineExceeded):
        await upstream.fetch("/models", None, monotonic() + 30)


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_silence_between_payloads_is_a_timeout(serving, adapter):
    upstream, server = await serving([HEAD + event(b"{}"), HANG], idle_timeout=0.05, adapter=adapter)
    payloads, error = await collect_until(UpstreamTimeout, upstream)
    assert payloads == [b"{}"]
    assert "nothing more for 0.05 s" in error.message
    await server.gone()


@pytest.mark.parametrize("sign", [PING, part(b"data:\n\n"), part(b"\n"), part(b'data: {"a":')])
async def test_whatever_comes_breaks_the_silence(serving, sign):
    signs = chain.from_iterable(repeat((sign, 0.05), 6))
    end = [part(b"1}\n\n"), DONE + END] if sign.endswith(b":\r\n") else [DONE + END]
    upstream, _ = await serving(
        [HEAD + event(b"{}"), *(signs if len(end) == 1 else [sign, 0.1]), *end], idle_timeout=0.2
    )
    assert (await collect(upstream))[0] == b"{}"


async def test_comments_before_the_first_event_are_signs_of_life(serving):
    signs = chain.from_iterable(repeat((PING, 0.05), 8))
    upstream, _ = await serving([HEAD, *signs, event(b"{}") + DONE + END], first_token_timeout=0.3, idle_timeout=0.3)
    assert await collect(upstream) == [b"{}"]


async def test_comments_do_not_stretch_the_total(serving):
    signs = chain.from_iterable(repeat((PING, 0.02), 1000))
    upstream, _ = await serving([HEAD + event(b"{}"), *signs], idle_timeout=5, total_timeout=0.1)
    _, error = await collect_until(UpstreamTimeout, upstream)
    assert "0.1 s in total" in error.message


async def test_the_readers_own_time_counts_neither_as_silence_nor_in_the_total(serving):
    upstream, _ = await serving(
        [HEAD + event(b"a"), 0.6, event(b"b") + DONE + END], idle_timeout=0.4, total_timeout=0.4
    )
    stream = await upstream.ask(call())
    seen = []
    while chunk := await stream.next():
        seen.append(chunk.data)
        await asyncio.sleep(0.5)
    assert seen == [b"a", b"b"]


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize(
    "steps", [[HANG], [HEAD, HANG], [HEAD + event(b"{}"), HANG], [HEAD + PING, HANG], [HALF, HANG]]
)
async def test_the_requests_deadline_ends_a_call_wherever_it_is(serving, steps, adapter):
    limits = {"first_token_timeout": 90.0, "idle_timeout": 90.0}  # whoever knows no deadline fails, and does not hang
    upstream, server = await serving(answer(b"{}"), steps, upstream_retries=2, adapter=adapter, **limits)
    await collect(upstream)  # the package takes half a second to load
    _, error = await collect_until(DeadlineExceeded, upstream, call(deadline=monotonic() + 30))
    assert (error.status, error.code) == (504, "deadline_exceeded")
    assert len(server.requests) == 2


async def test_a_whole_calls_deadline_ends_it(serving):
    upstream, _ = await serving([HALF, HANG])
    await refused(DeadlineExceeded, upstream, whole(deadline=monotonic() + 30))


async def test_what_comes_after_the_deadline_is_not_waited_for(serving):
    """The setting for silence is much longer: without the deadline the second event would be read."""
    upstream, _ = await serving([HEAD + event(b"a"), 60, event(b"b"), HANG])
    payloads, _ = await collect_until(DeadlineExceeded, upstream, call(deadline=monotonic() + 30))
    assert payloads == [b"a"]


async def test_the_deadline_counts_the_readers_time(serving):
    upstream, _ = await serving([HEAD + event(b"a"), 0.01, event(b"b"), HANG])
    stream = await upstream.ask(call(deadline=monotonic() + 30))
    await stream.next()
    await asyncio.sleep(60)
    with pytest.raises(DeadlineExceeded):
        await stream.next()


async def test_a_deadline_that_has_passed_costs_no_request(serving):
    upstream, server = await serving(answer(b"{}"))
    await refused(DeadlineExceeded, upstream, call(deadline=monotonic() - 1))
    with pytest.raises(DeadlineExceeded):
        await upstream.fetch("/models", None, monotonic() - 1)
    assert server.requests == []


async def test_the_deadline_ends_the_wait_for_a_place(serving):
    upstream, server = await serving([HEAD + event(b"{}"), HANG], upstream_connections=1)
    stream = await upstream.ask(call())
    await refused(DeadlineExceeded, upstream, call(deadline=monotonic() + 30))
    stream.close()
    assert len(server.requests) == 1


async def test_retries_end_where_their_pause_no_longer_fits(serving):
    upstream, server = await serving(reply(503, {}, b"retry-after: 2"), upstream_retries=2)
    error = await refused(UpstreamError, upstream, call(deadline=monotonic() + 1.9))
    assert (error.status, error.retry_after) == (503, "2")
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
        upstream = build(Settings(upstream_url=url, connect_timeout=60, upstream_retries=1))
        error = await refused(UpstreamTimeout, upstream)
        assert "no connection within 60 s" in error.message
        await refused(DeadlineExceeded, upstream, call(deadline=monotonic() + 30))
        await upstream.aclose()
        for filler in fillers:
            filler.close()
