"""Joins in one process."""

import asyncio
import gc
import time
from contextlib import aclosing
from dataclasses import replace
from time import monotonic

import pytest

from subsecond.aio.lazy import Lazy
from subsecond.config import Settings
from subsecond.errors import DeadlineExceeded, UpstreamError
from subsecond.model import CacheRules, Call, Chunk, Done, Head, Recording, Rule
from subsecond.single_flight.in_process import Flights
from subsecond.stats.trace import Trace

BODY = {"model": "m", "messages": [{"role": "user", "content": "Hello?"}]}


def call(**fields):
    rules = {name: fields.pop(name) for name in ("read", "write", "coalesce", "max_age", "similar") if name in fields}
    deadline = fields.pop("deadline", None)
    return Call("chat", "m", {**BODY, **fields}, CacheRules(**rules), form="stream", deadline=deadline)


async def settle():
    """Until everybody waits for time to pass."""
    await asyncio.sleep(0.001)


def test_who_comes_late_gets_what_was_streamed_so_far_and_then_live_chunks(worlds):
    async def story():
        world = worlds.World()
        made, _ = world.environment()
        leader = asyncio.create_task(world.ask(made))
        await asyncio.sleep(1.25)  # the first word comes after 1.0, one each 0.1 after it
        late = await world.ask(made)
        leader = await leader
        assert world.model.calls == 1
        assert late.events == leader.events
        assert late.text == leader.text == late.streamed == worlds.whole
        at = next(at for at, time in enumerate(late.times) if time > late.times[0])
        assert late.times[0] == 1.25
        assert late.times[at:] == leader.times[at:]
        assert (leader.trace.source, late.trace.source) == ("upstream", "coalesced")
        assert late.trace.cacheable
        assert len(made.sharing.flights) == 0

    worlds.virtually(story())


def test_two_hundred_at_once_are_one_call(worlds):
    async def story():
        world = worlds.World()
        made, _ = world.environment()
        found = await asyncio.gather(*(world.ask(made) for _ in range(200)))
        assert world.model.calls == 1
        assert {told.text for told in found} == {worlds.whole}
        assert [told.trace.source for told in found].count("upstream") == 1
        assert (await world.ask(made)).head.source == "exact"

    worlds.virtually(story())


def test_a_slow_reader_slows_nobody_and_misses_nothing(worlds):
    async def story():
        world = worlds.World()
        made, _ = world.environment()
        slow = asyncio.create_task(world.ask(made, pace=50.0))
        await settle()
        quick = await world.ask(made)
        stored = len(world.store)
        slow = await slow
        assert quick.times[-1] < 2.0
        assert stored == 1, "nor does a slow leader hold up the storing"
        assert slow.times[-1] > 400
        assert slow.events == quick.events

    worlds.virtually(story())


@pytest.mark.parametrize("moment", [0.5, 1.25])
def test_the_leaders_client_leaves_and_the_others_get_the_whole_answer(worlds, moment):
    async def story():
        world = worlds.World()
        made, _ = world.environment()
        made.exact.environment.most = 0.01
        leader, follower = (asyncio.create_task(world.ask(made)) for _ in range(2))
        await asyncio.sleep(moment)
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        told = await follower
        assert (told.text, told.streamed) == (worlds.whole, worlds.whole)
        assert world.model.calls == 1
        assert len(world.store) == 1, "whoever is left waits for the storing"

    worlds.virtually(story())


@pytest.mark.parametrize(
    ("moment", "spent", "saved"), [(None, 3_000, 6_000), (0.5, 3_000, 3_000), (1.25, 3_000, 3_000)]
)
def test_what_was_spent_is_counted_once_whoever_leaves(worlds, moment, spent, saved):
    async def story():
        world = worlds.World(worlds.Model(usage={"prompt_tokens": 1_000, "completion_tokens": 2_000}))
        made, _ = world.environment()
        told = [worlds.Told(Trace(partition=worlds.tenant.partition)) for _ in range(3)]
        leader, *followers = (asyncio.create_task(world.ask(made, told=one)) for one in told)
        if moment is not None:
            await asyncio.sleep(moment)
            leader.cancel()
        await asyncio.gather(leader, *followers, return_exceptions=True)
        tokens = (await made.ledger.summary(worlds.tenant.partition))["tokens"]
        assert [sum(tokens[kind].values()) for kind in ("upstream", "saved")] == [spent, saved]

    worlds.virtually(story())


@pytest.mark.parametrize("moment", [0.5, 1.25])
def test_a_follower_that_vanishes_changes_nothing(worlds, moment):
    async def story():
        world = worlds.World()
        made, _ = world.environment()
        leader, follower = (asyncio.create_task(world.ask(made)) for _ in range(2))
        await asyncio.sleep(moment)
        follower.cancel()
        assert (await leader).streamed == worlds.whole
        assert (world.model.calls, len(world.store)) == (1, 1)

    worlds.virtually(story())


@pytest.mark.parametrize("moment", [0.5, 1.25])
def test_the_last_one_who_leaves_ends_the_call_before_its_own_end(worlds, moment):
    async def story():
        world = worlds.World()
        made, _ = world.environment()
        tasks = [asyncio.create_task(world.ask(made)) for _ in range(3)]
        await asyncio.sleep(moment)
        for left, task in enumerate(tasks):
            assert world.model.closed == 0, left
            task.cancel()
            await asyncio.wait((task,))
        assert (world.model.closed, world.model.running) == (1, 0)
        assert len(world.store) == len(made.sharing.flights) == 0
        again = await world.ask(made)
        assert again.head.source == "upstream"
        assert again.times[0] == pytest.approx(moment + 1, abs=0.01), "the lease was free as well"

    worlds.virtually(story())


def test_where_calls_are_drained_the_answer_is_read_to_its_end_and_stored(worlds):
    async def story():
        world = worlds.World(drain=True)
        made, _ = world.environment()
        task = asyncio.create_task(world.ask(made))
        await asyncio.sleep(1.25)
        task.cancel()
        await asyncio.wait((task,))
        assert world.model.running == 1
        await asyncio.sleep(5)
        assert (await world.ask(made)).head.source == "exact"
        assert world.model.calls == 1

    worlds.virtually(story())


def test_who_leaves_when_the_answer_is_complete_does_not_keep_it_from_being_stored(worlds):
    async def story():
        world = worlds.World()
        made, _ = world.environment()
        async with aclosing(made.complete(worlds.tenant, call(), Trace())) as events:
            async for event in events:
                if isinstance(event, Done):
                    break
        await asyncio.sleep(1)
        assert len(world.store) == 1

    worlds.virtually(story())


def test_a_failure_before_the_first_byte_is_each_followers_chance_one_at_a_time(worlds):
    async def story():
        world = worlds.World(worlds.Model(failures=3))
        made, _ = world.environment()
        found = await asyncio.gather(*(world.ask(made) for _ in range(10)))
        assert [told.error is None for told in found].count(False) == 3, "those who led the calls that failed"
        assert {told.text for told in found if told.error is None} == {worlds.whole}
        assert (world.model.calls, world.model.most) == (4, 1)

    worlds.virtually(story())


def test_a_failure_after_the_first_byte_is_everybodys_and_nobody_is_told_that_it_is_done(worlds):
    async def story():
        world = worlds.World(worlds.Model(failures=1, after=3))
        made, _ = world.environment()
        found = await asyncio.gather(*(world.ask(made) for _ in range(5)))
        assert len({id(told.error) for told in found}) == 1
        assert found[0].error is world.model.error
        assert {told.streamed for told in found} == {worlds.whole[: 3 * len(" word0")]}
        assert not any(told.done for told in found)
        assert world.model.calls == 1
        assert len(world.store) == 0

    worlds.virtually(story())


@pytest.mark.parametrize(("status", "calls"), [(400, 1), (404, 1), (429, 1), (499, 1), (500, 5), (503, 5)])
def test_a_refusal_of_the_request_is_everybodys_answer_and_a_fault_is_not(worlds, status, calls):
    async def story():
        world = worlds.World(worlds.Model(failures=99))
        world.model.error = UpstreamError("No.", status=status)
        made, _ = world.environment()
        found = await asyncio.gather(*(world.ask(made) for _ in range(5)))
        assert {told.error.status for told in found} == {status}
        assert world.model.calls == calls

    worlds.virtually(story())


def test_who_has_waited_as_long_as_a_first_token_may_take_gets_the_failure(worlds):
    """Else ten who wait for a dead model would wait one after the other, ten times as long."""

    async def story():
        world = worlds.World(worlds.Model(first=40.0, failures=99), first_token_timeout=60.0)
        made, _ = world.environment()
        await asyncio.sleep(1_000)  # how long the process runs says nothing
        found = await asyncio.gather(*(world.ask(made) for _ in range(10)))
        assert all(told.error for told in found)
        assert world.model.calls == 2
        assert worlds.now() == pytest.approx(1_080, abs=1)

    worlds.virtually(story())


def test_everyone_has_their_own_deadline_and_the_leaders_ends_nothing_for_the_others(worlds):
    async def story():
        world = worlds.World()
        made, _ = world.environment()
        hurried = asyncio.create_task(world.ask(made, call=call(deadline=monotonic() + 1.25)))
        await settle()
        patient = asyncio.create_task(world.ask(made, call=call(deadline=monotonic() + 100)))
        hurried, patient = await hurried, await patient
        assert isinstance(hurried.error, DeadlineExceeded)
        assert 0 < len(hurried.streamed) < len(worlds.whole)
        assert patient.text == worlds.whole
        assert (world.model.calls, world.model.deadlines) == (1, [None])
        alone = await world.ask(made, "Another?", call=call(deadline=monotonic() + 0.5, temperature=1))
        assert isinstance(alone.error, DeadlineExceeded)
        assert world.model.running == 0

    worlds.virtually(story())


@pytest.mark.parametrize("fields", [{"n": 2}, {"read": False}, {"write": False}, {"coalesce": False}, {"max_age": 5.0}])
def test_who_may_not_share_passes_by(worlds, fields):
    async def story():
        world = worlds.World()
        made, _ = world.environment()
        found = await asyncio.gather(*(world.ask(made, call=call(**fields)) for _ in range(3)))
        assert world.model.calls == 3
        assert {told.head.source for told in found} == {"upstream"}
        assert made.sharing.leases.calls == []

    worlds.virtually(story())


def test_tenants_namespaces_models_and_parameters_are_not_joined(worlds):
    """The key is made of the request, and not chosen by who asks."""

    async def story():
        world = worlds.World()
        made, _ = world.environment()
        tenants = [worlds.tenant, replace(worlds.tenant, namespace="test"), replace(worlds.tenant, id="other")]
        calls = [call(), call(temperature=0), call(seed=1), replace(call(), model="m2")]
        asked = [world.ask(made, tenant=tenant, call=one) for tenant in tenants for one in calls for _ in range(2)]
        assert all(told.text == worlds.whole for told in await asyncio.gather(*asked))
        assert world.model.calls == len(tenants) * len(calls)

    worlds.virtually(story())


@pytest.mark.parametrize(("word", "drain"), [("true", True), ("1", True), ("False", False), ("0", False)])
def test_the_setting_is_true_or_false(word, drain):
    assert Settings.from_env({"SUBSECOND_DRAIN": word}).drain is drain
    with pytest.raises(ValueError, match="SUBSECOND_DRAIN='maybe' is not true or false"):
        Settings.from_env({"SUBSECOND_DRAIN": "maybe"})


def test_other_questions_do_not_wait(worlds):
    """The seed's deduplicator held one lock while its followers waited: another key waited for 490 ms."""

    async def story():
        world = worlds.World(worlds.Model(first=10))
        made, _ = world.environment()
        slow = [asyncio.create_task(world.ask(made)) for _ in range(2)]
        await settle()
        world.model.first = 0.0
        other = await world.ask(made, "Other?")
        assert other.times[0] < 0.01
        assert all(told.text == worlds.whole for told in await asyncio.gather(*slow))

    worlds.virtually(story())


def test_a_cancelled_leader_blocks_nobody_who_comes_later(worlds):
    """In the seed, a cancelled leader left its future unset and the lock held: everybody waited for ever."""

    async def story():
        world = worlds.World()
        made, _ = world.environment()
        for moment in (0.0, 0.0005, 0.5, 1.05):
            leader = asyncio.create_task(world.ask(made))
            await asyncio.sleep(moment)
            leader.cancel()
            await asyncio.wait((leader,))
            assert len(made.sharing.flights) == 0
        assert (await world.ask(made)).text == worlds.whole

    worlds.virtually(story())


def test_a_failed_flight_leaves_no_forgotten_exception_and_no_shared_mutable_result(worlds):
    async def story():
        reports = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
        world = worlds.World(worlds.Model(failures=1))
        made, _ = world.environment()
        task = asyncio.create_task(world.ask(made))
        await settle()
        task.cancel()
        await asyncio.wait((task,))
        failed = await world.ask(made, "Second?")
        assert failed.error is None
        one, two = await asyncio.gather(*(world.ask(made, "Third?") for _ in range(2)))
        one.events.clear()
        assert two.done
        await asyncio.sleep(1)
        assert reports == []

    worlds.virtually(story())


def test_a_drained_call_that_fails_is_nobodys_forgotten_exception(worlds):
    async def story():
        reports = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
        world = worlds.World(worlds.Model(failures=1, after=3), drain=True)
        made, _ = world.environment()
        task = asyncio.create_task(world.ask(made))
        await asyncio.sleep(1.05)
        task.cancel()
        await asyncio.wait((task,))
        await asyncio.sleep(5)
        del task, world.model.error  # their tracebacks hold the flight
        gc.collect()
        assert (world.model.closed, len(made.sharing.flights), reports) == (1, 0, [])

    worlds.virtually(story())


@pytest.mark.parametrize("fails", [False, True])
def test_a_flight_that_has_ended_is_not_found_at_any_moment(worlds, fails):
    async def story():
        async def source():
            yield Head("upstream", "m")
            if fails:
                raise UpstreamError("No.")
            yield Done(Recording("stream", (b"{}",), "stop", "m"))

        flights = Flights()
        flight = flights.start("key", Trace(), source())
        watching = asyncio.create_task(flight.watch(None, stay=False).next())
        for _ in range(20):
            found = flights.find("key")
            assert found is None or not found._task.done()
            await asyncio.sleep(0)
        assert flights.find("key") is None
        await watching

    worlds.virtually(story())


def test_what_is_invalidated_while_a_call_runs_is_not_joined_any_more(worlds):
    async def story():
        world = worlds.World()
        made, _ = world.environment()
        before = asyncio.create_task(world.ask(made))
        await asyncio.sleep(1.25)
        moment = time.time()
        await made.rules.add(worlds.tenant.partition, Rule("model", "m", moment, moment + 60))
        after = asyncio.create_task(world.ask(made))
        before, after = await before, await after
        assert world.model.calls == 2
        assert (before.text, after.text) == (worlds.whole, worlds.whole)
        assert after.times[0] > before.times[-1], "it waited for the lease, and not for the outdated answer"

    worlds.virtually(story())


class Neighbours:
    """A semantic stage that takes its time, and finds this entry."""

    max_chars, timeout_s = 1_000, 1.0

    def __init__(self, entry, leases):
        self.entry, self.leases, self.embedder = entry, leases, self
        self.searched = 0
        self.begun_with = []

    def begin(self, tenant):
        pass

    def takes(self, call, prompt):
        return True

    async def embed(self, texts):
        self.begun_with.append(list(self.leases.calls))
        await asyncio.sleep(0.01)
        return [None]

    async def find(self, store, request, vector):
        trace = request.trace
        self.searched += 1
        trace.neighbour, trace.similarity = self.entry.prompt.key, 0.97
        return self.entry


def test_a_similar_questions_answer_serves_all_who_ask_the_same_and_each_can_explain_it(worlds, entry):
    async def story():
        world = worlds.World()
        made, _ = world.environment()
        found = entry("neighbour", created=time.time(), expires=time.time() + 60)
        found = replace(found, recording=replace(found.recording, model="m-2026-01-01"))
        similar = Neighbours(found, made.sharing.leases)
        lazy = Lazy(lambda: similar)
        lazy.made = similar
        made = replace(made, semantic=lazy)
        told = await asyncio.gather(*(world.ask(made) for _ in range(5)))
        assert (similar.searched, world.model.calls) == (1, 0)
        assert similar.begun_with == [["acquire"]], "the lease is asked for beside the embedder"
        assert {one.head.source for one in told} == {"semantic"}
        for one in told:
            assert [type(event) for event in one.events] == [Head, Done]
            assert (one.trace.source, one.trace.neighbour, one.trace.similarity) == ("semantic", "neighbour", 0.97)
            assert one.trace.served == "m-2026-01-01"
            assert (await made.hits.find(worlds.tenant.partition, one.trace.request_id)).entry == "neighbour"
        assert made.sharing.leases.calls == ["acquire", "release"]

    worlds.virtually(story())


def test_the_head_comes_before_the_chunks_for_everyone(worlds):
    async def story():
        world = worlds.World()
        made, _ = world.environment()
        found = await asyncio.gather(*(world.ask(made) for _ in range(3)))
        for told in found:
            assert [type(event) for event in told.events] == [Head, *[Chunk] * 9, Done]

    worlds.virtually(story())


def test_off_means_off(worlds):
    async def story():
        world = worlds.World()
        made, _ = world.environment()
        off = replace(made, sharing=replace(made.sharing, leases=None))
        found = await asyncio.gather(*(world.ask(off) for _ in range(3)))
        assert world.model.calls == 3
        assert all(told.done for told in found)

    worlds.virtually(story())


def test_who_joined_what_failed_shows_where_it_failed():
    """A fault of ours is found by its traceback alone: the log has no message."""

    async def source():
        await asyncio.sleep(0)
        raise KeyError
        yield

    async def watched(flight):
        with pytest.raises(KeyError) as seen:
            await flight.watch(None, stay=False).next()
        return [one.name for one in seen.traceback]

    async def story():
        flight = Flights().start("key", Trace(), source())
        return await asyncio.gather(watched(flight), watched(flight))

    for names in asyncio.run(story()):
        assert names[-1] == "source"
        assert names.count("next") == 1
