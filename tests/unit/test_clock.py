"""Promises in seconds are kept by the wall clock, also where it is set back or the process was frozen."""

import inspect
import time

import pytest

from subsecond.cache.invalidation import Rules
from subsecond.clock import PerSecond, within
from subsecond.semantic.index.reader import Reader
from subsecond.stores.dynamodb.keys import DynamoKeys


@pytest.mark.parametrize(
    ("now", "young"), [(100.0, True), (109.9, True), (110.0, False), (99.9, False), (0.0, False), (1e9, False)]
)
def test_an_age_counts_from_its_beginning_to_its_bound_and_never_before(now, young):
    assert within(100.0, 10.0, now) is young


def test_what_never_was_is_not_young():
    assert not within(float("-inf"), 10.0, 100.0)


def test_a_bound_holds_for_each_second_and_starts_anew_in_the_next_one_whichever_that_is():
    bound = PerSecond(2)
    for second in (100.0, 101.5, 42.0):
        assert [bound.take(second) for _ in range(3)] == [True, True, False]
        assert not bound.left(second)
        assert bound.left(second + 1)


@pytest.mark.parametrize("kind", [DynamoKeys, Rules, Reader])
def test_no_promise_is_kept_by_a_clock_that_may_stand_still(kind):
    clocks = [one.default for name, one in inspect.signature(kind).parameters.items() if name in ("clock", "ticks")]
    assert clocks
    assert all(clock is time.time for clock in clocks)
