"""Any interleaving: requests, trips to the stores that take their time, deaths, departures, lost leases."""

import asyncio
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

# When (seconds), what, and whom it meets.
accidents = st.lists(
    st.tuples(st.floats(0, 12, width=16), st.sampled_from(["kill", "leave", "lose"]), st.integers(0, 30)), max_size=4
)


async def run(worlds, seed, count, clients, happens, model):
    world = worlds.World(model, lease_seconds=2.0)
    random = Random(seed)
    made = [world.environment(f"e{n}", most=0.04, random=random)[0] for n in range(count)]
    places = [random.randrange(count) for _ in range(clients)]
    told = [worlds.Told() for _ in places]

    async def client(number):
        await asyncio.sleep(random.choice((0.0, random.uniform(0, 0.2), random.uniform(0, 3))))
        return await world.ask(made[places[number]], told=told[number], pace=random.choice((0, 0, 0.2)))

    tasks = [asyncio.create_task(client(number)) for number in range(clients)]
    gone = set()

    async def happen(moment, what, whom):
        await asyncio.sleep(moment)
        if what == "lose":
            world.leases._leases.clear()
            return
        chosen = [whom % clients] if what == "leave" else [n for n in range(clients) if places[n] == whom % count]
        if what == "kill":
            made[whom % count].exact.environment.dead = True
        gone.update(chosen)
        for number in chosen:
            tasks[number].cancel()

    await asyncio.gather(*(happen(*one) for one in happens))
    await asyncio.wait(tasks)
    # Whatever still beats or stores in a background has ended long before.
    await asyncio.sleep(60)
    return world, made, [told[number] for number in range(clients) if number not in gone], told


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 5), st.integers(1, 12), accidents)
@example(1, 4, 8, [(0.6, "kill", 0), (3.5, "kill", 1), (5.5, "kill", 2)])
@example(2, 3, 9, [(1.0, "lose", 0), (1.5, "kill", 0), (4.0, "lose", 0)])
def test_everyone_who_stays_gets_the_whole_answer_for_one_call_more_an_accident(worlds, seed, count, clients, happens):
    async def story():
        world, made, stayed, everybody = await run(
            worlds, seed, count, clients, happens, worlds.Model(first=0.5, gap=0.15)
        )
        assert all(told.done and told.text == worlds.whole for told in stayed), [told.error for told in stayed]
        # Half an answer is never told as a whole one.
        assert all(told.text == worlds.whole for told in everybody if told.done)
        assert all(told.streamed in ("", worlds.whole) for told in stayed)
        assert world.model.calls <= 1 + len(happens)
        assert world.model.running == 0
        for one in made:
            assert len(one.sharing.flights) == 0
        # The lease's time, the call and the longest gap, for each accident.
        assert max([told.times[-1] for told in stayed], default=0) < 3 + 6 + (1 + len(happens)) * (2 + 1.7 + 2)

    worlds.virtually(story())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 5), st.integers(1, 12), st.integers(1, 4), st.integers(0, 3))
def test_a_model_that_fails_at_first_costs_those_who_led_and_calls_are_one_at_a_time(
    worlds, seed, count, clients, failures, after
):
    async def story():
        model = worlds.Model(first=0.5, failures=failures, after=after)
        world, _, found, _ = await run(worlds, seed, count, clients, [], model)
        assert all(told.done is (told.error is None) for told in found)
        assert all(told.text == worlds.whole for told in found if told.done)
        assert (world.model.most, world.model.running) == (1, 0)
        assert world.model.calls <= failures + 1
        failed = [told for told in found if told.error]
        assert len(failed) == min(failures, world.model.calls) if not after else not any(told.done for told in failed)

    worlds.virtually(story())
