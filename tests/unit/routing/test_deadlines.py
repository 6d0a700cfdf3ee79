"""What fits, and what is left out when it does not."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.errors import DeadlineExceeded
from subsecond.routing.deadlines import Costs, SemanticBudget, check, fits, remaining
from subsecond.stats.trace import Step, Trace

times = st.floats(0, 1e6)
# Steps that a model's time has no part of: what comes before it, and what comes after the last byte.
OTHERS = (Step.AUTHENTICATE, Step.PARSE, Step.PREPARE, Step.EXACT, Step.STORE)


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


def ended(source="upstream", error=None, *, model=0.0, semantic=None):
    """A trace of a request that took so long in each part."""
    trace = Trace(source=source, error=error)
    trace.steps = dict.fromkeys(OTHERS, 0.25)
    if semantic is not None:
        trace.steps |= {Step.EMBED: semantic / 4, Step.SEMANTIC: semantic * 3 / 4}
    trace.total = sum(trace.steps.values()) + model
    return trace


def budget(now=10.0, *, model=1.0, semantic=0.5, rounds=60):
    """After so many requests that each took the same the reserve is next to nothing."""
    found = SemanticBudget(ticks=lambda: now)
    for _ in range(rounds):
        found.learn(ended(model=model, semantic=semantic))
    return found


@pytest.mark.parametrize(("left", "looks"), [(None, True), (1.6, True), (1.4, False), (1.1, False), (0.9, True)])
def test_similar_questions_are_left_out_where_that_saves_the_deadline_and_the_trace_says_so(left, looks):
    """With 0.9 s left the model, which takes 1 s, is too late anyway: only a neighbour can answer in time."""
    trace = Trace()
    assert budget().allows(left and 10.0 + left, trace) == looks
    told = [] if looks else [Step.SEMANTIC]
    assert trace.skipped == told
    assert trace.counts["skipped_semantic"] == len(told)
    assert trace.public().get("skipped", []) == told
    assert ('semantic;desc="skipped"' in trace.server_timing()) == (not looks)


def test_what_was_never_seen_is_tried():
    assert SemanticBudget().allows(0.0, Trace())


def test_what_is_left_out_is_tried_again_after_a_while():
    found = budget(semantic=20.0)
    looks = [found.allows(10.0 + 2.0, Trace()) for _ in range(60)]
    assert not looks[0]
    assert looks[-1]


@pytest.mark.parametrize("other", [ended("exact", model=9.0), ended("upstream", "UpstreamError", model=9.0)])
def test_only_the_models_own_answers_tell_how_long_it_takes(other):
    found = budget()
    for _ in range(60):
        found.learn(other)
    assert not found.allows(10.0 + 1.4, Trace())


def test_a_trace_without_routing_says_nothing_of_it():
    assert not {"skipped", "attempts", "speculation"} & set(Trace().public())


def test_a_stages_cost_is_what_it_took_with_a_reserve():
    costs = Costs()
    assert costs.estimate("embed") == 0.0
    for _ in range(50):
        costs.learn("embed", 0.02)
    assert costs.estimate("embed") == pytest.approx(0.02, rel=0.01)
    for at in range(50):
        costs.learn("embed", 0.01 if at % 2 else 0.05)
    assert 0.05 < costs.estimate("embed") < 0.15


@given(st.lists(st.floats(0.001, 0.1), min_size=1, max_size=50))
def test_a_cost_is_never_below_the_least_that_was_seen(durations):
    costs = Costs()
    for seconds in durations:
        costs.learn("embed", seconds)
    assert costs.estimate("embed") >= min(durations) - 1e-9
