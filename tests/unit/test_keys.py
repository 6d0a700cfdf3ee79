"""What is remembered of keys, and what guessing them costs."""

import asyncio
import itertools
from hashlib import sha256

import pytest

from subsecond.errors import Unavailable
from subsecond.stores.dynamodb.keys import AT_ONCE, REMEMBERED, UNKNOWN_TTL, WRONG, WRONG_AGAIN, DynamoKeys


class Table:
    """As much of `Aws` as the keys use. `reads`: the keys that were asked for, in order."""

    def __init__(self):
        self.dynamodb = self
        self.rows = {}
        self.reads = []

    def add(self, name):
        sk = sha256(name.encode()).hexdigest()
        texts = {"sk": sk, "tenant": "t", "namespace": "n", "name": name}
        self.rows[sk] = {field: {"S": text} for field, text in texts.items()} | {"disabled": {"BOOL": False}}
        return sk

    def get_item(self, TableName, Key):  # noqa: N803 - boto3's names
        self.reads.append(Key["sk"]["S"])
        row = self.rows.get(Key["sk"]["S"])
        return {"Item": row} if row else {}

    async def run(self, work):
        await asyncio.sleep(0)
        return work()


class World:
    def __init__(self):
        self.now = 1_000.0
        self.table = Table()
        self.keys = DynamoKeys(self.table, "state", ttl=30.0, clock=lambda: self.now)
        self.guesses = (f"{number:064x}" for number in itertools.count())

    async def guess(self, times):
        """Ever new keys, one after the other; how many were refused without a read."""
        refused = 0
        for _ in range(times):
            try:
                assert await self.keys.tenant(next(self.guesses)) is None
            except Unavailable as error:
                refused += error.retry_after == "1"
        return refused


@pytest.fixture
def world():
    return World()


async def test_the_key_used_longest_ago_leaves_the_memory_first(world):
    keys = [world.table.add(f"k{number}") for number in range(REMEMBERED + 1)]
    for key in keys[:-1]:
        await world.keys.tenant(key)
    await world.keys.tenant(keys[0])
    await world.keys.tenant(keys[-1])
    world.table.reads.clear()
    for key in (keys[0], keys[1]):
        assert await world.keys.tenant(key)
    assert world.table.reads == [keys[1]]


async def test_a_key_that_was_read_again_counts_as_used(world):
    keys = [world.table.add(f"k{number}") for number in range(REMEMBERED + 1)]
    for key in keys[:-1]:
        await world.keys.tenant(key)
    world.now += 60
    for key in (keys[0], keys[-1]):
        await world.keys.tenant(key)
    assert keys[0] in world.keys._known
    assert keys[1] not in world.keys._known


async def test_a_flood_of_guesses_reads_a_bounded_number_a_second_and_its_memory_is_bounded(world):
    seconds = 3 * REMEMBERED // WRONG
    for _ in range(seconds):
        assert await world.guess(WRONG + 20) == 20
        world.now += 1
    assert len(world.table.reads) == seconds * WRONG
    keys = world.keys
    assert max(map(len, (keys._known, keys._unknown, keys._refused))) == REMEMBERED


async def test_guesses_at_once_pass_the_bound_by_no_more_than_the_reads_at_once(world):
    guesses = [world.keys.tenant(next(world.guesses)) for _ in range(500)]
    await asyncio.gather(*guesses, return_exceptions=True)
    assert len(world.table.reads) <= WRONG + AT_ONCE


async def test_a_known_key_works_all_through_a_flood_and_is_read_again_when_it_is_due(world):
    good = world.table.add("good")
    await world.keys.tenant(good)
    for _ in range(40):
        await world.guess(WRONG + 1)
        assert await world.keys.tenant(good)
        world.now += 1
    assert world.table.reads.count(good) == 2


async def test_a_right_key_that_is_new_in_a_flood_is_let_in_at_its_second_try(world):
    good = world.table.add("good")
    await world.guess(WRONG)
    with pytest.raises(Unavailable):
        await world.keys.tenant(good)
    world.now += 1
    await world.guess(WRONG + 20)
    assert await world.keys.tenant(good)


async def test_guesses_that_come_again_are_bounded_too(world):
    await world.guess(WRONG)
    again = [next(world.guesses) for _ in range(50)]
    for _ in range(2):
        await asyncio.gather(*map(world.keys.tenant, again), return_exceptions=True)
    assert WRONG < len(world.table.reads) <= WRONG + WRONG_AGAIN + AT_ONCE


async def test_many_right_keys_at_once_are_all_let_in(world):
    keys = [world.table.add(f"k{number}") for number in range(100)]
    assert all(await asyncio.gather(*map(world.keys.tenant, keys)))


async def test_one_new_key_of_many_requests_at_once_is_read_once_for_each_place(world):
    good = world.table.add("good")
    assert all(await asyncio.gather(*(world.keys.tenant(good) for _ in range(100))))
    assert len(world.table.reads) <= AT_ONCE


async def test_the_same_guess_costs_no_new_read_until_it_is_forgotten(world):
    guess = next(world.guesses)
    for world.now in (0.0, UNKNOWN_TTL - 0.1, UNKNOWN_TTL):
        await world.keys.tenant(guess)
    assert len(world.table.reads) == 2


@pytest.mark.parametrize("now", [1_031.0, 900.0])
async def test_a_key_is_asked_for_again_when_its_time_is_over_or_the_clock_was_set_back(world, now):
    good = world.table.add("good")
    await world.keys.tenant(good)
    world.table.rows[good]["disabled"]["BOOL"] = True
    assert await world.keys.tenant(good)
    world.now = now
    assert await world.keys.tenant(good) is None
