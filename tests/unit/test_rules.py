"""What was invalidated is not served, and the rules are asked seldom."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.invalidations.memory import MemoryInvalidations
from subsecond.model import Answer, Entry, Prompt, Rule
from subsecond.stages.rules import EVERY, Rules
from subsecond.stats.trace import Trace

PARTITION = "acme:prod"


class Clock:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


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
    return Clock()


@pytest.fixture
def store():
    return Counted()


@pytest.fixture
def rules(store, clock):
    return Rules(store, clock=clock, ticks=clock)


def made(created=10.0, key="k", scope="s", tags=("t1", "t2"), model="alias", dated="alias-2026"):
    answer = Answer(b"{}", (), "stop", dated)
    return Entry(PARTITION, Prompt(key, scope, "?"), answer, created, 9e9, tags=tags, model=model)


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
    here, there = (Rules(store, clock=clock, ticks=clock) for _ in range(2))
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


async def test_an_expired_rule_is_forgotten(rules, clock):
    await rules.add(PARTITION, Rule("tag", "t1", 10.0, clock.now + 5))
    assert rules.count(PARTITION) == 1
    clock.now += 6
    await rules.refresh(PARTITION)
    assert rules.count(PARTITION) == 0


places = st.sampled_from([*COVERING, ("tag", "other"), ("entry", "other")])


@given(st.lists(st.tuples(places, st.integers(0, 20)), max_size=12), st.integers(0, 20))
async def test_an_entry_is_served_when_no_rule_of_its_own_is_as_late(added, created):
    rules = Rules(MemoryInvalidations(), clock=lambda: 0.0, ticks=lambda: 0.0)
    for (kind, value), before in added:
        await rules.add(PARTITION, Rule(kind, value, float(before), 9e9))
    covered = any(place in COVERING and created <= before for place, before in added)
    assert await rules.allow(made(created=float(created)), Trace()) != covered
