"""What every keeper of rules promises. A new file in `invalidations/` is tested here the day it appears."""

import asyncio
import time

import pytest

from subsecond.aws.client import aws_of
from subsecond.config import Settings
from subsecond.model import Rule
from tests.support.adapters import engines, store

ADAPTERS = engines("invalidations")
# Whole seconds, which every store keeps exactly; the rules outlive the longest run of all tests.
NOW = float(int(time.time()))
LIFE = 3600.0


@pytest.fixture(params=ADAPTERS)
def invalidations(request):
    settings = Settings(store_threads=1)
    if request.param != "memory":
        request.getfixturevalue("aws_tables")
    yield store("invalidations", request.param, settings)
    aws_of(settings).close()


def rule(kind, value, before=NOW, expires=NOW + LIFE):
    return Rule(kind, value, before, expires)


async def kept(invalidations, partition="acme:prod"):
    found = await invalidations.rules(partition)
    return {(one.kind, one.value): (one.before, one.expires) for one in found}


def test_the_adapters_were_found():
    assert {"memory", "dynamodb"} <= set(ADAPTERS)


async def test_every_kind_comes_back_as_it_was_added(invalidations):
    assert await kept(invalidations) == {}
    added = [("namespace", ""), ("entry", "ab" * 32), ("scope", "cd" * 32), ("tag", "a:b/c#d"), ("model", "gpt é#4o")]
    for kind, value in added:
        # Later than the namespace's, which would take the place of the others.
        await invalidations.add("acme:prod", rule(kind, value, NOW - (kind == "namespace")))
    found = await kept(invalidations)
    assert set(found) == set(added)
    for (kind, _), dates in found.items():
        assert dates == pytest.approx((NOW - (kind == "namespace"), NOW + LIFE), abs=1e-5)


async def test_the_later_rule_wins_in_either_order(invalidations):
    for before in (NOW - 5, NOW - 1, NOW - 9):
        await invalidations.add("acme:prod", rule("tag", "a", before, before + LIFE))
    assert (await kept(invalidations))["tag", "a"] == pytest.approx((NOW - 1, NOW - 1 + LIFE), abs=1e-5)


async def test_rules_stay_within_their_partition(invalidations):
    await invalidations.add("acme:prod", rule("namespace", ""))
    for other in ("acme:prod2", "acme:test", "other:prod"):
        assert await kept(invalidations, other) == {}


async def test_many_rules_are_read_whole(invalidations):
    for n in range(150):
        await invalidations.add("acme:prod", rule("model", f"{n}-{'m' * 250}"))
    assert len(await kept(invalidations)) == 150


async def test_the_namespaces_rule_takes_the_place_of_older_ones_alone(invalidations):
    for kind, value, before in (("tag", "old", NOW - 9), ("entry", "e", NOW - 5), ("model", "m", NOW - 1)):
        await invalidations.add("acme:prod", rule(kind, value, before))
    await invalidations.add("acme:test", rule("tag", "old", NOW - 9))
    await invalidations.add("acme:prod", rule("namespace", "", NOW - 5))
    assert set(await kept(invalidations)) == {("namespace", ""), ("model", "m")}
    assert set(await kept(invalidations, "acme:test")) == {("tag", "old")}
    # A later one of the namespace replaces that, an earlier one nothing.
    await invalidations.add("acme:prod", rule("namespace", "", NOW - 7))
    assert (await kept(invalidations))["namespace", ""][0] == pytest.approx(NOW - 5, abs=1e-5)
    await invalidations.add("acme:prod", rule("namespace", "", NOW))
    assert set(await kept(invalidations)) == {("namespace", "")}


@pytest.mark.parametrize("fraction", [0.0000004, 0.0000006])
async def test_the_same_date_is_the_same_however_finely_it_is_kept(invalidations, fraction):
    date = float(int(NOW)) + fraction
    await invalidations.add("acme:prod", rule("tag", "t", date))
    await invalidations.add("acme:prod", rule("namespace", "", date))
    assert set(await kept(invalidations)) == {("namespace", "")}


async def test_a_later_date_of_one_that_is_being_subsumed_is_not_lost(invalidations):
    """Whichever of the two comes first."""
    for n in range(20):
        await invalidations.add("acme:prod", rule("tag", str(n), NOW - 9))
    later = [rule("tag", str(n), NOW) for n in range(20)]
    whole = rule("namespace", "", NOW - 5)
    await asyncio.gather(*(invalidations.add("acme:prod", one) for one in (*later[:10], whole, *later[10:])))
    found = await kept(invalidations)
    assert set(found) == {("namespace", ""), *(("tag", str(n)) for n in range(20))}
    assert all(before == pytest.approx(NOW, abs=1e-5) for place, (before, _) in found.items() if place[0] == "tag")


@pytest.mark.parametrize("invalidations", ["dynamodb"], indirect=True)
async def test_the_namespaces_rule_is_read_last(invalidations):
    """A table is read by and by: whoever comes too late for a rule that is deleted finds what took its place."""
    await invalidations.add("acme:prod", rule("tag", "zzz", NOW - 9))
    await invalidations.add("acme:prod", rule("scope", "s", NOW))
    await invalidations.add("acme:prod", rule("namespace", "", NOW - 20))
    assert [one.kind for one in await invalidations.rules("acme:prod")][-1] == "namespace"
