"""Joins across environments: each test's environments share a store and leases, and nothing else."""

import asyncio
import math
from dataclasses import replace
from random import Random

import pytest

from subsecond.errors import UpstreamTimeout
from subsecond.model import CacheRules, Call
from subsecond.single_flight.lease import LeaseTerms


async def at(moment, work):
    await asyncio.sleep(moment)
    return await work


def environments(world, count, **fields):
    return [world.environment(f"e{n}", **fields)[0] for n in range(count)]


def test_one_environment_asks_and_the_others_are_served_the_stored_answer(worlds):
    async def story():
        world = worlds.World()
        found = await asyncio.gather(*(world.ask(made) for made in environments(world, 8)))
        assert world.model.calls == 1
        assert sorted(told.head.source for told in found) == ["coalesced"] * 7 + ["upstream"]
        assert {told.text for told in found} == {worlds.whole}
        for told in found:
            if told.head.source == "coalesced":
                assert len(told.events) == 2
                assert (told.trace.source, told.head.age is None) == ("coalesced", False)
                assert "flight" in told.trace.steps

    worlds.virtually(story())


def test_a_follower_is_at_most_one_gap_and_three_trips_behind_the_leaders_end(worlds):
    """Counted by the calls that it makes once the leader has stored and released."""

    async def story(offset):
        world = worlds.World(worlds.Model(first=offset))
        leader, follower = environments(world, 2)
        # Trips take time, so that the leader's end falls between any two of the follower's.
        for made in (leader, follower):
            made.exact.environment.most = 0.01
            made.exact.environment.random = Random(offset)
        task = asyncio.create_task(world.ask(leader))
        follow = asyncio.create_task(at(0.05, world.ask(follower)))
        await task
        ended, before = worlds.now(), len(follower.exact.calls) + len(follower.sharing.leases.calls)
        told = await follow
        # The trip under way was counted already; releasing after it has taken over is none on its way to the answer.
        calls = [name for name in follower.sharing.leases.calls if name != "release"]
        assert len(follower.exact.calls) + len(calls) - before <= 3
        assert told.times[0] - ended <= 0.5 + 4 * 0.02
        assert told.head.source == "coalesced"

    for offset in range(60):
        worlds.virtually(story(offset / 37))


def test_the_gaps_grow_and_have_a_bound(worlds):
    async def story():
        world = worlds.World(worlds.Model(first=20))
        leader, follower = environments(world, 2)
        await asyncio.gather(world.ask(leader), at(0.01, world.ask(follower)))
        looks = follower.exact.calls.count("get")
        # 25, 50, 100, 200 and 400 ms, then 500 ms each, all up to a quarter shorter.
        assert 20 / 0.5 < looks < 10 + 20 / 0.375
        assert follower.sharing.leases.calls.count("acquire") == 1, "those who wait only read"

    worlds.virtually(story())


def test_an_answer_that_outlasts_the_lease_keeps_it_by_its_heartbeat(worlds):
    async def story():
        world = worlds.World(worlds.Model(first=60), lease_seconds=5.0)
        leader, follower = environments(world, 2)
        found = await asyncio.gather(world.ask(leader), at(0.01, world.ask(follower)))
        assert world.model.calls == 1
        assert [told.head.source for told in found] == ["upstream", "coalesced"]
        assert leader.sharing.leases.calls.count("renew") == math.floor(60.8 / (5 / 3))

    worlds.virtually(story())


@pytest.mark.parametrize("moment", [0.5, 1.25, 1.7])
def test_a_leader_that_dies_is_followed_by_one_follower(worlds, moment):
    async def story():
        world = worlds.World(lease_seconds=5.0)
        leader, *followers = environments(world, 5)
        dying = asyncio.create_task(world.ask(leader))
        waiting = [asyncio.create_task(at(0.01, world.ask(made))) for made in followers]
        await asyncio.sleep(moment)
        leader.exact.environment.dead = True
        dying.cancel()
        found = await asyncio.gather(*waiting)
        assert world.model.calls == 2
        assert sorted(told.head.source for told in found) == ["coalesced"] * 3 + ["upstream"]
        assert {told.text for told in found} == {worlds.whole}
        # The lease's time, a gap, and the call.
        assert max(told.times[-1] for told in found) < moment + 5 + 0.6 + 1.9 + 0.6

    worlds.virtually(story())


def test_a_leader_that_fails_frees_the_way_at_once_and_one_at_a_time(worlds):
    async def story():
        world = worlds.World(worlds.Model(failures=3))
        found = await asyncio.gather(*(world.ask(made) for made in environments(world, 8)))
        assert [told.error is None for told in found].count(False) == 3
        assert (world.model.calls, world.model.most) == (4, 1)
        assert max(told.times[-1] for told in found if told.events) < 4 * (1.9 + 0.6)

    worlds.virtually(story())


def test_a_leader_whose_client_leaves_frees_the_way_at_once(worlds):
    async def story():
        world = worlds.World()
        leader, follower = environments(world, 2)
        leaving = asyncio.create_task(world.ask(leader))
        following = asyncio.create_task(at(0.01, world.ask(follower)))
        await asyncio.sleep(0.5)
        leaving.cancel()
        told = await following
        assert told.head.source == "upstream"
        assert told.times[0] < 0.5 + 0.5 + 1.1

    worlds.virtually(story())


@pytest.mark.parametrize(
    ("moment", "turns"), [(0, 1), (0, 2), (0, 3), (0, 4), (0.01, 0), (0.03, 0), (0.05, 0), (0.09, 0)]
)
def test_who_leaves_while_the_lease_is_being_taken_leaves_no_lease_behind(worlds, moment, turns):
    async def story():
        world = worlds.World()
        leader, other = environments(world, 2)
        leader.sharing.leases.environment = replace(leader.exact.environment, most=0.1)
        leaving = asyncio.create_task(world.ask(leader))
        if moment:
            await asyncio.sleep(moment)
        for _ in range(turns):  # of the loop
            await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait((leaving,))
        # A request that was sent arrives, although nobody waits for the reply any more.
        await asyncio.sleep(0.3)
        begun = worlds.now()
        told = await world.ask(other)
        assert told.times[0] - begun < 1.01

    worlds.virtually(story())


def test_followers_of_an_answer_that_cannot_be_stored_ask_for_themselves_side_by_side(worlds):
    async def story():
        world = worlds.World(worlds.Model(finish="content_filter"))
        found = await asyncio.gather(*(world.ask(made) for made in environments(world, 6)))
        assert all(told.done for told in found)
        assert {told.head.source for told in found} == {"upstream"}
        assert world.model.most >= 4, "not one after the other"
        assert max(told.times[-1] for told in found) < 3 * 1.9

    worlds.virtually(story())


@pytest.mark.parametrize("part", ["look", "acquire"])
def test_leases_that_are_away_are_no_obstacle(worlds, part):
    async def story():
        world = worlds.World()
        leader, follower = environments(world, 2)
        if part == "acquire":
            follower.sharing.leases.away = True
        task = asyncio.create_task(world.ask(leader))
        following = asyncio.create_task(at(0.01, world.ask(follower)))
        await asyncio.sleep(0.02)
        follower.sharing.leases.away = True
        told = await following
        assert (await task).done
        assert told.done
        assert told.head.source == "upstream"
        assert told.trace.counts["lease_failed"] >= 1
        assert world.model.calls == 2

    worlds.virtually(story())


def test_leases_that_hang_cost_their_box_and_no_more(worlds):
    async def story():
        world = worlds.World(lease_timeout=0.25)
        [made] = environments(world, 1)
        made.sharing.leases.environment = replace(made.exact.environment, dead=True)
        told = await world.ask(made)
        assert told.done
        assert told.times[0] == pytest.approx(0.25 + 1.0, abs=0.01)

    worlds.virtually(story())


def test_a_store_that_takes_nothing_leaves_nobody_waiting_for_it(worlds):
    async def story():
        world = worlds.World()
        made = environments(world, 4)
        for one in made:
            one.exact.away = True
        found = await asyncio.gather(*(world.ask(one) for one in made))
        assert all(told.done for told in found)
        assert max(told.times[-1] for told in found) < 3 * 1.9

    worlds.virtually(story())


def test_a_leader_that_lost_its_lease_finishes_all_the_same_and_takes_nothing_from_the_next(worlds):
    async def story():
        world = worlds.World(worlds.Model(first=10), lease_seconds=3.0)
        first, second, third = environments(world, 3)
        tasks = [asyncio.create_task(world.ask(first)), asyncio.create_task(at(2, world.ask(second)))]
        await asyncio.sleep(1.5)
        # As after a pause in which it was held up, or a table that was restored.
        world.leases._leases.clear()
        tasks.append(asyncio.create_task(at(10, world.ask(third))))
        found = await asyncio.gather(*tasks)
        assert world.model.calls == 2
        assert all(told.text == worlds.whole for told in found)
        assert found[0].trace.counts["lease_lost"] == 1
        assert found[2].head.source == "exact"

    worlds.virtually(story())


def test_two_takeovers(worlds):
    async def story():
        world = worlds.World(lease_seconds=2.0)
        made = environments(world, 4)
        tasks = [asyncio.create_task(at(0.01 * n, world.ask(one))) for n, one in enumerate(made)]
        await asyncio.sleep(0.5)
        for _ in range(2):
            leading = int(world.model.asked[-1][1:])
            made[leading].exact.environment.dead = True
            tasks[leading].cancel()
            await asyncio.wait((tasks[leading],))
            calls = world.model.calls
            while world.model.calls == calls:  # noqa: ASYNC110 -- virtual time
                await asyncio.sleep(0.05)
        found = [told for told in await asyncio.gather(*tasks, return_exceptions=True) if hasattr(told, "events")]
        assert len(found) == 2
        assert {told.text for told in found} == {worlds.whole}
        assert world.model.calls == 3

    worlds.virtually(story())


def test_a_lone_request_takes_one_lease_looks_once_and_releases(worlds):
    async def story():
        world = worlds.World(worlds.Model(first=0.5))
        [made] = environments(world, 1)
        await world.ask(made)
        assert made.exact.calls == ["get", "put"]
        assert made.sharing.leases.calls == ["acquire", "release"]

    worlds.virtually(story())


def test_who_asks_while_another_ends_looks_once_more_and_calls_nobody(worlds):
    """The exact lookup missed, then the leader stored and released, then the lease was free."""

    async def story():
        world = worlds.World()
        first, second = environments(world, 2)
        second.exact.inner = Behind(world.store)
        task = asyncio.create_task(world.ask(first))
        await asyncio.sleep(1)
        inner, release = second.sharing.leases.inner, asyncio.Event()

        class Late:
            """The question for the lease arrives when all is over."""

            def __getattr__(self, name):
                async def call(*args, **named):
                    await release.wait()
                    return await getattr(inner, name)(*args, **named)

                return call

        second.sharing.leases.inner = Late()
        late = replace(second, sharing=replace(second.sharing, terms=replace(second.sharing.terms, box=60.0)))
        other = asyncio.create_task(world.ask(late))
        await task
        release.set()
        told = await other
        assert (world.model.calls, told.head.source) == (1, "coalesced")
        assert told.text == worlds.whole

    worlds.virtually(story())


def test_those_who_differ_in_their_rules_alone_meet_at_the_lease(worlds):
    async def story():
        world = worlds.World()
        [made] = environments(world, 1)
        body = {"model": "m", "messages": [{"role": "user", "content": "Hello?"}]}
        strict = Call("chat", "m", body, CacheRules(similar=False), form="stream")
        found = await asyncio.gather(world.ask(made), world.ask(made, call=strict))
        assert world.model.calls == 1
        assert [told.head.source for told in found] == ["upstream", "coalesced"]

    worlds.virtually(story())


def test_a_follower_waits_no_longer_than_an_answer_may_take(worlds):
    async def story():
        world = worlds.World(total_timeout=30.0)
        [made] = environments(world, 1)
        acquire = world.leases.acquire

        async def held(partition, key, owner, seconds):
            """Somebody beats for ever, and does nothing."""
            await acquire(partition, key, "somebody", 1_000.0)
            return await acquire(partition, key, owner, seconds)

        world.leases.acquire = held
        told = await world.ask(made)
        assert isinstance(told.error, UpstreamTimeout)
        assert 29 < worlds.now() < 30
        assert world.model.calls == 0

    worlds.virtually(story())


class Behind:
    """A store whose usual read does not have yet what was just stored, as DynamoDB's may be for a moment."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)

    async def get(self, *_place):
        return None


def test_who_finds_the_lease_free_reads_consistently_before_it_asks(worlds):
    async def story():
        world = worlds.World(worlds.Model(first=0.5))
        first, second = environments(world, 2)
        second.exact.inner = Behind(world.store)
        leading = asyncio.create_task(world.ask(first))
        await asyncio.sleep(0.1)
        told = await world.ask(second)
        await leading
        assert (world.model.calls, told.text) == (1, worlds.whole)
        assert "fresh" in second.exact.calls

    worlds.virtually(story())


def test_gaps_double_up_to_the_longest_and_spread_by_a_quarter():
    terms = LeaseTerms(seconds=5.0, box=0.25, first_gap=0.025, longest_gap=0.5, patience=60.0)
    for gap, longest in zip(terms.gaps(), [0.025, 0.05, 0.1, 0.2, 0.4, 0.5, 0.5, 0.5], strict=False):
        assert 0.75 * longest <= gap <= longest
