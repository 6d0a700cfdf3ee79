"""How many generators an event passes between the upstream's socket and the client's: each one is another place to
read, and another that may be left unclosed."""

import gc
import inspect
import json
from contextlib import _AsyncGeneratorContextManager, aclosing
from pathlib import Path

import pytest

import subsecond
from subsecond.model import CacheRules, Call
from subsecond.stats.trace import Trace

OURS = str(Path(subsecond.__file__).parent)
BODY = {"model": "m", "messages": [{"role": "user", "content": "Hello?"}]}


def under_way():
    """The package's generators, without those that only hold something (`place`)."""
    alive = [one for one in gc.get_objects() if inspect.isasyncgen(one) and one.ag_frame]
    held = {id(one.gen) for one in gc.get_objects() if isinstance(one, _AsyncGeneratorContextManager)}
    return [one for one in alive if one.ag_code.co_filename.startswith(OURS) and id(one) not in held]


@pytest.fixture(autouse=True)
def nothing_but_its_own():
    """What other tests have left is looked through no more: hundreds of thousands of objects at each event, which made
    these seven tests a tenth of all tests' time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def counted(worlds, form="whole", rules=None, times=1, **settings):
    """The most generators at once: when the model is asked, and when a client has the first events. times: that often
    is it asked, and the last time is what counts."""

    def passed():
        return [one.__qualname__ for one in under_way()]

    async def story():
        world = worlds.World(**settings)
        made, _ = world.environment()
        if made.models.routed:
            made.models.routed.upstreams[""] = made.models.upstream
        seen, ask = [], world.model.ask

        async def counting(call):
            seen.append(passed())
            return await ask(call)

        world.model.ask = counting
        call = Call("chat", "m", BODY, rules or CacheRules(), form=form)
        for _ in range(times):
            seen.clear()
            async with aclosing(made.complete(worlds.tenant, call, Trace())) as events:
                seen.extend([passed() async for _ in events])
        return sorted(max(seen, key=len))

    return worlds.virtually(story())


@pytest.mark.parametrize("form", ["whole", "stream"])
def test_a_miss_passes_four_generators(worlds, form):
    assert counted(worlds, form) == ["Gateway._led", "Gateway._shared", "Gateway.complete", "Models.ask"]


@pytest.mark.parametrize("form", ["whole", "stream"])
def test_who_shares_with_nobody_passes_three(worlds, form):
    found = counted(worlds, form, CacheRules(coalesce=False))
    assert found == ["Gateway._led", "Gateway.complete", "Models.ask"]


def test_with_a_catalogue_there_are_five(worlds):
    catalogue = {"models": [{"name": "m", "tier": "fast", "price_in": 0.1, "price_out": 0.4}]}
    found = counted(worlds, "stream", catalogue=json.dumps(catalogue))
    routed = ["Models.ask_chosen", "OpenAnswer.events"]
    assert found == ["Gateway._led", "Gateway._shared", "Gateway.complete", *routed]


@pytest.mark.parametrize("form", ["whole", "stream"])
def test_a_hit_passes_two(worlds, form):
    assert counted(worlds, form, times=2) == ["Gateway.complete", "served"]
