"""What each kind of rule covers in the index, which rule of two holds, and the bounds of what is remembered and waited
for."""

import asyncio

import pytest

from subsecond.cache.invalidation import SLACK, Rules
from subsecond.model import Rule
from subsecond.stats.trace import Trace
from subsecond.stores.memory.invalidations import MemoryInvalidations
from tests.support.clock import Clock
from tests.support.virtual_time import now, run

PARTITION = "acme:prod"
LIFE = 10_000.0


class Given(MemoryInvalidations):
    """Gives these rules, in this order, after so many seconds."""

    def __init__(self, *rules, seconds=0.0):
        super().__init__()
        self.given, self.seconds, self.reads = rules, seconds, 0

    async def rules(self, _partition):
        self.reads += 1
        if self.seconds:
            await asyncio.sleep(self.seconds)
        return self.given


def known(*rules, clock=None):
    clock = clock or Clock(1_000.0)
    return Rules(Given(*rules), LIFE, clock=clock, ticks=clock)


@pytest.mark.parametrize(
    ("kind", "value", "outdated"),
    [
        ("namespace", "", True),
        ("scope", "s", True),
        ("entry", "k", True),
        ("scope", "k", False),
        ("entry", "s", False),
        ("tag", "s", False),
        ("namespace", "s", False),
    ],
)
async def test_what_the_index_knows_of_an_entry_is_enough_for_these_kinds(kind, value, outdated):
    rules = known(Rule(kind, value, 10.0, 9e9))
    await rules.refresh(PARTITION)
    assert rules.outdated(PARTITION, "s", "k", 10.0) == outdated
    assert not rules.outdated(PARTITION, "s", "k", 10.1)


async def test_an_entry_is_outdated_from_the_longest_life_on():
    clock = Clock(LIFE + SLACK + 5.0)
    rules = known(clock=clock)
    await rules.refresh(PARTITION)
    assert rules.outdated(PARTITION, "s", "k", 5.0)
    assert not rules.outdated(PARTITION, "s", "k", 5.1)


@pytest.mark.parametrize("dates", [(10.0, 20.0), (20.0, 10.0)])
async def test_of_two_rules_the_later_date_holds_in_whatever_order_they_come(dates):
    rules = known(*(Rule("tag", "t1", date, 9e9) for date in dates), Rule("entry", "t1", 5.0, 9e9))
    await rules.refresh(PARTITION)
    assert rules.date(PARTITION, "tag", "t1") == 20.0
    assert rules.date(PARTITION, "entry", "t1") == 5.0


@pytest.mark.parametrize("dates", [(10.0, 20.0), (20.0, 10.0)])
async def test_the_latest_date_of_any_model(dates):
    given = [Rule("model", f"m{at}", date, 9e9) for at, date in enumerate(dates)]
    rules = known(*given, Rule("tag", "m", 30.0, 9e9))
    await rules.refresh(PARTITION)
    assert rules.models(PARTITION) == 20.0


async def test_the_rules_of_a_thousand_partitions_are_remembered_and_of_no_more():
    rules = known(Rule("tag", "t", 10.0, 9e9))
    for number in range(1_000):
        await rules.refresh(f"p{number}")
    assert rules.in_force("p0")
    await rules.refresh("one more")
    assert rules.in_force("p0")  # it was used a moment ago
    assert not rules.in_force("p1")


async def test_the_store_is_asked_once_a_second():
    clock = Clock(1_000.0)
    store = Given()
    rules = Rules(store, LIFE, clock=clock, ticks=clock)
    for moment, reads in ((1_000.0, 1), (1_000.9, 1), (1_001.0, 2)):
        clock.now = moment
        await rules.ready(PARTITION, Trace())
        assert store.reads == reads


@pytest.mark.parametrize("box", [1.0, 20.0])
def test_the_first_rules_are_waited_for_as_long_as_a_store_may_take_and_newer_ones_for_a_tenth_of_it(box):
    async def story():
        store = Given(seconds=0.9 * box)
        rules = Rules(store, LIFE, box=box, clock=now, ticks=now)
        begun = now()
        assert await rules.ready(PARTITION, Trace())
        assert now() - begun == pytest.approx(0.9 * box)
        await asyncio.sleep(100)
        begun, trace = now(), Trace()
        assert await rules.ready(PARTITION, trace)
        assert now() - begun == pytest.approx(0.1 * box)
        assert trace.counts["rules_failed"] == 1
        await asyncio.sleep(100)
        store.seconds = 3.0 * box
        begun, other = now(), Rules(store, LIFE, box=box, clock=now, ticks=now)
        assert not await other.ready(PARTITION, Trace())
        assert now() - begun == pytest.approx(box)

    run(story(), leaves_tasks=True)
