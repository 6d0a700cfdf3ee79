"""Several environments in one loop whose time is virtual: hours pass at once, and a wait for nothing is an error."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random

import pytest

from subsecond.bootstrap import gateway
from subsecond.config import Settings
from subsecond.errors import SubsecondError, UpstreamUnreachable
from subsecond.model import Call, Chunk, Done, Tenant
from subsecond.ports import Reply
from subsecond.stages.flight import Sharing
from subsecond.stats.trace import Trace
from subsecond.stores.memory.answers import MemoryStore
from subsecond.stores.memory.leases import MemoryLeases
from tests.support.scripted import ScriptedStream, piece, whole
from tests.support.virtual_time import Stuck, now, run

TENANT = Tenant("acme", "prod", "laptop")
WORDS = [f" word{n}" for n in range(8)]


@dataclass
class Environment:
    """A process: alive until it is killed; then nothing that it began is ever done."""

    name: str = "environment"
    dead: bool = False
    most: float = 0.0
    random: Random = field(default_factory=lambda: Random(1))

    async def trip(self):
        """One way to a store, or back."""
        if self.most:
            await asyncio.sleep(self.random.uniform(0, self.most))
        if self.dead:
            await asyncio.get_running_loop().create_future()


class Remote:
    """A store or the leases as an environment reaches them. `away`: it fails; `calls` are counted by name."""

    def __init__(self, inner, environment):
        self.inner = inner
        self.environment = environment
        self.away = False
        self.calls = []

    def __getattr__(self, name):
        async def call(*args, **named):
            self.calls.append(name)
            await self.environment.trip()
            if self.away:
                raise ConnectionError
            try:
                return await getattr(self.inner, name)(*args, **named)
            finally:
                await self.environment.trip()

        return call


class Line:
    """An environment's line to the model."""

    def __init__(self, model, environment):
        self.model = model
        self.environment = environment

    async def ask(self, call):
        self.model.asked.append(self.environment.name)
        return await self.model.ask(call)


class Model:
    """The upstream of all environments. The first `failures` calls fail before their first word, or after `after`."""

    def __init__(self, first=1.0, gap=0.1, failures=0, after=0, finish="stop", usage=None):
        self.first, self.gap, self.failures, self.after, self.finish = first, gap, failures, after, finish
        self.usage = usage
        self.error = UpstreamUnreachable("The model is away.")
        self.calls = self.running = self.most = self.closed = 0
        self.deadlines = []
        self.forms = []
        self.asked = []

    async def ask(self, call):
        self.calls += 1
        self.deadlines.append(call.deadline)
        self.forms.append(call.form)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.first)
            steps = list(self.steps(self.calls))
            if call.form == "stream":
                return ScriptedStream(steps, self.close)
            # A whole reply comes when a stream would have ended.
            stream = ScriptedStream(steps)
            while await stream.next():
                pass
        except BaseException:
            self.close()
            raise
        self.close()
        return Reply(whole("".join(WORDS), self.finish, self.usage))

    def steps(self, number):
        for at, word in enumerate(WORDS):
            if number <= self.failures and at >= self.after:
                yield self.error
                return
            yield piece(word)
            yield self.gap
        yield piece("", self.finish)
        if self.usage:
            yield json.dumps({"id": "c", "choices": [], "usage": self.usage}).encode()

    def close(self):
        self.running -= 1
        self.closed += 1


@dataclass
class Told:
    """What one client got, and when."""

    trace: Trace = field(default_factory=Trace)
    events: list = field(default_factory=list)
    times: list = field(default_factory=list)
    error: SubsecondError | None = None

    @property
    def head(self):
        return self.events[0]

    @property
    def done(self):
        return bool(self.events) and isinstance(self.events[-1], Done)

    @property
    def text(self):
        """Of the whole answer."""
        return self.events[-1].recording.text

    @property
    def streamed(self):
        chunks = [json.loads(event.data) for event in self.events if isinstance(event, Chunk)]
        return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"])


class World:
    """Environments that share a store, leases and a model."""

    def __init__(self, model=None, **settings):
        self.model = model or Model()
        self.store = MemoryStore(1 << 20)
        self.leases = MemoryLeases(now)
        self.settings = Settings(**{"upstream": "subsecond_local.simulator.adapter", "semantic": "off"} | settings)

    def environment(self, name="environment", most=0.0, random=None):
        """A gateway in a process of its own; its parts are at hand as `.environment`, `.store`, `.leases`."""
        made = gateway(self.settings)
        at = Environment(name, most=most, random=random or Random(1))
        store, leases = Remote(self.store, at), Remote(self.leases, at)
        sharing = Sharing.of(leases, made.rules, self.settings)
        return replace(
            made,
            exact=store,
            models=replace(made.models, upstream=Line(self.model, at)),
            sharing=sharing,
        ), at

    async def ask(self, made, text="Hello?", told=None, call=None, pace=0.0, tenant=TENANT, form="stream"):
        """One client's request, read to its end; `pace`: seconds that it takes for each event."""
        told = told or Told()
        body = {"model": "m", "messages": [{"role": "user", "content": text}]}
        call = call or Call("chat", "m", body, form=form)
        try:
            async with aclosing(made.complete(tenant, call, told.trace)) as events:
                async for event in events:
                    told.events.append(event)
                    told.times.append(now())
                    await asyncio.sleep(pace)
        except SubsecondError as error:
            told.error = error
        return told


@pytest.fixture(scope="session")
def worlds():
    """What the tests are made of: classes alone, so that one is right for every example of a hypothesis test."""

    class Parts:
        pass

    Parts.World, Parts.Model, Parts.Told, Parts.Stuck = World, Model, Told, Stuck
    Parts.virtually, Parts.now = staticmethod(partial(run, leaves_tasks=True, begins=0.0)), staticmethod(now)
    Parts.whole, Parts.tenant = "".join(WORDS), TENANT
    return Parts
