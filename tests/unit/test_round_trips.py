"""How many calls of the stores a request waits for, one after the other, before its first byte.

Each call takes one unit of a virtual clock and all else takes none, so the time of the first byte is the number. The
adapters are those in memory, behind that unit; each environment has memory of its own, as under AWS.
"""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from hashlib import sha256
from inspect import iscoroutinefunction

import pytest

from subsecond import bootstrap
from subsecond.aio.lazy import Lazy
from subsecond.cache.invalidation import Rules
from subsecond.model import Call, Head, Tenant
from subsecond.ports import Believed, Reply
from subsecond.semantic.index.reader import Reader
from subsecond.stages.authenticate import claim
from subsecond.stages.flight import Sharing
from subsecond.stats.trace import Step, Trace
from subsecond.stores.layered.answers import LayeredStore
from subsecond.stores.memory.answers import MemoryStore
from subsecond.stores.memory.invalidations import MemoryInvalidations
from subsecond.stores.memory.keys import MemoryKeys
from subsecond.stores.memory.leases import MemoryLeases
from subsecond.stores.memory.objects import MemoryObjects
from tests.support import virtual_time
from tests.support.clock import Clock
from tests.support.round_trips import KINDS
from tests.support.scripted import whole

UNIT = 0.001
TOKEN = "sk-test"
FIRST = "What is the capital of France?"


class Far:
    """A store whose every call takes a unit."""

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        call = getattr(self._store, name)
        if not iscoroutinefunction(call):
            return call

        async def waited(*args, **options):
            await asyncio.sleep(UNIT)
            return await call(*args, **options)

        return waited


class Known:
    """Keys that are believed once they were read, and read again with every request."""

    def __init__(self, keys):
        self._keys, self._known = keys, {}

    async def tenant(self, token_hash):
        self._known[token_hash] = await self._keys.tenant(token_hash)
        return self._known[token_hash]

    def believed(self, token_hash):
        known = self._known.get(token_hash)
        return known and Believed(known, sure=False)


class Model:
    """An upstream that answers at once."""

    async def ask(self, call):
        return Reply(whole(call.body["messages"][0]["content"]))


class Stack:
    """The stores that all environments share."""

    def __init__(self, settings, clock):
        self.settings, self.clock = settings, clock
        self.answers = MemoryStore(1 << 20)
        self.keys = MemoryKeys({sha256(TOKEN.encode()).hexdigest(): Tenant("acme", "prod", "laptop")})
        self.leases, self.rules, self.objects = MemoryLeases(), MemoryInvalidations(), MemoryObjects()

    def environment(self):
        made = bootstrap.gateway(self.settings)
        rules = Rules(Far(self.rules), 86_400.0, ticks=self.clock)
        semantic = bootstrap.semantic_cache(self.settings, rules)
        reader = Reader(Far(self.objects), semantic.embedder.id, semantic.embedder.dim, ticks=self.clock)
        lazy = Lazy(lambda: None)
        lazy.made = replace(semantic, reader=reader)
        return replace(
            made,
            keys=Known(Far(self.keys)),
            exact=LayeredStore(MemoryStore(1 << 20), Far(self.answers)),
            models=replace(made.models, upstream=Model()),
            rules=rules,
            sharing=Sharing.of(Far(self.leases), rules, self.settings),
            semantic=lazy,
        )


async def trips(gateway, text):
    """What answered, and the units until the first byte."""
    begun, trace = virtual_time.now(), Trace()
    found = await claim(gateway.keys, TOKEN, trace)
    call = Call("chat", "m", {"model": "m", "messages": [{"role": "user", "content": text}]})
    async with aclosing(gateway.complete(found.tenant, call, trace, found)) as events:
        head = await anext(events)
        took = round((virtual_time.now() - begun) / UNIT)
        async for _ in events:
            pass
    await bootstrap.settle(gateway)
    return head.source, took


def measured(settings, kind, *, known):
    """Asked in an environment that was idle for a while: everything it remembers is to be asked for again."""

    async def main():
        clock = Clock()
        stack = Stack(settings, clock)
        here, there = stack.environment(), stack.environment()
        await trips(here, FIRST)
        if known:
            await trips(there, "Something else?")
        await trips(here, "Anything else?")
        clock.now += 600
        asked = {
            "exact hit, same environment": (here, FIRST),
            "exact hit, another environment": (there, FIRST),
            "semantic hit": (here, FIRST.upper()),
            "lone miss": (there, "Who was Ada Lovelace?"),
        }
        return await trips(*asked[kind])

    return virtual_time.run(main())


SOURCES = {"semantic hit": "semantic", "lone miss": "upstream"}


@pytest.mark.parametrize("kind", KINDS)
def test_with_a_known_key_a_request_waits_for_so_many_calls(settings, kind):
    source, took = measured(replace(settings, semantic="threshold", embedder="hashing"), kind, known=True)
    assert (source, took) == (SOURCES.get(kind, "exact"), KINDS[kind])


@pytest.mark.parametrize(("kind", "calls"), [("exact hit, another environment", 2), ("lone miss", 3)])
def test_an_unknown_key_is_read_first(settings, kind, calls):
    source, took = measured(replace(settings, semantic="threshold", embedder="hashing"), kind, known=False)
    assert (source, took) == (SOURCES.get(kind, "exact"), calls)


@pytest.mark.parametrize("loads_first", [False, True], ids=["the answer ends first", "the tables are there first"])
def test_a_cold_environments_miss_waits_for_no_tables_and_stores_its_vector_all_the_same(settings, loads_first):
    async def main():
        stack = Stack(replace(settings, semantic="threshold", embedder="hashing"), Clock())
        cold = stack.environment()
        made = []
        lazy = Lazy(lambda: made.append(virtual_time.now()) or cold.semantic.made)
        gateway, trace = replace(cold, semantic=lazy), Trace()
        found = await claim(gateway.keys, TOKEN, trace)
        call = Call("chat", "m", {"model": "m", "messages": [{"role": "user", "content": FIRST}]})
        async with aclosing(gateway.complete(found.tenant, call, trace, found)) as events:
            assert isinstance(await anext(events), Head)
            assert made == []
            if loads_first:
                await lazy.get()
            async for _ in events:
                pass
        # What loading takes is no part of what a search is taken to cost.
        assert (len(made), trace.counts["semantic_cold"], Step.EMBED in trace.steps) == (1, 1, False)
        return await trips(gateway, FIRST.upper())

    assert virtual_time.run(main())[0] == "semantic"
