"""Who shares an answer with whom, over HTTP, and how one person's answers go."""

from dataclasses import replace

import pytest

from subsecond.bootstrap import gateway
from subsecond.model import Tenant
from subsecond.stores.memory.keys import MemoryKeys
from tests.support.cache_control import ASKED, PARAPHRASE, SETTINGS, TENANTS, answered, unstored


def served_with(served, **settings):
    made = gateway(replace(SETTINGS, **settings))
    return served(SETTINGS, gateway=replace(made, keys=MemoryKeys(TENANTS)))


@pytest.mark.parametrize(
    ("scope", "same", "other"),
    [("namespace", "exact", "exact"), ("user", "exact", "fwd=miss"), ("key", "exact", "exact")],
)
async def test_one_question_of_two_people(served, scope, same, other):
    client = await served_with(served, scope=scope)
    await client.chat(ASKED, user="ann")
    assert answered(await unstored(client, ASKED, user="ann")) == same
    assert answered(await unstored(client, ASKED, user="ben")) == other
    # Nor does a neighbour's answer climb the wall.
    assert answered(await unstored(client, PARAPHRASE, user="ben")) == ("semantic" if other == "exact" else other)


async def test_two_keys_of_a_namespace_share_unless_one_has_a_wall(served):
    made = gateway(SETTINGS)
    places = zip(TENANTS, ({}, {"scope": "key"}), strict=True)
    keys = {token: Tenant("acme", "n", f"k{at}", **own) for at, (token, own) in enumerate(places)}
    client = await served(SETTINGS, gateway=replace(made, keys=MemoryKeys(keys)))
    await client.chat(ASKED, key="sk-a")
    assert answered(await unstored(client, ASKED, key="sk-a")) == "exact"
    assert answered(await unstored(client, ASKED, key="sk-b")) == "fwd=miss"


@pytest.mark.parametrize("scope", ["namespace", "user"])
async def test_one_persons_answers_go_by_their_name(served, scope):
    client = await served_with(served, scope=scope)
    alone = {"subsecond": {"similar": False}}
    for name in ("ann", "ben"):
        await client.chat(f"I am {name}", user=name, **alone)
    seen = await client.post("/v1/cache/invalidate", {"by": "user", "value": "ann"})
    assert (seen.status, seen.json["by"], seen.json["matches"]) == (200, "tag", 1)
    assert answered(await unstored(client, "I am ann", user="ann", **alone)) == "fwd=miss"
    assert answered(await unstored(client, "I am ben", user="ben", **alone)) == "exact"


async def test_another_tenants_person_of_that_name_stays(served):
    client = await served_with(served)
    for key in ("sk-a", "sk-b"):
        await client.chat(ASKED, user="ann", key=key)
    await client.post("/v1/cache/invalidate", {"by": "user", "value": "ann"}, key="sk-a")
    assert answered(await unstored(client, ASKED, user="ann", key="sk-a")) == "fwd=miss"
    assert answered(await unstored(client, ASKED, user="ann", key="sk-b")) == "exact"


async def test_a_name_is_wanted(served):
    client = await served_with(served)
    seen = await client.post("/v1/cache/invalidate", {"by": "user", "value": ""})
    assert (seen.status, seen.json["error"]["param"]) == (400, "value")
