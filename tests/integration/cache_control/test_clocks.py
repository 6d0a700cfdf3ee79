"""A time in the system text, over HTTP: what it costs is told, and it is masked where the owner says so."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from subsecond.bootstrap import gateway
from subsecond.stores.memory.keys import MemoryKeys
from tests.support.cache_control import ASKED, SETTINGS, TENANTS, answered, chat


def timed(seconds=0, words="You are brief. Current time: {}"):
    """Messages with a time of asking that is a little old."""
    now = datetime.now(UTC) - timedelta(seconds=seconds)
    system = {"role": "system", "content": words.format(now.isoformat())}
    return {"messages": [system, {"role": "user", "content": ASKED}]}


async def test_by_default_such_misses_are_counted_and_explained(served):
    client = await served(SETTINGS)
    for seconds in (3, 2, 1):
        assert answered(await client.chat(**timed(seconds))) == "fwd=miss"
    await client.chat("Why is the sky blue?", messages=chat("Why is the sky blue?")["messages"])
    stats = (await client.send("GET", "/v1/cache/stats")).json
    assert stats["clocks"] == {"misses": 2, "share_of_misses": 0.5, "at": {"end": 3}}
    found = (await client.post("/v1/cache/explain", chat(ASKED) | timed())).json
    (here,) = found["clocks"]["here"]
    assert (here["where"], here["place"], found["clocks"]["masked"]) == ("messages[0]", "end", False)
    assert found["clocks"]["share_of_misses"] == 0.5
    assert found["reasons"][0].startswith("a time that is now stands in messages[0], characters 40 to ")
    assert found["parted"]["fields"] == ["messages (system text)"]


async def test_where_the_owner_says_so_the_time_is_masked(served):
    client = await served(replace(SETTINGS, volatile="clock"))
    assert answered(await client.chat(**timed(2))) == "fwd=miss"
    hit = await client.chat(**timed(1))
    assert answered(hit) == "exact"
    assert 3_500 < int(hit.headers["cache-status"].partition("ttl=")[2].partition(";")[0]) <= 3_600
    stats = (await client.send("GET", "/v1/cache/stats")).json
    assert stats["clocks"]["misses"] == 0
    assert (await client.post("/v1/cache/explain", chat(ASKED) | timed())).json["clocks"]["masked"]
    other = await client.chat(**timed(1, "You are long. Current time: {}"))
    assert answered(other) == "fwd=miss"


async def test_a_key_can_have_it_alone(served):
    keys = {
        token: replace(tenant, volatile=word)
        for (token, tenant), word in zip(TENANTS.items(), ("clock", ""), strict=True)
    }
    client = await served(SETTINGS, gateway=replace(gateway(SETTINGS), keys=MemoryKeys(keys)))
    for key, then in (("sk-a", "exact"), ("sk-b", "fwd=miss")):
        await client.chat(**timed(2), key=key)
        assert answered(await client.chat(**timed(1), key=key)) == then
