"""Prewarming under the Lambda host: the prewarming function invokes those that answer, over the Invoke API; ministack
holds the tables; a simulator counts the calls of its models. And an environment that stood still for an hour."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio

from subsecond_local.cli import prewarm_command
from subsecond_local.errors import LocalError
from subsecond_local.lambda_host import LambdaHost, UrlRoute
from subsecond_local.run.gateways import STREAMING_ENVIRONMENTS
from subsecond_local.run.lambda_gateway import functions
from subsecond_local.run.ports import free_ports
from subsecond_local.run.stores import Stores, note_run, stores_from_env
from tests.support.processes import UNHURRIED
from tests.support.simulator import SimulatorProcess

# One loop for the module, so that the tests that need nothing of their own share their environments.
pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "sk-test"
MOST_FAILURES = 60
ENVIRONMENTS = 3
MODEL = "sim-t0-i0-n8"
BODIES = [{"model": MODEL, "messages": [{"role": "user", "content": f"Common {n}?"}]} for n in range(4)]


@pytest.fixture(scope="module")
def upstream():
    with SimulatorProcess(key=KEY) as process:
        yield process


class Deployed:
    """The functions, a client, and what they print."""

    def __init__(self, host, upstream, output):
        self.host = host
        self.upstream = upstream
        self.output = output

    async def chat(self, text, model=MODEL):
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx2.AsyncClient(base_url=self.host.url, trust_env=False, timeout=MOST_FAILURES) as http:
            return await http.post("/v1/chat/completions", json=body, headers=headers)

    async def prewarm(self, order=True):  # noqa: FBT002 - the event is JSON
        result = await self.host.invoke("prewarm", {"prewarm": order})
        assert not result.failed, result.payload
        return json.loads(result.payload)

    async def answered(self, body):
        order = {"prewarm": {"partition": "local:default", "body": body}}
        return json.loads((await self.host.invoke("streaming", order)).payload)

    def calls(self):
        return sum(self.upstream.stats()["by_model"].values())

    def lines(self):
        return [json.loads(line) for line in self.output.read_text().splitlines() if line.startswith("{")]


@asynccontextmanager
async def deployed(emulator, upstream, folder, maximum=ENVIRONMENTS, *, snap_start=False, **variables):
    """The functions, without an environment yet."""
    environ = {
        **emulator,
        **dict.fromkeys(("SUBSECOND_API_KEY", "SUBSECOND_UPSTREAM_KEY"), KEY),
        "SUBSECOND_UPSTREAM_URL": upstream.base_url,
        "SUBSECOND_EXACT": "layered",
        "SUBSECOND_FLIGHTS": "dynamodb",
        **UNHURRIED,
        "SUBSECOND_SEMANTIC": "off",
        **variables,
    }
    (port,) = free_ports(1)
    made = [replace(function, minimum=0, snap_start=snap_start) for function in functions(environ, port)]
    made = [replace(one, maximum=maximum) if one.name in ("streaming", "completion") else one for one in made]
    with (folder / "output").open("wb") as output:
        async with LambdaHost(made, [UrlRoute("/", "streaming")], port=port, output=output) as host:
            yield Deployed(host, upstream, folder / "output")


@pytest.fixture
def deploy(emulator, upstream, tmp_path):
    """`async with deploy(SUBSECOND_...=...) as it`: functions of its own."""
    return partial(deployed, emulator, upstream, tmp_path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(emulator, upstream, tmp_path_factory):
    """Functions for the tests that care for no environment."""
    lists = {"SUBSECOND_WARM_PROMPTS": "local:default", "SUBSECOND_WARM_CALLS": "3", "SUBSECOND_WARM_WAIT": "0.5"}
    async with deployed(emulator, upstream, tmp_path_factory.mktemp("shared"), 2, **lists) as it:
        yield it


async def test_n_events_warm_n_environments_of_each_function_and_say_how_many_were_cold(deploy):
    async with deploy(SUBSECOND_WARM_FUNCTIONS="streaming,completion") as it:
        calls = it.calls()
        # One that is warm would be done at once, and take the event that another one starts for, if it did not stay.
        for number, cold in ((1, 1), (ENVIRONMENTS, ENVIRONMENTS - 1), (ENVIRONMENTS, 0)):
            report = await it.prewarm({"environments": number})
            assert [one["function"] for one in report["functions"]] == ["streaming", "completion"]
            for one in report["functions"]:
                assert (one["asked"], one["environments"], one["cold"]) == (number, number, cold), report
                assert (one["failed"], one["errors"]) == ({}, {})
                assert it.host.environments(one["function"]) == number
            assert report["ms"] > 0
        names = {line["environment"] for line in it.lines() if line.get("message") == "prewarmed" and "arrived" in line}
        assert len(names) == 2 * ENVIRONMENTS
        assert it.calls() == calls  # and not a token was spent


async def test_an_environment_that_has_served_a_request_is_not_cold(deploy):
    async with deploy(maximum=1) as it:
        assert (await it.chat("Hello?")).status_code == 200
        [found] = (await it.prewarm())["functions"]
        assert (found["environments"], found["cold"]) == (1, 0)


async def test_more_events_than_environments_end_all_the_same_and_say_so(shared):
    [found] = (await shared.prewarm({"environments": 3}))["functions"]
    assert (found["asked"], found["environments"]) == (3, 2)


async def test_what_does_not_answer_is_named(deploy):
    (port,) = free_ports(1)
    async with deploy(
        SUBSECOND_WARM_FUNCTIONS="streaming,nobody",
        SUBSECOND_UPSTREAM_URL=f"http://127.0.0.1:{port}/v1",
        SUBSECOND_UPSTREAM_RETRIES="0",
    ) as it:
        report = await it.prewarm()
        assert report["failed"] == ["upstream"]
        assert [one["failed"] for one in report["functions"]] == [{"upstream": 1}, {}]
        assert [one["errors"] for one in report["functions"]] == [{}, {"ResourceNotFoundException": 1}]


@pytest.mark.parametrize("number", ["abc", [3], 2.5])
async def test_an_order_that_makes_no_sense_is_told_in_words(shared, number):
    report = await shared.prewarm({"environments": number})
    assert report == {"error": f"environments: {number!r} is not a whole number"}


def listed(emulator, partition, bodies):
    s3 = stores_from_env({}, emulator["AWS_ENDPOINT_URL"], emulated=True).s3()
    s3.put_object(
        Bucket="subsecond-index",
        Key=f"prewarm/{partition}.jsonl",
        Body=b"\n".join(body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies),
    )
    s3.close()


async def test_a_list_of_prompts_is_asked_once_within_its_budget_and_a_user_then_hits(shared, emulator):
    listed(emulator, "local:default", BODIES)
    calls = shared.calls()
    [found] = (await shared.prewarm({"prompts": True}))["prompts"]
    assert (found["asked"], found["known"], found["failed"], found["left"]) == (3, 0, 0, 1)
    assert found["tokens"] > 0
    assert shared.calls() == calls + 3
    for n in range(3):
        assert "; hit; " in (await shared.chat(f"Common {n}?")).headers["cache-status"]
    [found] = (await shared.prewarm({"prompts": True}))["prompts"]
    # What is known costs nothing, so the budget reaches the rest.
    assert (found["asked"], found["known"], found["left"]) == (1, 3, 0)
    assert shared.calls() == calls + 4


async def test_the_budget_of_tokens_ends_a_list_too(deploy, emulator):
    listed(emulator, "local:t", [{**body, "seed": 7} for body in BODIES])
    async with deploy(1, SUBSECOND_WARM_PROMPTS="local:t", SUBSECOND_WARM_TOKENS="1") as it:
        [found] = (await it.prewarm({"prompts": True}))["prompts"]
        assert (found["asked"], found["left"]) == (1, 3)


async def test_a_list_that_is_not_there_does_not_keep_the_next_one_from_being_asked(deploy, emulator):
    listed(emulator, "local:there", [{**BODIES[0], "seed": 8}])
    async with deploy(1, SUBSECOND_WARM_PROMPTS="local:nowhere,local:there") as it:
        missing, found = (await it.prewarm({"prompts": True}))["prompts"]
    assert (missing["asked"], missing["left"]) == (0, 0)
    assert (found["asked"], found["left"]) == (1, 0)


async def test_a_line_that_is_no_json_fails_alone(deploy, emulator):
    listed(emulator, "local:odd", [b"{", b"[" * 100_000, {**BODIES[0], "seed": 9}])
    listed(emulator, "local:even", [{**BODIES[1], "seed": 9}])
    async with deploy(1, SUBSECOND_WARM_PROMPTS="local:odd,local:even") as it:
        odd, even = (await it.prewarm({"prompts": True}))["prompts"]
    assert (odd["asked"], odd["failed"], odd["left"]) == (1, 2, 0)
    assert (even["asked"], even["failed"]) == (1, 0)


async def test_a_prompt_that_a_user_is_asking_is_joined_and_not_asked_twice(shared):
    model = "sim-t3000-i0-n8-together"
    body = {"model": model, "messages": [{"role": "user", "content": "Together?"}]}
    await shared.prewarm({"environments": 2})
    asking = asyncio.create_task(shared.chat("Together?", model))
    while not shared.upstream.stats()["by_model"].get(model):  # noqa: ASYNC110 - there is no event across processes
        await asyncio.sleep(0.02)
    found = await shared.answered(body)
    assert (found["source"], found["tokens"], found["error"]) == ("coalesced", 0, None)
    assert (await asking).status_code == 200
    assert shared.upstream.stats()["by_model"][model] == 1


async def test_a_prompt_that_cannot_be_asked_is_told_and_costs_no_environment(shared):
    assert (await shared.answered({"messages": 5}))["error"] == "InvalidRequest"
    refused = {"model": "gpt-none", "messages": [{"role": "user", "content": "?"}]}
    assert (await shared.answered(refused))["error"] == "UpstreamError"


# The command line.

STORES = Stores(None, emulated=True, answers_table="answers", state_table="state", bucket="bucket")


async def test_the_command_warms_and_says_what_it_did(shared, tmp_path, capsys):
    note_run(tmp_path, STORES, f"{shared.host.url}/v1")
    options = argparse.Namespace(environments=2, prompts=False, stack_name=None, json=False)
    assert await asyncio.to_thread(prewarm_command.run, options, tmp_path) == 0
    assert "streaming: 2 of 2 environments warm" in capsys.readouterr().out
    options.json = True
    assert await asyncio.to_thread(prewarm_command.run, options, tmp_path) == 0
    [found] = json.loads(capsys.readouterr().out)["functions"]
    assert found["cold"] == 0


async def test_a_run_here_is_not_asked_for_more_than_it_starts(shared, tmp_path, capsys):
    note_run(tmp_path, STORES, f"{shared.host.url}/v1")
    options = argparse.Namespace(environments=50, prompts=False, stack_name=None, json=True)
    assert await asyncio.to_thread(prewarm_command.run, options, tmp_path) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["functions"][0]["asked"] == STREAMING_ENVIRONMENTS
    assert "at the most" in told.err


async def test_a_run_without_functions_is_told_in_words(tmp_path):
    (port,) = free_ports(1)
    note_run(tmp_path, STORES, f"http://127.0.0.1:{port}/v1")
    options = argparse.Namespace(environments=2, prompts=False, stack_name=None, json=False)
    with pytest.raises(LocalError, match="MODE=lambda"):
        await asyncio.to_thread(prewarm_command.run, options, tmp_path)


async def test_a_file_is_asked_into_the_cache(shared, tmp_path, capsys):
    file = tmp_path / "prompts.jsonl"
    file.write_text("\n".join(json.dumps({**body, "seed": 8}) for body in BODIES))
    options = argparse.Namespace(file=file, calls=3, tokens=10_000, url=shared.host.url, stack_name=None, json=True)
    for expected in ((3, 0, 1), (1, 3, 0)):
        run = asyncio.to_thread(prewarm_command.warm, options, tmp_path, {"SUBSECOND_API_KEY": KEY})
        assert await run == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["asked"], found["known"], found["left"]) == expected


# Frozen.


class Relay:
    """Loopback connections to a server, which it can close as a load balancer or a restart does. Servers take only what
    names their own port."""

    def __init__(self, port):
        self._port = port
        self._writers = set()
        self.tasks = set()
        self.opened = 0

    async def serve(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        self.opened += 1
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, back}
        await asyncio.gather(self._pump(reader, back, self.port), self._pump(there, writer, self._port))

    async def _pump(self, reader, writer, named):
        here, other = (b"127.0.0.1:%d\r\n" % port for port in (named, self._port))
        try:
            while data := await reader.read(65_536):
                writer.write(data.replace(here, other))
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    def hang_up(self, *, reset):
        for writer in self._writers:
            if reset and (sock := writer.get_extra_info("socket")) is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            writer.close()
        self._writers.clear()


@asynccontextmanager
async def relay(port):
    found = Relay(port)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        found.hang_up(reset=False)
        await asyncio.gather(*found.tasks)


def environment_of(it):
    """The process id of the one environment that serves requests."""
    for tasks in Path("/proc/self/task").glob("*/children"):
        for child in tasks.read_text().split():
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            if b"subsecond.lambda_runtime.runtime" in command:
                return int(child)
    raise AssertionError("there is none")


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_the_first_request_after_an_hours_freeze_succeeds(deploy, emulator, upstream, reset):
    # An hour frozen is: the process stood still, and both servers have closed every connection meanwhile.
    async with (
        relay(int(upstream.url.rpartition(":")[2])) as model,
        relay(int(emulator["AWS_ENDPOINT_URL"].rpartition(":")[2])) as tables,
        deploy(
            maximum=1,
            SUBSECOND_UPSTREAM_URL=f"http://127.0.0.1:{model.port}/v1",
            AWS_ENDPOINT_URL=f"http://127.0.0.1:{tables.port}",
        ) as it,
    ):
        assert (await it.chat(f"Before? {reset}")).status_code == 200
        opened = model.opened, tables.opened
        pid = environment_of(it)
        os.kill(pid, signal.SIGSTOP)
        model.hang_up(reset=reset)
        tables.hang_up(reset=reset)
        await asyncio.sleep(0.05)
        os.kill(pid, signal.SIGCONT)
        after = await it.chat(f"After? {reset}")
        assert (after.status_code, after.headers["cache-status"]) == (200, "subsecond; fwd=miss")
        again = await it.chat(f"After? {reset}")
        assert "; hit; " in again.headers["cache-status"]
        # The connections were new ones, so there was something to survive, and it was the same environment.
        assert model.opened > opened[0]
        assert tables.opened > opened[1]
        assert environment_of(it) == pid
        told = [line for line in it.lines() if line.get("message") == "request"]
        assert not [line["counts"] for line in told if any("_failed" in name for name in line.get("counts", {}))]


async def test_an_environment_restored_from_a_snapshot_answers_over_new_connections(deploy, upstream):
    async with (
        relay(int(upstream.url.rpartition(":")[2])) as model,
        deploy(1, snap_start=True, SUBSECOND_UPSTREAM_URL=f"http://127.0.0.1:{model.port}/v1") as it,
    ):
        assert (await it.chat("Restored?")).status_code == 200
        # One before the snapshot, to load what it takes, and another one for the request.
        assert model.opened == 2
        # The next one comes when this one's records are written.
        assert "; hit; " in (await it.chat("Restored?")).headers["cache-status"]
        [told, *_] = [line for line in it.lines() if line.get("message") == "request"]
        assert told["source"] == "upstream"
        assert not [name for name in told.get("counts", {}) if name.endswith("_failed")]
