"""Leaving, staying connected, and what the simulator's server says."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from time import monotonic

import pytest

from subsecond.config import Settings
from subsecond.errors import DeadlineExceeded, UpstreamError, UpstreamUnreachable
from subsecond.model import Call
from subsecond.resending import counted_in
from subsecond.upstreams.openai import build
from tests.support.asking import call, collect, collect_until, refused, whole
from tests.support.raw_server import CLOSE, END, HANG, HEAD, answer, event, part, reply
from tests.support.simulator import SimulatorProcess

DONE = part(b"data: [DONE]\n\n")
ADAPTERS = ["openai", "openai_package"]


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("steps", [[HANG], [HEAD, HANG], [HEAD + event(b"{}"), HANG]])
async def test_a_cancelled_call_closes_the_connection(serving, steps, adapter):
    upstream, server = await serving(steps, adapter=adapter)
    task = asyncio.create_task(collect(upstream))
    await asyncio.wait_for(server.asked.wait(), 5)
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
    from collections import Counter

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
    await refused(UpstreamUnreachable, upstream)
    await refused(DeadlineExceeded, upstream, call(deadline=monotonic() + 0.2))
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


MISS = """
import asyncio, json, sys
from subsecond.config import Settings
from subsecond.model import Call
from subsecond.upstreams.openai import build
upstream = build(Settings(upstream_url=sys.argv[1], upstream_key="secret"))
built = set(sys.modules)
call = Call("chat", "sim-t0-i0-n1", {"messages": [{"role": "user", "content": "hi"}]})
asyncio.run(upstream.ask(call))
print(json.dumps([sorted(built), sorted(sys.modules)]))
"""


def test_a_call_loads_no_client_library_and_building_not_even_the_parser(simulator):
    command = [sys.executable, "-c", MISS, simulator.base_url]
    built, asked = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    heavy = {"openai", "httpx2", "httpcore2", "h11", "anyio", "pydantic", "boto3"}
    assert not {*heavy, "httptools"} & set(built)
    assert not heavy & set(asked)
    assert len(set(asked) - set(built)) < 40


@pytest.fixture(scope="module")
def simulator():
    with SimulatorProcess(key="secret") as process:
        yield process


@pytest.fixture
async def simulated(simulator):
    upstream = build(Settings(upstream_url=simulator.base_url, upstream_key="secret", upstream_retries=2))
    yield upstream
    await upstream.aclose()


def named(model, form="stream"):
    return Call("chat", model, {"messages": [{"role": "user", "content": "hi"}]}, form=form)


@pytest.mark.parametrize("model", ["sim-t0-i0-n32", "sim-t2-i1-n16", "sim-t0-i0-n8-fslow-funicode"])
async def test_the_simulators_answers_come_in_both_forms_with_their_usage(simulated, model):
    chunks = [json.loads(payload) for payload in await collect(simulated, named(model))]
    tokens = int(model.split("-n")[1].split("-")[0])
    assert chunks[-1]["usage"]["completion_tokens"] == tokens
    deltas = [chunk["choices"][0]["delta"].get("content") for chunk in chunks if chunk["choices"]]
    assert sum(map(bool, deltas)) == tokens
    found = json.loads((await simulated.ask(named(model, "whole"))).body)
    assert found["usage"] == chunks[-1]["usage"]
    assert found["choices"][0]["message"]["content"] == "".join(filter(None, deltas))


async def test_the_simulators_faults_are_what_they_are(simulated):
    payloads, _ = await collect_until(UpstreamUnreachable, simulated, named("sim-t0-i0-n8-ftruncate3"))
    assert payloads
    assert await collect(simulated, named("sim-t0-i0-n8-fnodone"))
    assert await collect(simulated, named("sim-t0-i0-n8-fstatus503-fafter0-fonce2"))
    error = await refused(UpstreamError, simulated, named("no-such-model"))
    assert (error.status, error.body()["error"]["code"]) == (404, "model_not_found")


async def test_many_calls_at_once_are_kept_apart(simulated):
    async def one(number):
        asked = Call("chat", "sim-t1-i1-n9", {"messages": [{"role": "user", "content": str(number)}]}, form="stream")
        return b"".join(await collect(simulated, asked))

    answers = await asyncio.gather(*(one(number) for number in range(40)))
    assert len({json.dumps([c for c in found if c > 64]) for found in answers}) == 40
