from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.stats.histogram import LEAST, MOST, Histogram

VALUES = st.lists(st.floats(LEAST, MOST), max_size=60)
ERROR = 2 ** (1 / 16) - 1


def histogram(values):
    filled = Histogram()
    for value in values:
        filled.add(value)
    return filled


def merged(*parts):
    whole = Histogram()
    for part in parts:
        whole.merge(part)
    return whole


@given(VALUES.filter(bool), st.floats(0, 1))
def test_a_quantile_is_within_the_stated_error_of_the_value_with_its_rank(values, share):
    true = sorted(values)[max(1, math.ceil(share * len(values))) - 1]

    assert histogram(values).quantile(share) == pytest.approx(true, rel=ERROR + 1e-9)


@given(VALUES, VALUES, VALUES)
def test_merging_is_associative_and_commutative_and_loses_nothing(one, two, three):
    a, b, c = histogram(one), histogram(two), histogram(three)
    whole = histogram(one + two + three)

    for way in (merged(merged(a, b), c), merged(a, merged(b, c)), merged(c, b, a)):
        assert way.counts == whole.counts
        assert way.count == len(one + two + three)
        assert way.sum == pytest.approx(math.fsum(one + two + three))


def test_merging_leaves_the_other_as_it_was():
    other = histogram([5.0])
    merged(other, other)

    assert (other.count, other.sum) == (1, 5.0)


def test_an_empty_one_has_no_quantile():
    assert Histogram().quantile(0.5) is None
    assert (Histogram().count, Histogram().sum) == (0, 0)


@pytest.mark.parametrize(("value", "counted"), [(-1.0, LEAST), (0.0, LEAST), (1e12, MOST), (math.inf, MOST)])
def test_what_lies_outside_counts_as_the_nearest_that_does_not(value, counted):
    assert histogram([value]).quantile(0.5) == pytest.approx(counted, rel=ERROR)


def test_it_never_has_more_than_229_buckets():
    filled = histogram(LEAST * 1.01**step for step in range(2_000))

    assert len(filled.counts) <= 229
