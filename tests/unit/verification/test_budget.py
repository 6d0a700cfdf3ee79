"""A day's budget from both sides, whose turn it is, and what is given back."""

import json

import pytest

from subsecond.semantic.verification.budget import TURN, Budget
from subsecond.semantic.verification.queue import BUDGET, Queue

DAY = 86_400


@pytest.fixture
def budget(objects, clock):
    """`budget(calls=2)`: another checker's view of the same one."""
    return lambda calls=10, tokens=1_000: Budget(Queue(lambda: objects), calls, tokens, clock)


@pytest.fixture
def spent(objects):
    async def read():
        told = json.loads((await objects.get(BUDGET)).data)
        return told["calls"], told["tokens"]

    return read


async def test_a_day_has_its_calls_and_no_more(budget, clock):
    clock.now = 5 * DAY
    one = budget(calls=3)
    assert [await one.take(calls=1) for _ in range(4)] == [True, True, True, False]
    clock.now += DAY - 1
    assert not await one.take(calls=1)
    clock.now += 1
    assert await one.take(calls=3)
    assert not await one.take(calls=1)


async def test_a_day_has_its_tokens_and_what_is_refused_is_not_spent(budget, spent):
    one = budget(tokens=100)
    assert await one.take(calls=1, tokens=60)
    assert not await one.take(calls=1, tokens=41)
    assert await one.take(calls=1, tokens=40)
    assert await spent() == (2, 100)


async def test_what_is_given_back_can_be_taken_once(budget, spent):
    one = budget(tokens=100)
    await one.take(tokens=100)
    one.give_back(20)
    one.give_back(10)
    assert not await one.take(tokens=31)
    assert await one.take(calls=1, tokens=30)
    assert await spent() == (1, 100)
    assert not await one.take(tokens=1)


async def test_what_is_given_back_at_the_end_is_written(budget, spent):
    one = budget(tokens=100)
    await one.take(calls=2, tokens=100)
    one.give_back(30)
    await one.end()
    assert await spent() == (2, 70)
    await one.end()
    assert await spent() == (2, 70)
    assert not await budget(tokens=100).take(tokens=31)
    assert await budget(tokens=100).take(tokens=30)


async def test_no_more_is_given_back_than_the_day_has_spent(budget, spent, clock):
    """It was taken yesterday."""
    one = budget()
    await one.take(tokens=100)
    one.give_back(50)
    clock.now += DAY
    assert await one.take(tokens=10)
    assert await spent() == (0, 10)
    one.give_back(90)
    await one.end()
    assert await spent() == (0, 0)


async def test_a_turn_lasts_from_the_last_time_that_its_owner_said_something(budget, clock):
    one, other = budget(), budget()
    assert await one.take()
    clock.now += TURN - 1
    assert await one.take()
    clock.now += TURN - 1
    assert not await other.take()
    clock.now += 1
    assert await other.take()
    assert not await one.take()


async def test_who_ends_leaves_the_turn_to_the_next_and_takes_nobodys(budget):
    one, other, third = budget(), budget(), budget()
    await one.take()
    await other.end()
    assert not await third.take()
    await one.end()
    assert await third.take()


async def test_of_two_who_take_at_once_one_does(objects, budget, clock):
    one = budget(calls=1)

    class Overtaken(Queue):
        async def spend(self, data, etag):
            assert await one.take(calls=1)
            return await super().spend(data, etag)

    assert not await Budget(Overtaken(lambda: objects), 1, 100, clock).take(calls=1)
