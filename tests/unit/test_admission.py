"""Bounds on concurrent calls, and the fair queue before them."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subsecond.errors import DeadlineExceeded, Overloaded
from subsecond.upstreams.admission import Admission, Limits

FOREVER = 3600.0


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


class Crowd:
    """Calls that stay until they are told to go; `entered` names them in the order in which they were admitted."""

    def __init__(self, admission):
        self.admission = admission
        self.entered = []
        self.tasks = {}
        self._ends = {}

    async def comes(self, name, model="m", tenant="t", deadline=None):
        self._ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._stay(name, model, tenant, deadline))
        await settle()

    async def _stay(self, name, model, tenant, deadline):
        async with self.admission.place(model, tenant, deadline):
            self.entered.append(name)
            await self._ends[name].wait()

    async def goes(self, name):
        self._ends[name].set()
        await settle()

    async def all_go(self):
        while any(not task.done() for task in self.tasks.values()):
            for end in self._ends.values():
                end.set()
            await settle()


def admission(model=2, tenant=2, waiting=4, patience=FOREVER):
    return Admission(Limits(model, tenant, waiting, patience, batch=8))


async def test_a_model_runs_no_more_calls_than_its_bound_and_the_next_enters_when_one_leaves():
    crowd = Crowd(admission(model=2, tenant=9))
    for name in "abc":
        await crowd.comes(name)
    assert crowd.entered == ["a", "b"]
    await crowd.goes("a")
    assert crowd.entered == ["a", "b", "c"]
    await crowd.all_go()
    assert crowd.admission.running == crowd.admission.waiting == 0


async def test_a_tenant_is_bounded_over_all_models_and_others_are_not_held_up():
    crowd = Crowd(admission(model=9, tenant=1))
    await crowd.comes("mine", model="m1", tenant="t1")
    await crowd.comes("mine too", model="m2", tenant="t1")
    await crowd.comes("another's", model="m2", tenant="t2")
    assert crowd.entered == ["mine", "another's"]
    await crowd.all_go()


async def test_a_full_model_does_not_hold_up_a_waiter_for_another_one():
    crowd = Crowd(admission(model=1, tenant=2, waiting=4))
    await crowd.comes("a", model="m1", tenant="t")
    await crowd.comes("b", model="m2", tenant="t")
    await crowd.comes("waits for m1", model="m1", tenant="t")
    await crowd.comes("waits for m2", model="m2", tenant="t")
    await crowd.goes("b")
    assert crowd.entered[-1] == "waits for m2"
    await crowd.all_go()


async def test_one_who_leaves_lets_in_all_who_waited_for_that_place_alone():
    crowd = Crowd(admission(model=1, tenant=1))
    await crowd.comes("a", model="m1", tenant="t1")
    await crowd.comes("waits for the model", model="m1", tenant="t2")
    await crowd.comes("waits for the tenant", model="m2", tenant="t1")
    await crowd.goes("a")
    assert crowd.entered[1:] == ["waits for the model", "waits for the tenant"]
    assert crowd.admission.running == 2
    await crowd.all_go()


async def test_nothing_is_remembered_of_names_that_have_no_calls():
    some = admission(model=1)
    for number in range(50):
        async with some.place(f"m{number}", f"t{number}", batch=f"b{number}"):
            pass
    assert not some._models
    assert not some._tenants
    assert not some._batches


async def test_tenants_take_turns_however_many_calls_one_of_them_makes():
    crowd = Crowd(admission(model=1, tenant=9, waiting=9))
    await crowd.comes("first")
    for name in ("greedy 1", "greedy 2", "greedy 3"):
        await crowd.comes(name, tenant="greedy")
    await crowd.comes("modest", tenant="modest")
    for name in ("first", "greedy 1", "modest", "greedy 2"):
        await crowd.goes(name)
    assert crowd.entered == ["first", "greedy 1", "modest", "greedy 2", "greedy 3"]
    await crowd.all_go()


async def test_past_the_queue_a_call_is_refused_with_a_retry_after():
    crowd = Crowd(admission(model=1, waiting=1))
    for name in "abc":
        await crowd.comes(name)
    with pytest.raises(Overloaded) as caught:
        await crowd.tasks["c"]
    assert (caught.value.status, caught.value.retry_after) == (429, "1")
    assert crowd.admission.waiting == 1
    await crowd.all_go()


async def test_in_a_full_queue_the_newest_of_the_longest_line_makes_room():
    crowd = Crowd(admission(model=1, tenant=9, waiting=3))
    for name in ("first", "greedy 1", "greedy 2", "greedy 3"):
        await crowd.comes(name, tenant="greedy")
    await crowd.comes("modest", tenant="modest")
    with pytest.raises(Overloaded):
        await crowd.tasks["greedy 3"]
    await crowd.goes("first")
    await crowd.goes("greedy 1")
    assert crowd.entered[-1] == "modest"
    await crowd.all_go()


async def test_patience_ends_in_429_and_a_nearer_deadline_in_504():
    busy = admission(model=1, patience=0.0)
    async with busy.place("m", "t"):
        with pytest.raises(Overloaded):
            await busy.place("m", "t").__aenter__()
    busy = admission(model=1)
    async with busy.place("m", "t"):
        with pytest.raises(DeadlineExceeded):
            await busy.place("m", "t", deadline=0.0).__aenter__()
    assert busy.running == busy.waiting == 0


async def test_retry_after_grows_with_the_calls_duration_and_the_queue():
    now = 0.0
    busy = Admission(Limits(1, 1, 0, 1.0, batch=8), ticks=lambda: now)
    async with busy.place("m", "t"):
        now += 300.0
    async with busy.place("m", "t"):
        with pytest.raises(Overloaded) as caught:
            await busy.place("m", "t").__aenter__()
    assert int(caught.value.retry_after) == 30


async def test_who_is_cancelled_in_the_moment_of_being_admitted_gives_the_place_back():
    busy = admission(model=1)
    async with AsyncExitStack() as first:
        await first.enter_async_context(busy.place("m", "t"))
        waiter = asyncio.create_task(busy.place("m", "t").__aenter__())
        await settle()
    # Admitted by now, but it has not run since.
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert busy.running == busy.waiting == 0


async def test_a_batch_runs_no_more_of_its_prompts_at_once_than_its_bound_and_they_wait_without_a_429():
    busy = Admission(Limits(model=9, tenant=9, waiting=0, patience=0.0, batch=2))
    most = 0

    async def prompt():
        nonlocal most
        async with busy.place("m", "t", batch="b"):
            most = max(most, busy.running)
            await settle()

    await asyncio.gather(*(prompt() for _ in range(7)))
    assert most == 2
    assert not busy._batches


async def test_a_prompt_whose_deadline_comes_before_its_turn_in_the_batch_is_504():
    busy = Admission(Limits(model=9, tenant=9, waiting=0, patience=0.0, batch=1))
    async with busy.place("m", "t", batch="b"):
        with pytest.raises(DeadlineExceeded):
            await busy.place("m", "t", deadline=0.0, batch="b").__aenter__()
        async with busy.place("m", "t", batch="another"):
            assert busy.running == 2


CALLS = st.tuples(
    st.sampled_from(["come", "go", "cancel"]), st.integers(0, 9), st.sampled_from("ab"), st.sampled_from("xyz")
)


@given(st.lists(CALLS, max_size=60))
@settings(deadline=None, max_examples=60)
def test_bounds_hold_nothing_is_lost_and_no_place_stays_empty_while_somebody_could_have_it(steps):
    async def run():
        crowd = Crowd(admission(model=2, tenant=2, waiting=3))
        places, told = {}, Counter()
        for step, number, model, tenant in steps:
            if step == "come":
                told[number] += 1
                places[number, told[number]] = (model, tenant)
                await crowd.comes((number, told[number]), model, tenant)
            elif step == "go" and told[number]:
                await crowd.goes((number, told[number]))
            elif told[number]:
                crowd.tasks[number, told[number]].cancel()
                await settle()
            inside = [places[name] for name in crowd.entered if not crowd.tasks[name].done()]
            models, tenants = Counter(m for m, _ in inside), Counter(t for _, t in inside)
            assert max(models.values(), default=0) <= 2
            assert max(tenants.values(), default=0) <= 2
            assert crowd.admission.running == len(inside)
            assert crowd.admission.waiting <= 3
            for name, task in crowd.tasks.items():
                if not task.done() and name not in crowd.entered:
                    wanted, whose = places[name]
                    assert models[wanted] == 2 or tenants[whose] == 2
        await crowd.all_go()
        await asyncio.gather(*crowd.tasks.values(), return_exceptions=True)
        assert crowd.admission.running == crowd.admission.waiting == 0

    asyncio.run(run())
