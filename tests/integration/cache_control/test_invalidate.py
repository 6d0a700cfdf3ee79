"""Invalidate: by one gateway, and seen by another one over the same tables."""

import asyncio
import time

import pytest

from subsecond.api.cache_operations import MOST_RULES
from subsecond.cache.invalidation import EVERY
from subsecond.model import Rule
from tests.support.cache_control import (
    ANOTHER,
    ASKED,
    MODEL,
    PARAPHRASE,
    answered,
    unstored,
)


@pytest.mark.parametrize(
    ("gateways", "by"),
    [("memory", by) for by in ("entry", "scope", "namespace", "tag", "model")]
    + [("tables", "entry"), ("tables", "tag")],
    indirect=["gateways"],
)
async def test_what_was_invalidated_is_seen_by_another_environment_within_the_gap(pair, by):
    await pair.here.chat(ASKED, subsecond={"tags": ["accounts"]})
    _, key = await pair.teach()
    kept = await pair.here.chat("Why is the sky blue?", model=f"{MODEL}-a", temperature=0.5)
    assert answered(await unstored(pair.there, ASKED)) == "exact"  # and is in its memory now
    assert answered(await unstored(pair.there, PARAPHRASE)) == "semantic"
    explained = (await pair.here.send("GET", f"/v1/cache/explain?entry={key}")).json
    values = {"entry": key, "scope": explained["scope"], "namespace": "", "tag": "accounts", "model": MODEL}
    seen = (await pair.here.post("/v1/cache/invalidate", {"by": by, "value": values[by]})).json
    assert seen["deleted"] is (by == "entry")
    assert seen["everywhere_within_s"] == EVERY
    await pair.gap()
    for client in (pair.here, pair.there):
        assert answered(await unstored(client, ASKED)) == "fwd=miss"
        assert answered(await unstored(client, PARAPHRASE)) == "fwd=miss"
    # What it does not speak of stays.
    assert kept.status == 200
    other = await pair.there.chat("Why is the sky blue?", model=f"{MODEL}-a", temperature=0.5)
    assert answered(other) == ("fwd=miss" if by == "namespace" else "exact")
    # A new answer is served again, by both.
    await pair.here.chat(ASKED, subsecond={"tags": ["accounts"]})
    for client in (pair.here, pair.there):
        assert answered(await unstored(client, ASKED)) == "exact"
        assert answered(await unstored(client, PARAPHRASE)) == ("semantic" if client is pair.here else "fwd=miss")


async def test_a_dry_run_counts_and_changes_nothing(pair):
    _, key = await pair.teach()
    await pair.here.chat(ANOTHER, subsecond={"similar": False})
    scope = (await pair.here.send("GET", f"/v1/cache/explain?entry={key}")).json["scope"]

    async def tried(by, value="", **fields):
        seen = await pair.here.post("/v1/cache/invalidate", {"by": by, "value": value, "dry_run": True, **fields})
        assert seen.json["dry_run"] is True
        assert "deleted" not in seen.json
        return seen.json["matches"], seen.json["accuracy"]

    assert await tried("entry", key) == (1, "exact")
    assert await tried("entry", key, before=time.time() - 3600) == (0, "exact")
    assert await tried("entry", "ab" * 32) == (0, "exact")
    assert await tried("scope", scope) == (1, "at_least")
    assert await tried("scope", scope, before=time.time() - 3600) == (0, "at_least")
    assert await tried("namespace") == (2, "estimate")
    assert await tried("tag", "x") == (0, "at_least")
    assert await tried("model", MODEL) == (2, "at_least")
    await pair.gap()
    for client in (pair.here, pair.there):
        assert answered(await unstored(client, ASKED)) == "exact"


async def test_only_what_is_older_than_the_date_goes(pair):
    _, key = await pair.teach()
    before = time.time() - 3600
    await pair.here.post("/v1/cache/invalidate", {"by": "entry", "value": key, "before": before})
    assert answered(await unstored(pair.here, ASKED)) == "exact"
    future = await pair.here.post("/v1/cache/invalidate", {"by": "namespace", "before": time.time() + 3600})
    assert (future.status, future.json["error"]["param"]) == (400, "before")


class Told:
    """Invalidations that say when they are read: a request is under way then."""

    def __init__(self, inner, asked):
        self.add, self._inner, self._asked = inner.add, inner, asked

    async def rules(self, partition):
        self._asked.set()
        return await self._inner.rules(partition)


async def test_an_answer_under_way_is_invalidated_with_the_rest(pair):
    slow = "sim-t200-i0-n8"
    asked = asyncio.Event()
    pair.gateways[1].rules._store = Told(pair.gateways[1].rules._store, asked)
    asking = asyncio.create_task(pair.there.chat("Under way?", model=slow))
    await asked.wait()
    await pair.here.post("/v1/cache/invalidate", {"by": "namespace"})
    await asking
    await pair.gap()
    for client in (pair.here, pair.there):
        assert answered(await unstored(client, "Under way?", model=slow)) == "fwd=miss"


async def test_many_invalidated_neighbours_do_not_hide_a_valid_one(pair):
    made = pair.gateways[0]
    _, key = await pair.teach()
    scope = (await pair.here.send("GET", f"/v1/cache/explain?entry={key}")).json["scope"]
    similar = await made.semantic.get()
    (vector,) = await similar.embedder.embed([PARAPHRASE])
    old = time.time() - 100
    for n in range(40):
        similar.reader.add("a:n", f"{n:064x}", scope, old, time.time() + 600, vector)
    await pair.here.post("/v1/cache/invalidate", {"by": "scope", "value": scope, "before": time.time() - 50})
    assert answered(await unstored(pair.here, PARAPHRASE)) == "semantic"


async def test_past_the_bound_of_rules_the_namespace_can_still_be_invalidated(pair):
    await pair.here.chat(ASKED)
    rules = pair.gateways[0].rules
    rules._learn(rules._known("a:n"), [Rule("tag", str(n), time.time(), time.time() + 600) for n in range(MOST_RULES)])
    seen = await pair.here.post("/v1/cache/invalidate", {"by": "tag", "value": "new"})
    assert (seen.status, seen.json["error"]["code"]) == (400, "too_many_rules")
    assert "Invalidate the namespace" in seen.json["error"]["message"]
    assert (await pair.here.post("/v1/cache/invalidate", {"by": "tag", "value": "7"})).status == 200
    assert (await pair.here.post("/v1/cache/invalidate", {"by": "namespace"})).status == 200
    await pair.gap()
    for client in (pair.here, pair.there):
        assert answered(await unstored(client, ASKED)) == "fwd=miss"
    assert (await pair.here.post("/v1/cache/invalidate", {"by": "tag", "value": "new"})).status == 200
