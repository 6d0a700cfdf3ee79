"""What was invalidated is not served, and the rules are asked seldom."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.cache.invalidation import EVERY, REMEMBERED, SLACK, Rules
from subsecond.model import Entry, Prompt, Recording, Rule
from subsecond.stats.trace import Trace
from subsecond.stores.memory.invalidations import MemoryInvalidations
from tests.support.clock import Clock

PARTITION = "acme:prod"
LIFE = 10_000.0


class Counted(MemoryInvalidations):
    """Counts its reads; can be away, or hang."""

    def __init__(self):
        super().__init__()
        self.reads = 0
        self.away = False
        self.free = asyncio.Event()
        self.free.set()

    async def rules(self, partition):
        self.reads += 1
        found = await super().rules(partition)
        await self.free.wait()
        if self.away:
            raise ConnectionError("no such host")
        return found


@pytest.fixture
def clock():
    return Clock(1_000.0)


@pytest.fixture
def store():
    return Counted()


@pytest.fixture
def rules(store, clock):
    return Rules(store, LIFE, clock=clock, ticks=clock)


def made(created=10.0, key="k", scope="s", tags=("t1", "t2"), model="alias", dated="alias-2026"):
    recording = Recording("whole", (b"{}",), "stop", dated)
    return Entry(PARTITION, Prompt(key, scope, "?"), recording, created, 9e9, tags=tags, model=model)


COVERING = [
    ("entry", "k"),
    ("scope", "s"),
    ("namespace", ""),
    ("tag", "t2"),
    ("model", "alias"),
    ("model", "alias-2026"),
]


@pytest.mark.parametrize(("kind", "value"), COVERING)
async def test_a_rule_covers_what_was_made_until_its_date(rules, kind, value):
    assert await rules.allow(made(), Trace())
    await rules.add(PARTITION, Rule(kind, value, 10.0, 9e9))
    assert not await rules.allow(made(created=10.0), Trace())
    assert not await rules.allow(made(created=9.0), Trace())
    assert await rules.allow(made(created=10.1), Trace())


@pytest.mark.parametrize(
    ("kind", "value"), [("entry", "x"), ("scope", "k"), ("tag", "t"), ("tag", ""), ("model", "alias-2027")]
)
async def test_a_rule_covers_nothing_else(rules, kind, value):
    await rules.add(PARTITION, Rule(kind, value, 10.0, 9e9))
    assert await rules.allow(made(), Trace())


async def test_the_store_is_asked_at_most_once_in_a_while_for_each_partition(rules, store, clock):
    for _ in range(5):
        await asyncio.gather(*(rules.allow(made(), Trace()) for _ in range(20)))
    assert store.reads == 1
    clock.now += EVERY
    await rules.allow(made(), Trace())
    assert store.reads == 2


async def test_another_environments_rule_is_seen_after_the_gap(store, clock):
    here, there = (Rules(store, LIFE, clock=clock, ticks=clock) for _ in range(2))
    assert await there.allow(made(), Trace())
    await here.add(PARTITION, Rule("tag", "t1", 10.0, 9e9))
    assert not await here.allow(made(), Trace())
    clock.now += EVERY
    assert not await there.allow(made(), Trace())


async def test_an_unreachable_store_leaves_the_last_known_rules_in_force_and_is_counted(rules, store, clock):
    await rules.add(PARTITION, Rule("tag", "t1", 10.0, 9e9))
    store.away = True
    clock.now += 60
    trace = Trace()
    assert not await rules.allow(made(), trace)
    assert await rules.allow(made(tags=()), trace)
    assert trace.counts["rules_failed"] == 1


async def test_before_any_rules_are_known_nothing_is_served(rules, store, clock):
    store.away = True
    trace = Trace()
    assert not await rules.allow(made(), trace)
    assert not await rules.allow(made(), trace)
    assert trace.counts["rules_failed"] == 2
    store.away = False
    clock.now += EVERY
    assert await rules.allow(made(), trace)


async def test_a_store_that_hangs_is_waited_for_within_a_bound(rules, store, clock):
    await rules.allow(made(), Trace())
    store.free.clear()
    clock.now += EVERY
    trace = Trace()
    assert await rules.allow(made(), trace)
    assert trace.counts["rules_failed"] == 1
    store.free.set()
    await rules.refresh(PARTITION)


async def test_a_rule_added_while_older_ones_are_read_is_not_lost(rules, store, clock):
    store.free.clear()
    reading = rules.begin(PARTITION)
    await asyncio.sleep(0)
    # The table has answered that read, without the rule; it arrives after the rule's own.
    arriving, store.free = store.free, asyncio.Event()
    store.free.set()
    await rules.add(PARTITION, Rule("tag", "t1", 10.0, 9e9))
    arriving.set()
    await reading
    assert not await rules.allow(made(), Trace())


def test_the_index_asks_of_a_partition_whose_rules_nobody_has_read_and_its_age_alone_speaks(rules, clock):
    assert not rules.outdated(PARTITION, "s", "k", clock.now)
    assert rules.outdated(PARTITION, "s", "k", clock.now - rules.life)


async def test_an_expired_rule_is_forgotten(rules, clock):
    await rules.add(PARTITION, Rule("tag", "t1", 10.0, clock.now + 5))
    assert set(rules.in_force(PARTITION)) == {("tag", "t1")}
    clock.now += 6
    await rules.refresh(PARTITION)
    assert not rules.in_force(PARTITION)


async def test_a_namespaces_rule_takes_the_place_of_older_ones_and_of_no_later_one(rules, store):
    for kind, before in (("tag", 5.0), ("entry", 10.0), ("scope", 11.0)):
        await rules.add(PARTITION, Rule(kind, "x", before, 9e9))
    await rules.add(PARTITION, Rule("namespace", "", 10.0, 9e9))
    assert set(rules.in_force(PARTITION)) == {("namespace", ""), ("scope", "x")}
    assert {rule.kind for rule in await store.rules(PARTITION)} == {"namespace", "scope"}


async def test_what_another_environment_subsumed_is_forgotten_here_too(store, clock):
    here, there = (Rules(store, LIFE, clock=clock, ticks=clock) for _ in range(2))
    await there.add(PARTITION, Rule("tag", "t1", 10.0, 9e9))
    await here.add(PARTITION, Rule("namespace", "", 11.0, 9e9))
    clock.now += EVERY
    await there.refresh(PARTITION)
    assert set(there.in_force(PARTITION)) == {("namespace", "")}
    assert not await there.allow(made(created=11.0, tags=()), Trace())


async def test_two_at_once_are_both_in_force(rules, store):
    added = [Rule("namespace", "", 10.0, 9e9), Rule("tag", "t1", 12.0, 9e9), Rule("entry", "k", 11.0, 9e9)]
    await asyncio.gather(*(rules.add(PARTITION, rule) for rule in added))
    assert {rule.kind for rule in rules.in_force(PARTITION).values()} == {"namespace", "tag", "entry"}
    assert not await rules.allow(made(created=12.0), Trace())
    assert await rules.allow(made(created=12.0, tags=(), key="other"), Trace())


async def test_an_answer_that_is_older_than_any_may_be_is_not_served(rules, clock):
    """So a rule may end then: what it covers is not served again, also if it was stored for longer."""
    await rules.add(PARTITION, Rule("tag", "t1", 10.0, 10.0 + rules.life))
    clock.now = 10.0 + rules.life
    await rules.refresh(PARTITION)
    assert not rules.in_force(PARTITION)
    assert rules.life == LIFE + SLACK
    assert not await rules.allow(made(created=10.0), Trace())
    assert rules.outdated(PARTITION, "s", "k", 10.0)
    assert await rules.allow(made(created=10.1), Trace())


async def test_one_who_leaves_does_not_end_the_refresh_that_others_wait_for(rules, store):
    store.free.clear()
    leaving, staying = (asyncio.create_task(rules.refresh(PARTITION)) for _ in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait((leaving,))
    store.free.set()
    await staying
    assert leaving.cancelled()
    assert store.reads == 1
    assert rules.in_force(PARTITION) == {}


async def test_rules_that_were_forgotten_while_a_request_waited_let_nothing_through(rules):
    await rules.add(PARTITION, Rule("tag", "t1", 10.0, 9e9))
    assert await rules.ready(PARTITION, Trace())
    for n in range(REMEMBERED):
        await rules.refresh(f"other:{n}")
    assert rules.cover(made())
    assert rules.cover(made(tags=()))
    assert await rules.allow(made(tags=()), Trace())


places = st.sampled_from([*COVERING, ("tag", "other"), ("entry", "other")])


@given(st.lists(st.tuples(places, st.integers(0, 20)), max_size=12), st.integers(0, 20))
async def test_an_entry_is_served_when_no_rule_of_its_own_is_as_late(added, created):
    rules = Rules(MemoryInvalidations(), LIFE, clock=lambda: 0.0, ticks=lambda: 0.0)
    for (kind, value), before in added:
        await rules.add(PARTITION, Rule(kind, value, float(before), 9e9))
    covered = any(place in COVERING and created <= before for place, before in added)
    assert await rules.allow(made(created=float(created)), Trace()) != covered


async def test_rules_are_asked_for_again_when_the_clock_was_set_back(rules, store, clock):
    await rules.refresh(PARTITION)
    clock.now -= 500
    await rules.refresh(PARTITION)
    assert store.reads == 2
