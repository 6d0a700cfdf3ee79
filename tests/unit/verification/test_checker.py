"""Checks of what waits: each counts once, whatever dies, inside the day's budget."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subsecond.errors import UpstreamError
from subsecond.semantic.verification.budget import TURN
from subsecond.semantic.verification.judge import most_tokens, question
from subsecond.semantic.verification.queue import LIFE, MOST_WAITING, Queue
from subsecond.semantic.verification.sampling import seeds_are_due

PARTITION = "acme:prod"
WRONG = "Can I have 3 cards?"
DAY = 86_400


async def learned(checks, partition=PARTITION):
    return (await checks.learned(partition)).learned


async def test_a_sample_is_judged_noted_and_gone(checks, checker, clock, judge, sample):
    await checks.add(sample(1, asked=WRONG))
    await checks.add(sample(2))
    await checker().run()
    found = await learned(checks)
    assert (found.accuracy.checked.n, found.accuracy.checked.yes) == (2, 1)
    assert found.seen == ("req_0001", "req_0002")
    assert (found.judge_calls, found.judge_tokens) == (2, 200)
    [pair] = found.pairs
    assert (pair.request_id, pair.asked, pair.stored) == ("req_0001", WRONG, "Can I get 2 cards?")
    assert len(found.wrong) == 1
    assert await checks.waiting(clock.now) == []
    await checker().run()
    assert len(judge.asked) == 2


async def test_what_was_not_served_is_counted_apart(checks, checker, sample):
    await checks.add(sample(1, asked=WRONG, shadow=True))
    await checker().run()
    accuracy = (await learned(checks)).accuracy
    assert (accuracy.shadow.n, accuracy.shadow.yes, accuracy.checked.n) == (1, 1, 0)


async def test_the_judge_is_measured_on_pairs_of_the_traffic(checks, checker, judge, sample):
    for number in range(5):
        await checks.add(sample(number))
    await checker().run()
    accuracy = (await learned(checks)).accuracy
    assert seeds_are_due(accuracy)
    assert (accuracy.judge.wrong.n, accuracy.judge.wrong.yes) == (1, 1)
    assert (accuracy.judge.right.n, accuracy.judge.right.yes) == (1, 0)
    assert len(judge.asked) == 7


async def test_partitions_learn_apart_and_none_waits_for_the_others(checks, checker, judge, sample):
    for number in range(20):
        await checks.add(sample(number, partition="a:a"))
    await checks.add(sample(99, partition="b:b", asked=WRONG))
    await checker(calls=4).run()
    assert (await learned(checks, "b:b")).accuracy.checked.yes == 1
    assert (await learned(checks, "a:a")).accuracy.checked.yes == 0
    assert len(judge.asked) == 4


@pytest.mark.parametrize("limits", [{"calls": 3}, {"tokens": 0}])
async def test_a_days_budget_ends_the_checks_until_the_next_day(checks, checker, clock, judge, sample, limits):
    if "tokens" in limits:
        most = most_tokens(question("judge", sample()))
        limits = {"tokens": 2 * 100 + most}
    for number in range(4):
        await checks.add(sample(number))
    for _ in range(3):
        await checker(**limits).run()
    assert len(judge.asked) == 3
    clock.now += DAY
    await checker(**limits).run()
    assert len(judge.asked) == 4


async def test_a_budget_that_is_taken_and_lost_is_spent(checks, checker, clock, judge, sample, objects, parts):
    """A process that dies after it has taken calls may have made them."""
    await checks.add(sample(1))
    with pytest.raises(parts.killed):
        await checker(parts.mortal(objects, 1, after=True), calls=1).run()
    clock.now += TURN + 1
    await checker(calls=1).run()
    assert judge.asked == []


async def test_one_checks_at_a_time_and_a_dead_one_holds_nobody_up(
    checks, checker, clock, judge, sample, objects, parts
):
    await checks.add(sample(1))
    with pytest.raises(parts.killed):
        await checker(parts.mortal(objects, 0, after=True)).run()
    await checker().run()
    assert judge.asked == []
    clock.now += TURN + 1
    await checker().run()
    assert len(judge.asked) == 1


async def test_a_judge_that_fails_loses_no_check(checks, checker, judge, sample):
    judge.raises = [UpstreamError("away", status=503) for _ in range(3)]
    for number in range(5):
        await checks.add(sample(number))
    await checker().run()
    assert len(judge.asked) == 3
    await checker().run()
    assert (await learned(checks)).accuracy.checked.n == 5


async def test_a_check_that_two_make_at_once_counts_once(checks, checker, clock, judge, sample):
    """The turn is by the clock: whoever hangs in the judge's call for longer than it lasts is not alone."""
    for number in range(3):
        await checks.add(sample(number))
    second = checker()

    async def overtaken():
        clock.now += TURN + 1
        await second.run()

    judge.before = [overtaken]
    await checker().run()
    found = await learned(checks)
    assert found.accuracy.checked.n == 3
    assert sorted(found.seen) == [f"req_{number:04}" for number in range(3)]
    assert len(judge.asked) == 4


async def test_what_waits_for_too_long_is_deleted_unread(checks, checker, clock, judge, sample):
    await checks.add(sample(1))
    clock.now += LIFE
    await checker().run()
    assert judge.asked == []
    assert await checks.waiting(0) == []


async def test_no_more_wait_than_a_day_can_reach_and_every_partition_has_its_share(checks, clock, objects):
    for number in range(MOST_WAITING + 100):
        await objects.put(f"checks/a:a/req_{number:05}", b"")
    await objects.put("checks/b:b/req_99999", b"")
    kept = await checks.waiting(clock.now)
    assert len(kept) == MOST_WAITING
    assert "checks/b:b/req_99999" in kept
    assert len(await objects.listed("checks/")) == MOST_WAITING


async def test_a_damaged_sample_holds_nobody_up(checks, checker, judge, objects, sample):
    await objects.put(f"checks/{PARTITION}/req_0000", b"{")
    await checks.add(sample(1))
    await checker().run()
    assert (await learned(checks)).seen == ("req_0001",)


async def test_a_bound_of_the_owners_own_counts_from_the_next_check(checks, checker, sample):
    await checks.add(sample(1, bound=0.05))
    await checker().run()
    await checks.add(replace(sample(2), bound=0.02))
    await checker().run()
    accuracy = (await learned(checks)).accuracy
    assert accuracy.bound == 0.02
    assert accuracy.cut == pytest.approx(0.9)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    deaths=st.lists(st.tuples(st.integers(0, 25), st.booleans()), max_size=6),
    wrong=st.lists(st.booleans(), min_size=1, max_size=8),
)
def test_kills_at_any_point_lose_no_check_and_count_none_twice(parts, sample, deaths, wrong):
    clock, judge = parts.clock(), parts.judge()
    objects = parts.objects(clock)
    checks = Queue(lambda: objects)

    async def scenario():
        for number, is_wrong in enumerate(wrong):
            await checks.add(sample(number, **({"asked": WRONG} if is_wrong else {})))
        for step, after in deaths:
            try:
                await parts.checker(parts.mortal(objects, step, after=after), judge, clock).run()
            except parts.killed:
                clock.now += TURN + 1
        clock.now += TURN + 1
        await parts.checker(objects, judge, clock).run()
        return await checks.waiting(clock.now), await learned(checks)

    left, found = asyncio.run(scenario())
    assert left == []
    assert (found.accuracy.checked.n, found.accuracy.checked.yes) == (len(wrong), sum(wrong))
