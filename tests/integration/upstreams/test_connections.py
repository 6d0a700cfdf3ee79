"""Leaving, and staying connected."""

import asyncio
from collections import Counter
from time import monotonic

import pytest

from subsecond.errors import DeadlineExceeded, UpstreamError, UpstreamUnreachable
from subsecond.resending import counted_in
from tests.support.asking import call, collect, refused, whole
from tests.support.raw_server import CLOSE, END, HANG, HEAD, answer, event, part, reply

DONE = part(b"data: [DONE]\n\n")
# A pause lasts until everybody waits: see conftest.py.
pytestmark = pytest.mark.asyncio(loop_factories=["virtual"])
ADAPTERS = ["openai", "openai_package"]


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("steps", [[HANG], [HEAD, HANG], [HEAD + event(b"{}"), HANG]])
async def test_a_cancelled_call_closes_the_connection(serving, steps, adapter):
    upstream, server = await serving(steps, adapter=adapter)
    task = asyncio.create_task(collect(upstream))
    await asyncio.wait_for(server.asked.wait(), 100)
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.gone()


async def test_closing_ends_the_call_and_may_be_done_again(serving):
    upstream, server = await serving([HEAD + event(b"1") + event(b"2"), HANG])
    stream = await upstream.ask(call())
    await stream.next()
    stream.close()
    stream.close()
    assert await stream.next() is None
    await server.gone()


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_calls_one_after_the_other_share_a_connection(serving, adapter):
    upstream, server = await serving(answer(b"{}"), answer(b"{}"), reply(400, {}), reply(200, {}), adapter=adapter)
    for _ in range(2):
        await collect(upstream)
        await asyncio.sleep(0.05)  # the package reads the body's end afterwards
    await refused(UpstreamError, upstream)
    await upstream.ask(whole())
    await upstream.fetch("/models", None, None)
    assert (server.connections, len(server.requests)) == (1, 5)


async def test_a_body_whose_end_comes_after_done_does_not_cost_the_connection(serving):
    upstream, server = await serving([HEAD + event(b"{}") + DONE, 0.05, END])
    await collect(upstream)
    await asyncio.sleep(0.1)
    await collect(upstream)
    assert server.connections == 1


async def test_a_body_that_goes_on_after_done_is_not_read(serving):
    upstream, server = await serving([HEAD + event(b"{}") + DONE, 0.02, b"rubbish", HANG], answer(b"{}"))
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


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_what_goes_out_again_is_counted_and_one_of_the_retries(serving, adapter):
    upstream, server = await serving(answer(b"1"), [CLOSE], upstream_retries=2, adapter=adapter)
    await collect(upstream)
    counts = Counter()
    counted_in(counts)
    await refused(UpstreamUnreachable, upstream)
    # Ours sends again by itself, on a new connection, what a kept one has swallowed.
    assert len(server.requests) - 1 == counts["retries"] + 1 == 3


async def test_a_kept_connection_on_which_the_server_spoke_unasked_is_not_used(serving):
    upstream, server = await serving([*answer(b"1"), 0.02, b"HTTP/1.1 408 Timeout\r\n\r\n"], answer(b"2"))
    await collect(upstream)
    await asyncio.sleep(0.05)
    assert await collect(upstream) == [b"2"]
    assert server.connections == 2


async def test_calls_at_once_are_bounded_and_those_that_wait_come_through(serving):
    upstream, server = await serving([0.01, *answer(b"{}")], upstream_connections=3)
    results = await asyncio.gather(*(collect(upstream) for _ in range(12)))
    assert results == [[b"{}"]] * 12
    assert server.connections == 3


async def test_broken_and_cancelled_calls_give_their_place_back(serving):
    upstream, _ = await serving([CLOSE], [HEAD, HANG], reply(400, {}), answer(b"{}"), upstream_connections=1)
    await refused(UpstreamUnreachable, upstream)
    await refused(DeadlineExceeded, upstream, call(deadline=monotonic() + 30))
    await refused(UpstreamError, upstream)
    assert await collect(upstream) == [b"{}"]


async def test_warming_up_opens_the_connection_that_the_first_call_uses(serving):
    upstream, server = await serving(answer(b"{}"))
    await upstream.warm()
    await upstream.warm()
    await asyncio.sleep(0.02)
    assert (server.connections, server.requests) == (1, [])
    await collect(upstream)
    assert server.connections == 1


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_after_hanging_up_the_next_call_opens_a_new_connection(serving, adapter):
    upstream, server = await serving(answer(b"{}"), adapter=adapter)
    await collect(upstream)
    await upstream.hang_up()
    await server.gone()
    assert await collect(upstream) == [b"{}"]
    assert server.connections == 2
