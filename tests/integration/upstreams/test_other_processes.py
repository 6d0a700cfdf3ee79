"""Against another process or thread: what the simulator's server says, and what is said while nobody listens."""

import asyncio
import json
import socket
import subprocess
import sys
import threading

import pytest

from subsecond.config import Settings
from subsecond.errors import UpstreamError, UpstreamUnreachable
from subsecond.model import Call
from subsecond.upstreams.openai import build
from tests.support.asking import collect, collect_until, refused
from tests.support.raw_server import answer
from tests.support.simulator import SimulatorProcess


async def test_what_a_server_said_while_the_process_was_frozen_is_no_answer():
    read, said = threading.Semaphore(0), threading.Semaphore(0)
    good, late = answer(b"{}")[0], b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"

    def serve(listener):
        for sent in (good, good):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(sent)
                read.acquire()
                connection.sendall(late)
                said.release()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=[listener])
        thread.start()
        upstream = build(Settings(upstream_url=f"http://127.0.0.1:{listener.getsockname()[1]}", upstream_retries=0))
        for _ in range(2):
            assert await collect(upstream) == [b"{}"]
            read.release()
            said.acquire()  # the event loop stands still, as in a frozen Lambda environment
        await upstream.aclose()
        thread.join()


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
