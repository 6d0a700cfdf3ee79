"""What checks prove of a share is true at every look."""

import random

import pytest

from subsecond.semantic.verification.intervals import Counted, interval


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
