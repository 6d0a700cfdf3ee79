"""What parts two flights of one key: each part of their identity alone."""

import asyncio
import time
from dataclasses import replace

import pytest

from subsecond.cache.end_user import user_tag
from subsecond.cache.key import prepare
from subsecond.model import CacheRules, Call, Rule

TEXT = "Passages: one, two. Question: How do I pay? Or when?"
BODY = {"model": "m", "messages": [{"role": "user", "content": TEXT}]}
CALL = Call("chat", "m", BODY, CacheRules(tags=("a", "b")), compared="How do I pay?", context="v1")


async def aloft(worlds, first, second, rule=None):
    """How many calls to the model fly after `second`, which comes while `first` is under way, after the rules."""
    world = worlds.World()
    made, _ = world.environment()
    asking = [asyncio.create_task(world.ask(made, call=first))]
    await asyncio.sleep(0.5)  # the first word comes after 1.0
    for one in rule or ():
        await made.rules.add(worlds.tenant.partition, one)
    asking.append(asyncio.create_task(world.ask(made, call=second)))
    await asyncio.sleep(0.1)
    flying = len(made.sharing.flights)
    await asyncio.gather(*asking)
    return flying


@pytest.mark.parametrize(
    "change",
    [
        {"context": "v2"},
        {"compared": "Or when?"},
        {"rules": CacheRules(tags=("a",))},
        {"rules": CacheRules(tags=("a", "b"), similarity=0.9)},
        {"rules": CacheRules(tags=("a", "b"), similar=False)},
        {"rules": CacheRules(tags=("a", "b"), ttl=9.0)},
        {"rules": CacheRules(tags=("a", "b"), max_age=99.0)},
    ],
    ids=str,
)
def test_who_would_not_get_the_same_does_not_join(worlds, change):
    other = replace(CALL, **change)
    assert prepare(other, worlds.tenant).key == prepare(CALL, worlds.tenant).key
    assert worlds.virtually(aloft(worlds, CALL, CALL)) == 1
    assert worlds.virtually(aloft(worlds, CALL, other)) == 2


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize(("one", "other", "calls"), [("flex", "flex", 1), ("flex", "priority", 2), ("flex", None, 2)])
def test_nobody_waits_for_a_slower_tier(worlds, across, one, other, calls):
    """The tier is no part of the key where the upstream's reference says what it does, and parts flights all the same:
    in one process, and at the lease."""

    async def story():
        world = worlds.World(upstream_kind="openai")
        made, _ = world.environment()
        second = world.environment("e2")[0] if across else made
        tiers = [replace(CALL, body={**BODY, **({"service_tier": tier} if tier else {})}) for tier in (one, other)]
        assert len({made.keying.prepare(call, worlds.tenant) for call in tiers}) == 1
        await asyncio.gather(world.ask(made, call=tiers[0]), world.ask(second, call=tiers[1]))
        return world.model.calls

    assert worlds.virtually(story()) == calls


def named(worlds):
    prompt = prepare(CALL, worlds.tenant)
    return {"namespace": "", "scope": prompt.scope, "entry": prompt.key, "tag": "b", "model": "m-2026-01-01"}


def dated(kind, value, before):
    return Rule(kind, value, before, before + 9e6)


@pytest.mark.parametrize("kind", ["namespace", "scope", "entry", "tag", "model"])
def test_whatever_an_answer_can_be_invalidated_by_parts_flights(worlds, kind):
    """Also by the answer's model name, which is known only when the answer is there."""
    rule = dated(kind, named(worlds)[kind], time.time())
    assert worlds.virtually(aloft(worlds, CALL, CALL, [rule])) == 2


def test_an_invalidated_persons_call_under_way_is_not_joined(worlds):
    """Its answer is dated before the rule: whoever joined it would get what has just been deleted."""
    asked = replace(CALL, body={**BODY, "user": "ann"})
    rules = {name: dated("tag", user_tag(worlds.tenant, name), time.time()) for name in ("ann", "ben")}
    assert worlds.virtually(aloft(worlds, asked, asked, [rules["ann"]])) == 2
    assert worlds.virtually(aloft(worlds, asked, asked, [rules["ben"]])) == 1


@pytest.mark.parametrize("kind", ["scope", "entry", "tag"])
def test_what_speaks_of_something_else_parts_nobody(worlds, kind):
    assert worlds.virtually(aloft(worlds, CALL, CALL, [dated(kind, "other", time.time())])) == 1


@pytest.mark.parametrize("first", ["namespace", "scope", "entry", "tag", "model"])
@pytest.mark.parametrize("second", ["namespace", "scope", "entry", "tag", "model"])
def test_a_second_invalidation_parts_again(worlds, first, second):
    async def story():
        world = worlds.World()
        made, _ = world.environment()
        asking = []
        for kind in (None, first, second):
            if kind:
                await made.rules.add(worlds.tenant.partition, dated(kind, named(worlds)[kind], time.time()))
            asking.append(asyncio.create_task(world.ask(made, call=CALL)))
            await asyncio.sleep(0.1)
        flying = len(made.sharing.flights)
        await asyncio.gather(*asking)
        return flying

    assert worlds.virtually(story()) == 3
