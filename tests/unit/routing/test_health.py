"""What is predicted, whose circuit opens, and how that is found out together."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subsecond.routing.histories import History, Prior, decode, encode
from subsecond.stores.memory.health import MemoryHealthStore
from tests.benchmarks import tails
from tests.support import virtual
from tests.support.clock import Clock


@pytest.fixture
def health(clock):
    return make(clock)


def make(clock, store=None, **priors):
    return virtual.health(store, clock=clock, ticks=clock, priors=priors)


def calls(health, clock, n, seconds, *, model="m", gap=0.0):
    """`n` calls, one after another, each with its first token after so many seconds."""
    for _ in range(n):
        timer = health.begin(model)
        clock.now += seconds
        timer.first_token()
        clock.now += gap


def fails(health, n=1, *, model="m", retry_after=None):
    for _ in range(n):
        health.begin(model).failed(retry_after)


def test_without_data_the_prior_is_predicted(clock):
    found = make(clock, m=Prior(0.8, 20.0)).predict("m")
    assert found.ttft_p50 == pytest.approx(0.8, rel=0.1)
    assert found.ttft_p95 == pytest.approx(2.0, rel=0.1)
    assert found.tokens_per_second == pytest.approx(20.0, rel=0.1)
    assert (found.error_rate, found.circuit_open) == (0.0, False)
    assert found.total(40) == pytest.approx(2.8, rel=0.1)


def test_with_data_quantiles_are_predicted_and_not_means(clock):
    health = make(clock, m=Prior(0.2))
    for at in range(100):
        calls(health, clock, 1, 0.6 if at % 10 == 9 else 0.2, gap=0.1)
    clock.now += 15
    found = health.predict("m")
    assert found.ttft_p50 == pytest.approx(0.2, rel=0.1)
    assert found.ttft_p95 == pytest.approx(0.6, rel=0.1)


def test_seed_55_first_token_and_speed_are_apart_and_failures_count_as_late(health, clock):
    for at in range(20):
        timer = health.begin("m")
        clock.now += 0.5
        if at % 5 == 4:
            timer.failed()
            continue
        timer.first_token()
        clock.now += 2.0
        timer.finished(201)
    clock.now += 15
    found = health.predict("m")
    assert found.ttft_p50 == pytest.approx(0.5, rel=0.1)
    assert found.ttft_p95 == pytest.approx(60.0, rel=0.1)
    assert found.tokens_per_second == pytest.approx(100.0, rel=0.1)
    assert 0.1 < found.error_rate < 0.2


def test_a_slow_hour_ago_weighs_nothing(clock):
    health = make(clock, m=Prior(0.2))
    calls(health, clock, 50, 3.0)
    clock.now += 3_600
    assert health.predict("m").ttft_p50 == pytest.approx(0.2, rel=0.1)
    calls(health, clock, 10, 0.3)
    clock.now += 15
    assert health.predict("m").ttft_p95 < 1.0


def test_old_calls_weigh_less_than_new_ones(clock):
    health = make(clock, m=Prior(0.4))
    calls(health, clock, 20, 0.5)
    clock.now += 150
    calls(health, clock, 12, 1.5)
    clock.now += 15
    assert health.predict("m").ttft_p50 == pytest.approx(1.5, rel=0.1)


def test_seed_54_a_model_slow_for_a_spell_is_tried_again_by_one_call_at_a_time(clock):
    health = make(clock, m=Prior(0.3))
    calls(health, clock, 30, 0.3, gap=1.0)
    calls(health, clock, 5, 3.0)
    assert health.circuit_open("m")
    assert health.predict("m").ttft_p50 > 1.0
    clock.now += 10
    assert not health.circuit_open("m")
    assert health.predict("m").ttft_p50 == pytest.approx(0.3, rel=0.1)
    probe = health.begin("m")
    assert health.circuit_open("m")
    clock.now += 0.3
    probe.first_token()
    assert not health.circuit_open("m")
    calls(health, clock, 1, 0.3)
    assert health.predict("m").ttft_p50 == pytest.approx(0.3, rel=0.1)
    calls(health, clock, 4, 3.0)
    assert not health.circuit_open("m")


def test_a_circuit_of_who_is_still_slow_stays_open_longer_but_never_a_minute(clock):
    health = make(clock, m=Prior(0.3))
    calls(health, clock, 30, 0.3)
    calls(health, clock, 5, 3.0)
    rests = []
    for _ in range(5):
        begun = clock.now
        while health.circuit_open("m"):
            clock.now += 1
        rests.append(clock.now - begun)
        calls(health, clock, 1, 3.0)
    assert rests == sorted(rests)
    assert rests[0] == pytest.approx(10, abs=1.1)
    assert rests[-1] == pytest.approx(30, abs=1.1)
    assert rests[-1] * 1.5 < 60


def test_one_lucky_call_closes_no_circuit(clock):
    health = make(clock, m=Prior(0.3))
    calls(health, clock, 30, 0.3)
    calls(health, clock, 5, 3.0)
    clock.now += 10
    calls(health, clock, 1, 0.3)
    assert not health.circuit_open("m")
    calls(health, clock, 1, 3.0)
    assert health.circuit_open("m")


def test_what_stays_slow_is_how_it_is_now(clock):
    health = make(clock, m=Prior(0.3))
    calls(health, clock, 30, 0.3)
    for _ in range(600):
        if not health.circuit_open("m"):
            calls(health, clock, 1, 3.0)
        clock.now += 1
    assert not health.circuit_open("m")
    calls(health, clock, 5, 3.0)
    assert health.predict("m").ttft_p50 > 1.0


def test_three_failures_in_a_row_open_the_circuit_and_two_do_not(health, clock):
    fails(health, 2)
    calls(health, clock, 1, 0.3)
    fails(health, 2)
    assert not health.circuit_open("m")
    fails(health)
    assert health.circuit_open("m")
    assert health.predict("m").circuit_open


def test_a_wish_for_peace_is_honoured_at_once_and_up_to_a_minute(health, clock):
    fails(health, retry_after=20.0)
    assert health.circuit_open("m")
    clock.now += 19
    assert health.circuit_open("m")
    clock.now += 1.1
    assert not health.circuit_open("m")
    fails(health, retry_after=3_600.0)
    clock.now += 61
    assert not health.circuit_open("m")


def test_calls_that_wait_too_long_count_before_they_end(clock):
    health = make(clock, m=Prior(0.3))
    for _ in range(5):
        health.begin("m")
    assert not health.circuit_open("m")
    clock.now += 2.0
    assert health.circuit_open("m")


def test_a_loser_that_was_quick_is_not_counted_and_a_late_one_is(clock):
    health = make(clock, m=Prior(0.3))
    health.begin("m").abandoned()
    assert not health._own
    timer = health.begin("m")
    clock.now += 5.0
    timer.abandoned()
    [histories] = health._own.values()
    assert histories["m"].ttft.count == 1


def test_a_probe_that_nobody_waited_for_leaves_the_place_to_another(health, clock):
    fails(health, 3)
    clock.now += 10
    probe = health.begin("m")
    assert health.circuit_open("m")
    probe.abandoned()
    assert not health.circuit_open("m")


def test_a_model_that_nobody_called_for_a_while_is_worth_a_call(clock):
    """Slower than its prior, but no spell: it would be avoided for ever."""
    health = make(clock, m=Prior(0.3))
    calls(health, clock, 30, 0.9)
    clock.now += 15
    assert health.predict("m").ttft_p50 == pytest.approx(0.9, rel=0.1)
    clock.now += 50
    assert health.predict("m").ttft_p50 == pytest.approx(0.3, rel=0.1)
    probe = health.begin("m")
    assert health.predict("m").ttft_p50 == pytest.approx(0.9, rel=0.1)
    clock.now += 0.3
    probe.first_token()
    assert health.predict("m").ttft_p50 == pytest.approx(0.3, rel=0.2)


def test_late_is_no_later_than_eight_medians_whatever_fails(health, clock):
    for _ in range(3):
        calls(health, clock, 10, 0.5)
        fails(health, 2)
    clock.now += 15
    assert health.late("m", 0.97) == pytest.approx(4.0, rel=0.1)


async def test_environments_learn_from_each_other(clock):
    store = MemoryHealthStore()
    one, other = make(clock, store, m=Prior(0.3)), make(clock, store, m=Prior(0.3))
    calls(one, clock, 20, 0.6)
    await one.flush()
    calls(other, clock, 1, 0.6, model="n")
    assert other.predict("m").ttft_p50 == pytest.approx(0.3, rel=0.1)
    await other.flush()
    assert other.predict("m").ttft_p50 == pytest.approx(0.6, rel=0.1)


async def test_an_environment_leaves_a_model_that_was_slow_for_another(clock):
    store = MemoryHealthStore()
    one, other = make(clock, store), make(clock, store)
    for each in (one, other):
        calls(each, clock, 5, 0.5)
        await each.flush(force=True)
    calls(one, clock, 5, 5.0)
    await one.flush(force=True)
    calls(other, clock, 1, 0.5, model="n")
    await other.flush(force=True)
    assert other.circuit_open("m")


async def test_an_environment_finds_a_model_again_that_was_well_for_another(clock):
    store = MemoryHealthStore()
    one, other = make(clock, store), make(clock, store)
    fails(other, 3)
    clock.now += 11
    calls(one, clock, 3, 0.5)
    await one.flush(force=True)
    calls(other, clock, 1, 0.5, model="n")
    await other.flush(force=True)
    assert not other.circuit_open("m")
    assert other.begin("m")
    assert not other.circuit_open("m")


async def test_our_own_calls_do_not_come_back_as_news_of_others(clock):
    health = make(clock)
    calls(health, clock, 20, 0.5)
    await health.flush(force=True)
    calls(health, clock, 3, 5.0)
    await health.flush(force=True)
    assert not health.circuit_open("m")


async def test_a_merge_waits_for_its_interval_and_for_something_to_say(clock):
    class Counting(MemoryHealthStore):
        merges = 0

        async def merge_and_read(self, slice_, figures, oldest):
            self.merges += 1
            return await super().merge_and_read(slice_, figures, oldest)

    store = Counting()
    health = make(clock, store)
    await health.flush()
    assert store.merges == 0
    for _ in range(20):
        calls(health, clock, 1, 1.0)
        await health.flush()
    assert store.merges == 4
    await health.flush(force=True)
    await health.flush(force=True)
    assert store.merges == 5


async def test_a_store_that_fails_loses_nothing(clock):
    class Failing(MemoryHealthStore):
        fails = True

        async def merge_and_read(self, slice_, figures, oldest):
            if self.fails:
                raise OSError
            return await super().merge_and_read(slice_, figures, oldest)

    store = Failing()
    health = make(clock, store)
    calls(health, clock, 4, 0.5)
    with pytest.raises(OSError):  # noqa: PT011 -- it has no words
        await health.flush()
    store.fails = False
    await health.flush(force=True)
    [figures] = store._slices.values()
    assert sum(figures.values()) == 4


async def test_nothing_is_counted_twice_by_merging(clock):
    health = make(clock)
    calls(health, clock, 4, 0.5)
    fails(health, 1)
    clock.now += 15
    before = health.predict("m").error_rate
    await health.flush()
    assert health.predict("m").error_rate == pytest.approx(before, rel=0.1)


async def test_a_freeze_of_ten_minutes_forgets_and_goes_on(clock):
    health = make(clock, m=Prior(0.3))
    calls(health, clock, 5, 3.0)
    await health.flush()
    clock.now += 600
    assert not health.circuit_open("m")
    assert health.predict("m").ttft_p50 == pytest.approx(0.3, rel=0.1)
    calls(health, clock, 2, 0.3)
    await health.flush()
    assert health.predict("m").ttft_p50 == pytest.approx(0.3, rel=0.1)


names = st.text("ab|/.:#-", min_size=1, max_size=6)


@given(st.dictionaries(names, st.lists(st.floats(0.01, 1e6), min_size=1, max_size=5), max_size=4), st.integers(0, 3))
def test_records_survive_their_names(times, failed):
    histories = {}
    for name, values in times.items():
        history = histories[name] = History(failed=failed)
        for value in values:
            history.ttft.add(value)
            history.speed.add(value / 2)
    found = decode(encode(histories))
    assert {name: (one.ttft.counts, one.speed.counts, one.failed) for name, one in found.items()} == {
        name: (one.ttft.counts, one.speed.counts, one.failed) for name, one in histories.items()
    }
    assert decode({"a later kind|x|1": 1, "none": 2}).get("none") is None


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("sfgw"), st.floats(0.0, 40.0)), max_size=60))
def test_whatever_happens_a_model_is_free_again_after_a_minute_in_peace(events):
    clock = Clock()
    health = make(clock)
    for kind, seconds in events:
        if kind == "w":
            clock.now += seconds
        elif kind == "s":
            calls(health, clock, 1, seconds)
        else:
            timer = health.begin("m")
            clock.now += seconds
            timer.abandoned() if kind == "g" else timer.failed(seconds if seconds > 30 else None)
        found = health.predict("m")
        assert 0 <= found.error_rate <= 1
        assert 0 < found.ttft_p50 <= found.ttft_p95
    clock.now += 60.1
    assert not health.circuit_open("m")


def test_a_model_ten_times_slower_is_left_within_20_requests_and_found_again_within_a_minute_across_environments():
    for seed in (1, 2):
        found = tails.slowdown(environments=2, rate=2.0, well=60.0, spell=60.0, after=75.0, seed=seed)
        assert found["before"] > 0.9
        assert found["left"] <= 20
        assert found["found"] <= 60
