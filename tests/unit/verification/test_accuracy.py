"""What a namespace learns only ever tightens, and a bound that cannot be kept ends the serving."""

from dataclasses import replace
from itertools import pairwise
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.semantic.verification.accuracy import SEEDS, STEP, TRIAL, WINDOW, Accuracy, Check, checked, seeded
from subsecond.semantic.verification.intervals import Counted, JudgeErrors, wrong_share


@pytest.fixture
def accuracy():
    return Accuracy.begin(0.05, 0.8, trial=False)


def after(accuracy, checks):
    for one in checks:
        accuracy = checked(accuracy, one)
    return accuracy


def judged(accuracy, n, *, on_wrong=True, on_right=False):
    for _ in range(n):
        accuracy = seeded(accuracy, truly_wrong=True, said_wrong=on_wrong)
        accuracy = seeded(accuracy, truly_wrong=False, said_wrong=on_right)
    return accuracy


def scores(n, *, wrong=0):
    """n checks with scores from .9 on, of which `wrong` were wrong, evenly between the others."""
    return [Check(0.9 + 0.09 * number / n, (number + 1) * wrong // n > number * wrong // n) for number in range(n)]


@pytest.mark.parametrize(("bound", "cut", "expected"), [(0.05, 0.8, 0.9), (0.02, 0.8, 0.96), (0.3, 0.8, 0.8)])
def test_it_begins_where_the_score_itself_promises_twice_the_bound(bound, cut, expected):
    assert Accuracy.begin(bound, cut, trial=True).cut == pytest.approx(expected)


def test_right_hits_leave_the_cut_where_it_is(accuracy):
    found = after(accuracy, scores(10 * STEP))
    assert (found.cut, found.epoch, found.served) == (accuracy.cut, 0, True)


def test_wrong_hits_raise_it_above_the_least_sure_of_them(accuracy):
    found = after(accuracy, scores(STEP, wrong=10))
    assert found.epoch == 1
    assert 0.92 < found.cut < 0.95
    assert found.since.n == 0
    assert found.checked.n == STEP


@pytest.mark.parametrize(("last", "served"), [(0.95, True), (0.9, False)])
def test_a_step_up_serves_where_it_leaves_a_score_above_the_cut(accuracy, last, served):
    known = replace(accuracy, since=Counted(STEP - 1, 9), scores=(0.9,) * (STEP - 1))
    found = checked(known, Check(last, wrong=True))
    assert (found.epoch, found.served) == (1, served)


def test_a_policy_that_is_always_wrong_is_given_up_within_a_stated_number_of_checks(accuracy):
    served = number = 0
    while accuracy.served:
        served += not accuracy.trial
        accuracy = checked(accuracy, Check(0.9 + number * 1e-4, wrong=True, shadow=accuracy.trial))
        number += 1
    assert number == 48
    assert served == 8
    assert accuracy.state == "exact only"


def test_a_policy_that_fails_all_at_once_is_seen_before_a_window_of_good_checks_ends(accuracy):
    good = after(judged(accuracy, 50), scores(7 * STEP))
    assert good.since.n == 7 * STEP
    bad = [Check(0.99, wrong=number % 3 == 0) for number in range(STEP - 1)]
    assert after(good, bad).epoch == 1


def test_a_cut_is_on_trial_until_enough_was_checked_by_a_judge_who_is_known():
    tried = Accuracy.begin(0.05, 0.8, trial=True)
    assert tried.state == "on trial"
    shadow = [replace(one, shadow=True) for one in scores(WINDOW)]
    assert after(judged(tried, SEEDS), shadow[: TRIAL - 1]).trial
    found = after(judged(tried, SEEDS), shadow[:TRIAL])
    assert (found.state, found.checked.n, found.shadow.n) == ("proving", 0, TRIAL)
    assert after(tried, shadow[: WINDOW - 1]).trial
    assert not after(tried, shadow).trial


def test_what_is_below_the_cut_says_nothing_of_it():
    tried = judged(Accuracy.begin(0.05, 0.8, trial=True), SEEDS)
    found = after(tried, [Check(0.85, wrong=True, shadow=True)] * 100)
    assert (found.epoch, found.since.n, found.shadow.n) == (0, 0, 100)


def test_a_step_up_is_on_trial_without_any_room(accuracy):
    found = after(accuracy, scores(STEP, wrong=10))
    assert found.trial
    shadow = [Check(0.99, wrong=number % 10 == 9, shadow=True) for number in range(STEP)]
    assert after(judged(found, 50), shadow).epoch == 2
    assert after(judged(accuracy, 50), [replace(one, shadow=False) for one in shadow]).epoch == 0


def test_a_change_of_the_traffic_is_seen_behind_a_long_good_time(accuracy):
    good = after(accuracy, scores(2_000))
    assert good.epoch == 0
    assert after(good, scores(4 * STEP, wrong=STEP)).epoch > 0


def test_what_was_not_served_counts_as_no_error(accuracy):
    found = after(accuracy, [Check(0.95, wrong=True, shadow=True)] * 100)
    assert found == replace(accuracy, shadow=Counted(100, 100))
    assert judged(found, 100).told_of_shadow.low > 0.8


@pytest.mark.parametrize(("on_wrong", "on_right"), [(False, False), (True, True)])
def test_a_judge_that_always_says_the_same_ends_the_serving(accuracy, on_wrong, on_right):
    assert judged(accuracy, SEEDS - 1, on_wrong=on_wrong, on_right=on_right).served
    assert not judged(accuracy, SEEDS, on_wrong=on_wrong, on_right=on_right).served


@pytest.mark.parametrize(
    ("judge", "since", "estimate"),
    [
        (JudgeErrors(), Counted(30, 9), 0.12 / 0.9),  # (9 + 40 * .0725) / 70 called wrong, 5 % of it by a judge's error
        (JudgeErrors(Counted(20, 18), Counted(20, 1)), Counted(30, 9), (11.875 / 70 - 0.05) / 0.875),
        (JudgeErrors(), Counted(30, 0), 0.0),
        (JudgeErrors(Counted(18, 0), Counted(18, 18)), Counted(30, 0), 1.0),  # a coin
    ],
)
def test_the_estimate_takes_out_what_the_judge_gets_wrong(accuracy, judge, since, estimate):
    assert replace(accuracy, judge=judge, since=since).estimate == pytest.approx(estimate, abs=1e-9)


def test_an_estimate_is_looked_at_after_thirty_checks_and_has_room_unless_on_trial(accuracy):
    for since, trial, high in [
        (Counted(30, 5), False, True),  # 7.0 %, where 1.3 times the bound is 6.5 %
        (Counted(29, 5), False, False),
        (Counted(30, 4), False, False),  # 5.4 %
        (Counted(30, 4), True, True),
    ]:
        assert replace(accuracy, since=since, trial=trial).is_too_high is high


@pytest.mark.parametrize(("seeds", "again", "n"), [((12, 12), False, 60), ((12, 12), True, 120), ((12, 11), True, 240)])
def test_how_long_a_trial_takes(accuracy, seeds, again, n):
    judge = JudgeErrors(*(Counted(number) for number in seeds))
    tried = replace(accuracy, judge=judge, again=again)
    assert [replace(tried, since=Counted(size)).is_passed for size in (n - 1, n)] == [False, True]


@pytest.mark.parametrize(
    ("bound", "usual", "sudden"),
    [(0.05, 0.095, 0.185), (0.5, 0.5, 0.95)],  # what a judge who errs on 5 % calls wrong
)
def test_the_alarm_weighs_a_check_by_how_much_likelier_a_sudden_change_makes_it(accuracy, bound, usual, sudden):
    known = replace(accuracy, bound=bound, alarm=4.0)
    assert known.alarmed(wrong=True) == pytest.approx(4 + log(sudden / usual))
    assert known.alarmed(wrong=False) == pytest.approx(4 + log((1 - sudden) / (1 - usual)))


def test_a_judge_who_says_the_opposite_raises_no_alarm(accuracy):
    known = replace(accuracy, alarm=2.0, judge=JudgeErrors(Counted(40, 0), Counted(40, 40)))
    assert known.alarmed(wrong=True) == known.alarmed(wrong=False) == 2.0


def test_a_count_begins_anew_after_a_window(accuracy):
    known = judged(accuracy, SEEDS)
    assert after(known, scores(239)).since.n == 239
    found = after(known, scores(240))
    assert (found.since, found.scores, found.checked.n) == (Counted(), (), 240)


def test_where_nothing_is_served_checks_are_counted_and_teach_nothing(accuracy):
    given_up = replace(accuracy, served=False, trial=True)
    found = after(given_up, [Check(0.95, wrong=True, shadow=True, gap=1)] * STEP)
    assert found == replace(given_up, shadow=Counted(STEP, STEP))


@pytest.mark.parametrize(
    ("on_wrong", "on_right", "served"), [(6, 0, True), (5, 0, False), (11, 1, True), (11, 6, False)]
)
def test_a_judge_who_tells_half_of_the_pairs_apart_is_just_of_use(accuracy, on_wrong, on_right, served):
    judge = JudgeErrors(Counted(SEEDS - 1, on_wrong), Counted(SEEDS, on_right))
    assert seeded(replace(accuracy, judge=judge), truly_wrong=True, said_wrong=False).served is served


def test_what_is_told_holds_with_95_percent(accuracy):
    known = after(judged(accuracy, 400), scores(100))
    assert known.told == wrong_share(known.checked, known.judge, 0.05)


def test_as_many_checks_as_were_promised_are_enough(accuracy):
    known = judged(accuracy, 400)
    some = after(known, scores(100))
    assert 0 < some.checks_left() < 300
    held = after(some, scores(some.checks_left()))
    assert (held.state, held.checks_left()) == ("held", 0)


def test_a_judge_whom_nobody_has_measured_is_expected_to_err_on_5_percent_and_to_be_measured_seldom():
    unknown = Accuracy.begin(0.1, 0.5, trial=False)
    measured, well_measured = (
        replace(unknown, judge=JudgeErrors(Counted(n, n * 19 // 20), Counted(n, n // 20))) for n in (100, 9_000)
    )
    assert unknown.checks_left() == measured.checks_left() > well_measured.checks_left()


def test_a_bound_is_held_once_the_interval_is_below_it(accuracy):
    known = judged(accuracy, 400)
    assert known.state == "proving"
    assert known.checks_left() > 0
    assert after(known, scores(1_500)).state == "held"


def test_where_as_many_are_wrong_as_the_bound_no_number_of_checks_is_promised(accuracy):
    assert after(judged(accuracy, 400), scores(900, wrong=72)).checks_left() is None


@given(st.lists(st.builds(Check, st.floats(0.8, 1), st.booleans(), st.booleans()), max_size=400))
def test_nothing_that_is_learned_widens(checks):
    known = [Accuracy.begin(0.05, 0.8, trial=True)]
    for one in checks:
        known.append(checked(known[-1], one))
    for before, now in pairwise(known):
        assert now.cut >= before.cut
        assert before.served or not now.served
