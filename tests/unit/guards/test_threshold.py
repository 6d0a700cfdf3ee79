"""The baseline knows one bound and nothing of words."""

import pytest

from subsecond.config import Settings
from subsecond.ports import StoredQuestion, Verdict
from subsecond.semantic.policies.threshold import build


@pytest.mark.parametrize(
    ("similarity", "verdict"),
    [
        (0.8, Verdict("hit", ("similarity 0.800 reaches 0.800",), 0.8)),
        (0.799, Verdict("miss", ("similarity 0.799 is below 0.800",), 0.799)),
    ],
)
def test_a_neighbour_answers_from_the_setting_on(similarity, verdict):
    baseline = build(Settings(similarity=0.8))
    assert (baseline.floor, baseline.cut) == (0.8, 0.8)
    assert baseline.judge("Is it?", StoredQuestion("It is not.", similarity, 0.0)) == verdict
