"""Reports and invalidations over stores in memory."""

import asyncio
import time
from dataclasses import replace

import pytest

from subsecond.api import cache_operations as control
from subsecond.api.cache_operations import MOST_RULES
from subsecond.bootstrap import gateway
from subsecond.cache.false_hits import MOST
from subsecond.cache.invalidation import EVERY, SLACK
from subsecond.config import Settings
from subsecond.errors import InvalidRequest
from subsecond.model import Entry, Prompt, Recording, Rule, Tenant
from subsecond.stats.trace import Trace
from subsecond.stores.memory.answers import MemoryStore

TENANT = Tenant("acme", "prod", "laptop")
PARTITION = TENANT.partition
KEY, OTHER = "ab" * 32, "cd" * 32


class Counted(MemoryStore):
    reports = 0

    async def report(self, partition, key, digest, *, wrong):
        self.reports += 1
        await super().report(partition, key, digest, wrong=wrong)


@pytest.fixture
def made():
    settings = Settings(
        upstream="subsecond_local.simulator.adapter", semantic="off", ttl=600.0, ttl_rules="tag:long=7200"
    )
    return replace(gateway(settings), exact=Counted(1 << 20))


async def store(made, key=KEY, age=1.0, **fields):
    now = time.time()
    recording = Recording("whole", (b"{}",), "stop", "m-2026")
    entry = Entry(PARTITION, Prompt(key, "s", "?"), recording, now - age, now - age + 600, model="m", **fields)
    await made.exact.put(entry)
    return entry


async def invalidate(made, kind, value="", before=None, *, dry_run=False):
    return await control.invalidate(made, TENANT, kind, value, before, dry_run=dry_run)


async def fill(made, kind):
    """With rules that cover nothing here."""
    old = [Rule(kind, f"old{n}", time.time(), time.time() + 600) for n in range(MOST_RULES)]
    for rule in old[:-1]:
        await made.rules._store.add(PARTITION, rule)
    await made.rules.add(PARTITION, old[-1])  # which reads them all


async def served(made, key=KEY):
    entry = await made.exact.get(PARTITION, key, "whole")
    return entry is not None and await made.rules.allow(entry, Trace())


async def test_a_namespace_can_be_invalidated_however_many_rules_there_are_and_makes_room(made):
    await store(made)
    await fill(made, "tag")
    with pytest.raises(InvalidRequest, match="Invalidate the namespace") as refused:
        await invalidate(made, "tag", "new")
    assert refused.value.code == "too_many_rules"
    assert await served(made)
    # What is there already may have another date.
    await invalidate(made, "tag", "old7")
    await invalidate(made, "namespace")
    assert not await served(made)
    assert len(await made.rules._store.rules(PARTITION)) == 1
    await store(made, age=-1.0, tags=("new",))
    await invalidate(made, "tag", "new", before=time.time())
    assert await served(made)
    assert len(made.rules.in_force(PARTITION)) == 2


async def test_an_entry_can_be_invalidated_when_no_tag_can_any_more(made):
    await store(made)
    await fill(made, "tag")
    found = await invalidate(made, "entry", KEY)
    assert (found["deleted"], found["everywhere_within_s"]) == (True, EVERY)
    assert ("entry", KEY) in made.rules.in_force(PARTITION)


async def test_without_room_for_its_rule_an_entry_is_deleted_all_the_same(made):
    await store(made)
    await fill(made, "entry")
    found = await invalidate(made, "entry", KEY)
    assert found["deleted"]
    assert not await served(made)
    # Another environment may have it in its memory until its end.
    assert 590 < found["everywhere_within_s"] <= 600
    # Nothing can be promised where nothing could be deleted: one that may be under way, one that was reported.
    await store(made)
    await made.exact.report(PARTITION, KEY, "d1", wrong=True)
    for key in (KEY, OTHER):
        with pytest.raises(InvalidRequest, match="Invalidate the namespace"):
            await invalidate(made, "entry", key)
    assert (await made.exact.get(PARTITION, KEY, "whole")).false_hits == {"d1"}
    await invalidate(made, "tag", "t")


async def test_a_narrower_rule_that_the_namespaces_says_already_takes_no_room(made):
    await store(made)
    date = time.time()
    await invalidate(made, "namespace", before=date)
    for n in range(3):
        await invalidate(made, "tag", f"t{n}", before=date - n)
    assert set(made.rules.in_force(PARTITION)) == {("namespace", "")}
    assert (await invalidate(made, "entry", KEY, before=date))["deleted"]
    await fill(made, "tag")  # later than the namespace's
    await invalidate(made, "tag", "new", before=date)
    assert ("tag", "new") not in made.rules.in_force(PARTITION)


async def test_a_rule_lives_as_long_as_an_answer_can(made):
    entry = await store(made)
    date = time.time()
    for kind, value in (("entry", entry.prompt.key), ("entry", OTHER), ("tag", "t"), ("namespace", "")):
        await invalidate(made, kind, value, before=date - (kind == "namespace"))
    for rule in made.rules.in_force(PARTITION).values():
        assert rule.expires - rule.before == pytest.approx(7200 + SLACK)


async def test_two_invalidations_at_once_are_both_in_force(made):
    await asyncio.gather(invalidate(made, "namespace"), *(invalidate(made, "tag", f"t{n}") for n in range(9)))
    date = made.rules.date(PARTITION, "namespace", "")
    await store(made, age=time.time() - date, tags=("t8",))
    assert not await served(made)


async def test_what_a_dry_run_by_tag_or_model_knows_is_counted(made):
    await store(made, tags=("a", "b"))
    await store(made, OTHER, tags=("b",))
    for kind, value, many in (
        ("tag", "a", 1),
        ("tag", "b", 2),
        ("tag", "none", 0),
        ("model", "m", 2),
        ("model", "m-2026", 2),
        ("model", "none", 0),
        ("scope", "s", 2),
    ):
        found = await invalidate(made, kind, value, dry_run=True)
        assert (found["matches"], found["accuracy"]) == (many, "at_least"), (kind, value)
    assert (await invalidate(made, "tag", "b", before=time.time() - 60, dry_run=True))["matches"] == 0
    await invalidate(made, "tag", "a")
    assert (await invalidate(made, "tag", "b", dry_run=True))["matches"] == 1
    assert await served(made, OTHER)


async def report(made, asked, *, wrong=True):
    found = await control.report(made, TENANT, KEY, asked, Trace(), wrong=wrong)
    return found["changed"], found["negatives"]


async def test_a_report_is_written_where_it_changes_something_and_there_is_room(made):
    await store(made)
    assert await report(made, "d0", wrong=False) == (False, 0)
    for n in range(MOST):
        assert await report(made, f"d{n}") == (True, n + 1)
        assert await report(made, f"d{n}") == (False, n + 1)
    assert made.exact.reports == MOST
    assert await report(made, "more") == (True, MOST)
    assert made.exact.reports == MOST
    assert len((await made.exact.get(PARTITION, KEY, "whole")).false_hits) == MOST
    # A full one still gives a report back.
    assert await report(made, "d5", wrong=False) == (True, MOST - 1)
    assert "d5" not in (await made.exact.get(PARTITION, KEY, "whole")).false_hits
