"""Many who ask the same at once, for real: over HTTP, over ministack's conditional writes, under the Lambda host.

The Lambda part kills the leader's environment again and again; `make soak` does that fifty times.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from contextlib import AsyncExitStack, aclosing, closing, suppress
from dataclasses import dataclass, field, replace
from random import Random

import pytest

from subsecond.aws.client import aws_of
from subsecond.bootstrap import gateway
from subsecond.config import Settings
from subsecond.model import Call, Done, Tenant
from subsecond.ports import Reply
from subsecond.stages.flight import Sharing
from subsecond.stats.trace import Trace
from subsecond_local.emulator.aws_emulator import create_stores
from subsecond_local.lambda_host import LambdaHost, UrlRoute
from subsecond_local.run.lambda_gateway import PREWARM, functions
from subsecond_local.run.stores import stores_from_env
from tests.support.processes import UNHURRIED
from tests.support.simulator import SimulatorProcess

KEY = "sk-test"
TENANT = Tenant("acme", "prod", "laptop")
# Seconds until whoever has no answer counts as hanging.
PATIENCE = 60
ENVIRONMENTS = 4
# Seconds of a lease that nobody shall lose, however long a busy machine lets its owner wait.
LONG = 30.0
TOKENS = 12


@pytest.fixture
def tables(emulator, monkeypatch):
    for name, value in emulator.items():
        monkeypatch.setenv(name, value)
    return emulator


# In one process, over HTTP.


async def test_two_hundred_clients_of_one_process_are_one_call_of_each_form_at_most(served, settings):
    made = gateway(settings)
    model = Counted(made.models.upstream)
    client = await served(gateway=replace(made, models=replace(made.models, upstream=model)))
    chat = [client.chat(model=f"sim-t100-i5-n{TOKENS}", stream=bool(n % 2)) for n in range(200)]
    found = await asyncio.wait_for(asyncio.gather(*chat), PATIENCE)
    # A stream joins a stream alone; a whole request may join either.
    assert model.calls in {1, 2}
    texts = {seen.text if n % 2 else seen.json["choices"][0]["message"]["content"] for n, seen in enumerate(found)}
    assert len(texts) == 1
    assert all(seen.done for seen in found[1::2])
    assert {seen.status for seen in found} == {200}


class Counted:
    """An upstream whose calls are counted. A call that is asked whole is answered once `open` is set, as it is."""

    def __init__(self, upstream):
        self._upstream = upstream
        self.calls = self.running = 0
        self.open = asyncio.Event()
        self.open.set()

    async def ask(self, call):
        self.calls += 1
        self.running += 1
        try:
            found = await self._upstream.ask(call)
            if isinstance(found, Reply):
                await self.open.wait()
        except BaseException:
            self.running -= 1
            raise
        if isinstance(found, Reply):
            self.running -= 1
            return found
        return CountedStream(found, self)

    async def fetch(self, path, body, deadline):
        return await self._upstream.fetch(path, body, deadline)


class CountedStream:
    """A stream that counts as running until it is closed."""

    def __init__(self, stream, counted):
        self._stream, self._counted = stream, counted
        self.headers = stream.headers
        self._open = True

    async def next(self):
        return await self._stream.next()

    def close(self):
        self._stream.close()
        self._counted.running -= self._open
        self._open = False


# Several gateways as environments, over ministack.


class Mortal:
    """A store or the leases of a process that can be killed: what it says then reaches nobody."""

    def __init__(self, inner):
        self._inner = inner
        self.dead = False

    def __getattr__(self, name):
        async def call(*args, **named):
            if self.dead:
                await asyncio.get_running_loop().create_future()
            return await getattr(self._inner, name)(*args, **named)

        return call


class Environment:
    """A gateway with threads, clients and memory of its own."""

    def __init__(self, number, lease):
        # Another number makes other settings, and so other clients.
        settings = Settings(
            upstream="subsecond_local.simulator.adapter",
            exact="layered",
            flights="dynamodb",
            lease_seconds=lease,
            lease_timeout=20.0,
            store_timeout=20.0,
            flush_interval=5.0 + number,
        )
        made = gateway(settings)
        self.aws = aws_of(settings)
        self.parts = Mortal(made.exact), Mortal(made.sharing.leases)
        sharing = Sharing.of(self.parts[1], made.rules, settings)
        self.model = Counted(made.models.upstream)
        self.gateway = replace(
            made, exact=self.parts[0], sharing=sharing, models=replace(made.models, upstream=self.model)
        )

    def kill(self):
        for part in self.parts:
            part.dead = True

    async def ask(self, text):
        """The answer's text and where it came from."""
        body = {"model": "m", "messages": [{"role": "user", "content": text}]}
        call = Call("chat", f"sim-t200-i10-n{TOKENS}", body)
        async with aclosing(self.gateway.complete(TENANT, call, Trace())) as events:
            async for event in events:
                last = event
        assert isinstance(last, Done)
        return json.loads(last.recording.payloads[0])["choices"][0]["message"]["content"]


@pytest.fixture
def environments(tables):
    """`environments(4)`: so many. lease: seconds until those of a dead one are taken over; whoever stands still for
    longer counts as dead, so it is short only where somebody dies."""
    made = []

    def make(count, lease=LONG):
        made.extend(Environment(number, lease) for number in range(count))
        return made

    yield make
    for environment in made:
        environment.aws.close()


def calls(environments):
    return sum(environment.model.calls for environment in environments)


async def test_two_hundred_in_four_environments_are_one_call(environments):
    made = environments(4)
    text = f"Two hundred? {time.time_ns()}"
    found = await asyncio.wait_for(asyncio.gather(*(made[n % 4].ask(text) for n in range(200))), PATIENCE)
    assert len(found) == 200
    assert len(set(found)) == 1
    assert calls(made) == 1


async def test_leaders_killed_at_random_moments_cost_one_call_each(environments):
    made = environments(5, lease=3.0)
    # Nobody's answer is there before the third one's death.
    for one in made:
        one.model.open.clear()
    chance = Random(7)
    text = f"Killed? {time.time_ns()}"
    tasks = {one: [asyncio.create_task(one.ask(text)) for _ in range(10)] for one in made}
    lost = []
    for _ in range(3):
        while not (leading := [one for one in tasks if one.model.running]):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        await asyncio.sleep(chance.uniform(0, 0.25))
        leading[0].kill()
        for task in tasks[leading[0]]:
            task.cancel()
        lost += tasks.pop(leading[0])
    for one in tasks:
        one.model.open.set()
    found = await asyncio.wait_for(asyncio.gather(*(task for left in tasks.values() for task in left)), PATIENCE)
    assert len(set(found)) == 1
    assert calls(made) == 1 + 3
    assert all(isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*lost, return_exceptions=True))


# The functions under the Lambda host.


@dataclass
class Seen:
    """What the clients of one question got."""

    whole: list[str] = field(default_factory=list)
    broken: list[bytes] = field(default_factory=list)


class Deployed:
    """The streaming function in ENVIRONMENTS environments, with a model server that counts."""

    def __init__(self, host, upstream, dynamodb, table):
        self.host = host
        self.upstream = upstream
        self.dynamodb = dynamodb
        self.table = table

    async def ask(self, text, model, seen, *, stream):
        """One client on a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", int(self.host.url.rpartition(":")[2]))
        with closing(writer):
            body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]}
            raw = json.dumps(body).encode()
            head = ("POST /v1/chat/completions HTTP/1.1", "host: localhost", f"authorization: Bearer {KEY}")
            writer.write(
                "\r\n".join((*head, "connection: close", f"content-length: {len(raw)}", "\r\n")).encode() + raw
            )
            try:
                answer = await reader.read()
            except ConnectionError as error:
                answer = repr(error).encode()
        note(answer, seen, stream=stream)

    async def warm(self):
        """Load in each environment what a first call loads: that may take as long as a lease lasts here."""
        await asyncio.gather(*(self.host.invoke("streaming", PREWARM) for _ in range(ENVIRONMENTS)))

    async def kill_leader(self, model, delay):
        """Kill the process of the environment that works on it, `delay` seconds after its call has begun. Whether it
        was there to be killed: it may have released its lease, or ended, since the table was read."""
        while self.upstream.stats()["by_model"].get(model, 0) == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.sleep(delay)
        found = self.dynamodb.scan(TableName=self.table, ConsistentRead=True)["Items"]
        latest = max((item for item in found if item["sk"]["S"] == "lease"), key=lambda item: float(item["until"]["N"]))
        pid = latest["owner"]["S"].partition("-")[0]
        if not pid:
            return False
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
            return True
        return False


def note(answer, seen, *, stream):
    """Sort an answer: whole or broken. Half an answer that looks whole is an error at once."""
    head, _, body = answer.partition(b"\r\n\r\n")
    payloads = whole_stream(body) if stream else whole_body(head, body)
    if payloads is None or not head.startswith(b"HTTP/1.1 200"):
        assert b"[DONE]" not in body
        seen.broken.append(answer[-300:])
        return
    choices = [choice for payload in payloads for choice in json.loads(payload)["choices"]]
    assert choices[-1]["finish_reason"] == "stop", body
    seen.whole.append(
        "".join((choice.get("delta") or choice.get("message") or {}).get("content") or "" for choice in choices)
    )


def whole_stream(body):
    """The chunks of a stream that was said to be done. Whoever dies after that, while it stores, took nothing away."""
    if not body.removesuffix(b"0\r\n\r\n").endswith(b"data: [DONE]\n\n\r\n"):
        return None
    events = [line.removeprefix(b"data: ") for line in body.split(b"\n") if line.startswith(b"data: {")]
    assert events
    return events


def whole_body(head, body):
    """The body behind its chunks' sizes, where the last chunk is there: a streamed URL has no length of its own."""
    found, rest = b"", body if b"transfer-encoding: chunked" in head.lower() else b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        if not (length := int(size, 16)):
            return [found]
        found, rest = found + rest[:length], rest[length + 2 :]
    return None


@pytest.fixture
async def deploy(tables, tmp_path):
    """`await deploy()`: the function in environments, with tables and a model server, all of its own. lease: as with
    `environments`."""
    async with AsyncExitStack() as cleaning:

        async def make(lease=LONG):
            own = f"{time.time_ns()}"
            environ = {
                **tables,
                **dict.fromkeys(("SUBSECOND_API_KEY", "SUBSECOND_UPSTREAM_KEY"), KEY),
                "SUBSECOND_ANSWERS_TABLE": f"answers-{own}",
                "SUBSECOND_STATE_TABLE": f"state-{own}",
                "SUBSECOND_UPSTREAM": "openai",
                "SUBSECOND_EXACT": "layered",
                "SUBSECOND_FLIGHTS": "dynamodb",
                "SUBSECOND_LEASE_SECONDS": str(lease),
                **UNHURRIED,
            }
            stores = stores_from_env(environ, tables["AWS_ENDPOINT_URL"], emulated=True)
            create_stores(stores)
            upstream = cleaning.enter_context(SimulatorProcess(key=KEY))
            output = cleaning.enter_context((tmp_path / own).open("wb"))
            environ["SUBSECOND_UPSTREAM_URL"] = upstream.base_url
            [streaming] = [function for function in functions(environ) if function.name == "streaming"]
            made = replace(streaming, minimum=ENVIRONMENTS, maximum=ENVIRONMENTS)
            dynamodb = cleaning.enter_context(closing(stores.dynamodb()))
            host = await cleaning.enter_async_context(LambdaHost([made], [UrlRoute("/", "streaming")], output=output))
            return Deployed(host, upstream, dynamodb, stores.state_table)

        yield make


async def test_two_hundred_clients_of_four_functions_are_one_call(deploy):
    deployed = await deploy()
    await deployed.warm()
    for stream in (False, True):
        seen = Seen()
        model = f"sim-t300-i10-n{TOKENS}-{time.time_ns()}"
        asked = [deployed.ask("At once?", model, seen, stream=stream) for _ in range(200)]
        await asyncio.wait_for(asyncio.gather(*asked), PATIENCE)
        assert (len(seen.whole), len(set(seen.whole)), seen.broken) == (200, 1, [])
        assert deployed.upstream.stats()["by_model"][model] == 1


@pytest.mark.parametrize(
    ("lanes", "rounds", "clients"),
    [(1, 2, 40), pytest.param(2, 30, 200, marks=pytest.mark.soak)],
    ids=["a-few", "fifty"],
)
async def test_leaders_whose_environments_are_killed(deploy, lanes, rounds, clients):
    """A round waits for the lease of the dead, which is most of its time: so lanes run side by side."""
    made = [await deploy(lease=4.0) for _ in range(lanes)]
    killed = await asyncio.gather(*(kill_leaders(one, rounds, clients, Random(at)) for at, one in enumerate(made)))
    # Some had released their lease in time.
    assert sum(killed) >= lanes * rounds // 2


async def kill_leaders(deployed, rounds, clients, chance):
    """A question by many clients in each round, whose leader is killed; how many were there to be killed."""
    killed = 0
    for number in range(rounds):
        await deployed.warm()
        seen = Seen()
        # Twice as long as until its death.
        model, stream = f"sim-t300-i100-n{TOKENS}-k{number}-{time.time_ns()}", chance.random() < 0.5
        asked = [deployed.ask("Killed?", model, seen, stream=stream) for _ in range(clients)]
        death = deployed.kill_leader(model, chance.uniform(0, 0.75))
        was_killed, *_ = await asyncio.wait_for(asyncio.gather(death, *asked), PATIENCE)
        killed += was_killed
        assert len(seen.broken) <= was_killed, seen.broken
        assert len(seen.whole) + len(seen.broken) == clients
        assert len(set(seen.whole)) == 1
        assert deployed.upstream.stats()["by_model"][model] <= 1 + was_killed
    return killed
