"""What every keeper of rules promises. A new file in `invalidations/` is tested here the day it appears."""

import pkgutil
import time
from importlib import import_module

import pytest

import subsecond.invalidations
from subsecond.aws import aws_of
from subsecond.config import Settings
from subsecond.model import Rule

ADAPTERS = [module.name for module in pkgutil.iter_modules(subsecond.invalidations.__path__)]
NOW = time.time()


@pytest.fixture(params=ADAPTERS)
def invalidations(request):
    settings = Settings(store_threads=1)
    if request.param != "memory":
        request.getfixturevalue("aws_tables")
    yield import_module(f"subsecond.invalidations.{request.param}").build(settings)
    aws_of(settings).close()


def rule(kind, value, before=NOW, expires=NOW + 60):
    return Rule(kind, value, before, expires)


async def kept(invalidations, partition="acme:prod"):
    found = await invalidations.rules(partition)
    return {(one.kind, one.value): (one.before, one.expires) for one in found}


def test_the_adapters_were_found():
    assert {"memory", "dynamodb"} <= set(ADAPTERS)


async def test_every_kind_comes_back_as_it_was_added(invalidations):
    assert await kept(invalidations) == {}
    added = [("entry", "ab" * 32), ("scope", "cd" * 32), ("namespace", ""), ("tag", "a:b/c#d"), ("model", "gpt é#4o")]
    for kind, value in added:
        await invalidations.add("acme:prod", rule(kind, value))
    found = await kept(invalidations)
    assert set(found) == set(added)
    assert all(dates == pytest.approx((NOW, NOW + 60), abs=1e-5) for dates in found.values())


async def test_the_later_rule_wins_in_either_order(invalidations):
    for before in (NOW - 5, NOW - 1, NOW - 9):
        await invalidations.add("acme:prod", rule("tag", "a", before, before + 100))
    assert (await kept(invalidations))["tag", "a"] == pytest.approx((NOW - 1, NOW + 99), abs=1e-5)


async def test_rules_stay_within_their_partition(invalidations):
    await invalidations.add("acme:prod", rule("namespace", ""))
    for other in ("acme:prod2", "acme:test", "other:prod"):
        assert await kept(invalidations, other) == {}


async def test_many_rules_are_read_whole(invalidations):
    for n in range(150):
        await invalidations.add("acme:prod", rule("model", f"{n}-{'m' * 250}"))
    assert len(await kept(invalidations)) == 150
