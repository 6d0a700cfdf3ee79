"""What fits, and what is left out when it does not."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.errors import DeadlineExceeded
from subsecond.routing.deadlines import Costs, affords, check, fits, remaining
from subsecond.stats.trace import Trace

times = st.floats(0, 1e6)


@given(times, times, times)
def test_what_fits_ends_by_the_deadline_and_nothing_else_does(deadline, cost, now):
    assert fits(deadline, cost, now) == (now + cost <= deadline)
    assert 0 <= remaining(deadline, now) <= deadline


@given(times, times)
def test_without_a_deadline_everything_fits(cost, now):
    assert fits(None, cost, now)
    assert remaining(None, now) == inf
    check(None, now)


def test_seed_56_a_limit_of_no_milliseconds_is_a_limit():
    """`if max_latency_ms:` took 0 for none."""
    assert remaining(0.0, 5.0) == 0.0
    with pytest.raises(DeadlineExceeded) as late:
        check(5.0, 5.0)
    assert late.value.status == 504


def test_a_stage_that_does_not_fit_is_left_out_and_the_trace_says_so():
    trace = Trace()
    assert affords(trace, "semantic", 10.0, 0.5, 9.0)
    assert trace.skipped == []
    assert not affords(trace, "semantic", 10.0, 1.5, 9.0)
    assert trace.skipped == ["semantic"]
    assert trace.counts["skipped_semantic"] == 1
    assert trace.public()["skipped"] == ["semantic"]


def test_a_trace_without_routing_says_nothing_of_it():
    assert not {"skipped", "attempts", "speculation"} & set(Trace().public())


def test_a_stages_cost_is_what_it_took_with_a_reserve():
    costs = Costs()
    assert costs.of("embed") == 0.0
    for _ in range(50):
        costs.learn({"embed": 0.02})
    assert costs.of("embed") == pytest.approx(0.02, rel=0.01)
    for at in range(50):
        costs.learn({"embed": 0.01 if at % 2 else 0.05})
    assert 0.05 < costs.of("embed") < 0.15


@given(st.lists(st.floats(0.001, 0.1), min_size=1, max_size=50))
def test_a_cost_is_never_below_the_least_that_was_seen(durations):
    costs = Costs()
    for seconds in durations:
        costs.learn({"embed": seconds})
    assert costs.of("embed") >= min(durations) - 1e-9
