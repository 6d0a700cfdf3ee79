"""What checks prove of a share: true at every look, and honest about the judge."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.semantic.verification.intervals import ANYTHING, Counted, JudgeErrors, interval, wrong_share

counts = st.integers(0, 400).flatmap(lambda n: st.builds(Counted, st.just(n), st.integers(0, n)))


@given(counts)
def test_an_interval_holds_what_was_seen_and_stays_a_share(counted):
    found = interval(counted, 0.05)
    assert 0 <= found.low <= found.high <= 1
    assert not counted.n or counted.yes / counted.n in found


def test_without_a_check_anything_may_be_true():
    assert interval(Counted(), 0.05) == ANYTHING


def test_more_checks_say_more():
    found = [interval(Counted(n, n // 10), 0.05) for n in (20, 200, 2_000)]
    widths = [one.high - one.low for one in found]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3])
def test_who_looks_after_every_check_is_misled_by_one_series_in_twenty_at_most(share):
    """An ordinary interval of 95 % misses the truth at some look in most of such series."""
    drawn = random.Random(share)
    missed = 0
    for _ in range(200):
        counted, ever = Counted(), False
        for _ in range(300):
            counted = counted.with_one(drawn.random() < share)
            ever = ever or share not in interval(counted, 0.05)
        missed += ever
    assert missed <= 10


@pytest.mark.parametrize(("on_wrong", "on_right"), [(0.95, 0.05), (0.8, 0.02), (0.99, 0.2)])
def test_a_judge_that_errs_is_seen_through(on_wrong, on_right):
    """Of 4,000 checks 10 % are truly wrong, and the judge has its own errors."""
    wrong = round(400 * on_wrong + 3_600 * on_right)
    judge = JudgeErrors(Counted(1_000, round(1_000 * on_wrong)), Counted(1_000, round(1_000 * on_right)))
    found = wrong_share(Counted(4_000, wrong), judge, 0.05)
    assert 0.1 in found
    assert found.high < 0.25


@pytest.mark.parametrize(("on_wrong", "on_right"), [(0, 0), (40, 40), (5, 30)])
def test_a_judge_that_guesses_proves_nothing(on_wrong, on_right):
    judge = JudgeErrors(Counted(40, on_wrong), Counted(40, on_right))
    assert wrong_share(Counted(500, 5), judge, 0.05) == ANYTHING


@given(counts, counts, counts)
def test_whatever_the_judge_is_the_interval_is_one(said, on_wrong, on_right):
    found = wrong_share(said, JudgeErrors(on_wrong, on_right), 0.05)
    assert 0 <= found.low <= found.high <= 1
