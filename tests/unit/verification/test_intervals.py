"""What checks prove of a share: exact where it can be reckoned by hand, and honest about the judge."""

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.semantic.verification.intervals import (
    ANYTHING,
    Counted,
    Interval,
    JudgeErrors,
    interval,
    wrong_share,
)

counts = st.integers(0, 400).flatmap(lambda n: st.builds(Counted, st.just(n), st.integers(0, n)))


@given(counts)
def test_an_interval_holds_what_was_seen_and_stays_a_share(counted):
    found = interval(counted, 0.05)
    assert 0 <= found.low <= found.high <= 1
    assert not counted.n or counted.yes / counted.n in found


def test_without_a_check_anything_may_be_true():
    assert interval(Counted(), 0.05) == ANYTHING


@pytest.mark.parametrize(
    ("n", "yes", "low", "high"),
    [
        (1, 0, 0.0, 1 - 0.05 / 2),
        (1, 1, 0.05 / 2, 1.0),
        (2, 2, sqrt(3 / 8 * 0.05), 1.0),
        (2, 0, 0.0, 1 - sqrt(3 / 8 * 0.05)),
        (2, 1, 0.5 - sqrt(0.25 - 0.05 / 8), 0.5 + sqrt(0.25 - 0.05 / 8)),
    ],
)
def test_a_share_is_refuted_where_the_mixture_makes_the_checks_twenty_times_as_likely(n, yes, low, high):
    """Of Jeffreys' mixture one yes has the likelihood 1/2, two have 3/8, and a yes and a no in this order 1/8: what a
    share p refutes is p < 0.05 / 2, p * p < 0.05 * 3 / 8 and p * (1 - p) < 0.05 / 8."""
    found = interval(Counted(n, yes), 0.05)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))


def test_both_ends_of_an_interval_are_in_it():
    found = Interval(0.2, 0.4)
    assert [share in found for share in (0.19, 0.2, 0.3, 0.4, 0.41)] == [False, True, True, True, False]


def test_a_share_is_drawn_towards_what_was_expected_by_its_strength():
    assert Counted().share(0.1, 40) == 0.1
    assert Counted(10, 5).with_one(yes=True).with_one(yes=False) == Counted(12, 6)
    assert Counted(40, 20).share(0.1, 40) == pytest.approx(0.3)
    assert Counted(40, 20).share(0.1, 0) == 0.5


def test_more_checks_say_more():
    found = [interval(Counted(n, n // 10), 0.05) for n in (20, 200, 2_000)]
    widths = [one.high - one.low for one in found]
    assert widths == sorted(widths, reverse=True)


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


def test_a_judge_that_never_errs_is_doubted_as_far_as_its_own_pairs_leave_room():
    """Half of the error is for what it said and a quarter for each of its two shares. It may have missed wrong pairs,
    so more may be wrong than it said; and it may have called right ones wrong, so fewer may be."""
    said, pairs = Counted(400, 40), 200
    found = wrong_share(said, JudgeErrors(Counted(pairs, pairs), Counted(pairs, 0)), 0.05)
    plain = interval(said, 0.05 / 2)
    least_found = interval(Counted(pairs, pairs), 0.05 / 4).low
    most_blamed = interval(Counted(pairs, 0), 0.05 / 4).high
    assert found.low * 1 + (1 - found.low) * most_blamed == pytest.approx(plain.low)
    assert found.high * least_found == pytest.approx(plain.high)


def test_more_that_is_called_wrong_raises_both_ends_and_a_worse_judge_parts_them():
    judge, worse = (JudgeErrors(Counted(300, 270), Counted(300, blamed)) for blamed in (3, 30))
    few, more = wrong_share(Counted(400, 60), judge, 0.05), wrong_share(Counted(400, 120), judge, 0.05)
    assert few.low < more.low < few.high < more.high
    assert wrong_share(Counted(400, 120), worse, 0.05).low < more.low
    surer = wrong_share(Counted(400, 120), JudgeErrors(Counted(3_000, 2_700), Counted(3_000, 30)), 0.05)
    assert more.low < surer.low < surer.high < more.high


def test_nothing_said_wrong_ends_at_nought_and_everything_at_one():
    judge = JudgeErrors(Counted(100, 90), Counted(100, 2))
    assert wrong_share(Counted(400, 0), judge, 0.05).low == 0.0
    assert wrong_share(Counted(400, 400), judge, 0.05).high == 1.0


@given(counts, counts, counts)
def test_whatever_the_judge_is_the_interval_is_one(said, on_wrong, on_right):
    found = wrong_share(said, JudgeErrors(on_wrong, on_right), 0.05)
    assert 0 <= found.low <= found.high <= 1
