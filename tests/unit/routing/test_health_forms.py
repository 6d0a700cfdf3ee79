"""Streams and whole calls of one model: times of their own, one judgement."""

import pytest

from subsecond.routing.histories import History, Prior, decode, encode
from subsecond.stores.memory.health import MemoryHealthStore
from tests.support import virtual


class Clock:
    def __init__(self):
        self.now = 1_700_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def make(clock, store=None, **priors):
    return virtual.health(store, clock=clock, ticks=clock, priors=priors)


def replies(health, clock, n, seconds, tokens, model="m"):
    """`n` whole calls, one after another."""
    for _ in range(n):
        timer = health.begin(model, "whole")
        clock.now += seconds
        timer.replied(tokens)


def streams(health, clock, n, seconds, model="m"):
    for _ in range(n):
        timer = health.begin(model)
        clock.now += seconds
        timer.first_token()


def test_without_data_a_whole_reply_takes_its_first_token_and_its_words(clock):
    found = make(clock, m=Prior(0.5, 50.0)).predict("m", "whole")
    assert found.ttft_p50 == pytest.approx(0.5 + 256 / 50, rel=0.1)
    assert found.ttft_p95 == pytest.approx(1.25 + 256 / 50, rel=0.1)
    # Nothing comes after the reply: it takes as long whatever is in it.
    assert found.total(1_000) == found.ttft_p50


def test_each_form_has_its_own_times(clock):
    health = make(clock, m=Prior(0.3))
    for _ in range(20):
        streams(health, clock, 1, 0.3)
        replies(health, clock, 1, 8.0, 400)
    assert health.predict("m").ttft_p50 == pytest.approx(0.3, rel=0.1)
    assert health.predict("m", "whole").ttft_p50 == pytest.approx(8.0, rel=0.1)
    assert health.late("m", 0.97) < 1.5
    assert health.late("m", 0.97, "whole") >= 7.5
    assert not health.circuit_open("m")


def test_how_long_an_answer_may_be_bounds_a_whole_reply_where_that_is_known(clock):
    health = make(clock, m=Prior(0.2, 50.0))
    assert health.predict("m", "whole", 5).ttft_p95 == pytest.approx(0.5 + 5 / 50, rel=0.1)
    replies(health, clock, 60, 9.0, 400)
    # First tokens may have become slow as well: nobody has seen one.
    assert health.predict("m", "whole", 5).ttft_p50 == pytest.approx(9.0, rel=0.1)
    streams(health, clock, 60, 0.2)
    clock.now += 15
    assert health.predict("m", "whole", 5).ttft_p50 < 0.5


def test_failures_are_known_in_the_form_in_which_they_happened_and_add_up(clock):
    health = make(clock, m=Prior(0.3))
    for _ in range(20):
        streams(health, clock, 1, 0.3)
        health.begin("m", "whole").failed()
    clock.now += 15
    assert health.predict("m").ttft_p95 < 1.0
    assert health.predict("m", "whole").ttft_p95 == pytest.approx(60.0, rel=0.1)
    assert health.predict("m").error_rate == health.predict("m", "whole").error_rate > 0.4


@pytest.mark.parametrize(("tokens", "rests"), [(400, False), (120, False), (30, True), (0, True)])
def test_long_answers_are_not_slow_and_short_ones_that_take_as_long_are(clock, tokens, rests):
    health = make(clock, m=Prior(0.3, 50.0))
    replies(health, clock, 30, 1.0, 30)
    replies(health, clock, 6, 8.0, tokens)
    assert health.circuit_open("m") is rests


@pytest.mark.parametrize(
    ("form", "seconds", "rests"), [("stream", 3, True), ("whole", 3, False), ("whole", 15, False), ("whole", 30, True)]
)
def test_a_whole_call_that_is_still_out_may_be_a_long_one(clock, form, seconds, rests):
    health = make(clock, m=Prior(0.3))
    for _ in range(8):
        health.begin("m", form)
    clock.now += seconds
    assert health.circuit_open("m") is rests


def test_a_model_that_hangs_is_noticed_while_all_wait_whatever_else_is_out(clock):
    health = make(clock, m=Prior(0.3))
    replies(health, clock, 200, 0.5, 10)
    health.begin("m")
    for _ in range(6):
        health.begin("m", "whole")
    clock.now += 4
    assert health.circuit_open("m")


def test_whole_calls_that_fail_let_it_rest_and_good_ones_end_that(clock):
    health = make(clock, m=Prior(0.3))
    for _ in range(3):
        health.begin("m", "whole").failed()
    assert health.circuit_open("m")
    clock.now += 10
    replies(health, clock, 2, 1.0, 30)
    assert not health.circuit_open("m")


def test_whole_replies_tell_the_speed(clock):
    health = make(clock, m=Prior(0.5, 50.0))
    replies(health, clock, 30, 10.5, 200)
    clock.now += 15
    assert health.predict("m").tokens_per_second == pytest.approx(20.0, rel=0.1)
    assert health.seconds_for("m", 4_000) == pytest.approx(200.0, rel=0.1)


def test_a_model_that_nobody_has_called_whole_for_a_while_is_tried_again(clock):
    health = make(clock, m=Prior(0.3, 50.0))
    replies(health, clock, 30, 30.0, 600)
    clock.now += 60
    assert health.predict("m", "whole").ttft_p50 == pytest.approx(0.3 + 256 / 50, rel=0.1)


async def test_others_hear_of_late_replies_but_not_of_long_ones(clock):
    store = MemoryHealthStore()
    for tokens, rests in ((2_000, False), (30, True)):
        one, other = (make(clock, store, m=Prior(0.3, 50.0)) for _ in range(2))
        other.begin("m").first_token()
        await other.flush(force=True)
        for health in (one, other):
            health.begin("m", "whole").replied(5)
        replies(one, clock, 8, 40.0, tokens)
        await one.flush(force=True)
        await other.flush(force=True)
        assert other.circuit_open("m") is rests
        clock.now += 1_000


def test_what_is_stored_has_names_for_each_form():
    history = History(failed=1, late=2, lost=3)
    history.ttft.add(100.0)
    history.reply.add(2_000.0)
    history.speed.add(50.0)
    figures = encode({"a|b": history})
    assert {name.rsplit("|", 2)[1] for name in figures} == {"t", "w", "v", "f", "l", "x"}
    assert encode(decode(figures)) == figures
    assert all(name.startswith("a|b|") for name in figures)


def test_figures_of_an_earlier_version_are_of_streams():
    found = decode({"m|t|80": 2, "m|v|45": 2, "m|f|0": 1})["m"]
    assert (found.ttft.counts, found.failed, found.reply.counts, found.lost) == ({80: 2}, 1, {}, 0)
