"""Between the policy and a served hit: cut, neighbourhoods of wrong hits, and which of them are checked."""

import numpy as np
import pytest

from subsecond.semantic.verification.accuracy import Accuracy, Check
from subsecond.semantic.verification.exclusions import MOST, Exclusions
from subsecond.semantic.verification.intervals import Counted, JudgeErrors
from subsecond.semantic.verification.learned import Learned
from subsecond.semantic.verification.sampling import is_sampled, seeds_are_due
from subsecond.semantic.verification.seeding import right_pair, wrong_pair
from subsecond.semantic.verification.verified import Bounds, Verified


def towards(*parts):
    vector = np.array(parts, np.float32)
    return vector / np.linalg.norm(vector)


ASKED, STORED, FAR = towards(1, 0.5, 0), towards(1, 0.2, 0), towards(0, 0, 1)

SERVED = ("", False)


@pytest.fixture
def verified():
    return Verified(0.05, 0.8, 3, trial=False)


def test_only_what_reaches_the_cut_is_served(verified):
    assert verified.withheld(ASKED, STORED, 0.95) == SERVED
    assert "0.900" in verified.withheld(ASKED, STORED, 0.85)[0]


def test_a_cut_on_trial_serves_nothing_and_goes_on_in_shadow():
    tried = Verified(0.05, 0.8, 3, trial=True)
    why, shadow = tried.withheld(ASKED, STORED, 0.95)
    assert "on trial" in why
    assert shadow
    assert tried.withheld(ASKED, STORED, 0.85)[1] is False


@pytest.mark.parametrize("trial", [True, False])
def test_a_trial_that_was_noted_holds_where_hits_are_checked(trial):
    """Where no hit is checked any more, it would never end."""
    verified = Verified(0.05, 0.8, 3, trial=trial)
    verified.take_over(Learned(Accuracy.begin(0.05, 0.8, trial=True)), "")
    assert verified.accuracy.trial is trial


def test_what_lies_near_a_wrong_hit_is_served_no_more_in_either_direction(verified):
    verified.learn(Check(0.95, wrong=True), ASKED, STORED)
    assert "found wrong" in verified.withheld(towards(1, 0.45, 0.05), towards(1, 0.25, 0.05), 0.99)[0]
    assert verified.withheld(STORED, ASKED, 0.99) != SERVED
    assert verified.withheld(FAR, FAR, 0.99) == SERVED
    assert verified.withheld(ASKED, FAR, 0.99) == SERVED


def test_a_right_hit_excludes_nothing(verified):
    verified.learn(Check(0.95, wrong=False), ASKED, STORED)
    assert verified.withheld(ASKED, STORED, 0.95) == SERVED


def test_what_is_remembered_is_bounded():
    exclusions = Exclusions(3)
    exclusions.add(ASKED, STORED)
    for _ in range(MOST):
        exclusions.add(FAR, FAR)
    assert len(exclusions) == MOST
    assert not exclusions.cover(ASKED, STORED)


def test_a_judge_of_no_use_ends_the_serving(verified):
    for _ in range(20):
        verified.learn_of_judge(truly_wrong=True, said_wrong=False)
        verified.learn_of_judge(truly_wrong=False, said_wrong=False)
    assert "exact hits only" in verified.withheld(ASKED, STORED, 1.0)[0]


def test_partitions_learn_apart():
    bounds = Bounds(0.05, 0.8, 3, trial=False)
    bounds.of("a:b").learn(Check(0.95, wrong=True), ASKED, STORED)
    assert bounds.of("a:b").withheld(ASKED, STORED, 0.99) != SERVED
    assert bounds.of("a:c").withheld(ASKED, STORED, 0.99) == SERVED


@pytest.mark.parametrize("share", [0.0, 0.1, 0.8, 1.0])
def test_the_share_of_requests_that_is_checked_is_the_one_that_was_asked_for(share):
    sampled = [is_sampled(f"request-{number}", share) for number in range(4_000)]
    assert sum(sampled) / 4_000 == pytest.approx(share, abs=0.03)
    assert sampled == [is_sampled(f"request-{number}", share) for number in range(4_000)]


def test_seeded_pairs_come_more_often_until_the_judge_is_known():
    def due(known):
        judge = JudgeErrors(Counted(known, known), Counted(known, 0))
        return [n for n in range(1, 41) if seeds_are_due(Accuracy(0.05, 0.9, checked=Counted(n, 0), judge=judge))]

    assert due(0) == list(range(5, 41, 5))
    assert due(12) == [10, 20, 30, 40]


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("Does the offer end in 14 days?", "Does the offer end in 15 days?"),
        ("Can I cancel before the trial ends?", "Can I cancel after the trial ends?"),
        ("Can I have a virtual card?", "Can I not have a virtual card?"),
        ("Virtual card", None),
    ],
)
def test_a_wrong_pair_is_made_by_rule_or_not_at_all(text, changed):
    pair = wrong_pair(text)
    assert (pair and (pair.asked, pair.stored, pair.right)) == (changed and (changed, text, False))
    assert right_pair(text).right
