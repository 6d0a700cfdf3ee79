"""Hits that come much oftener than those that were checked are not served before they were checked too."""

import json
from dataclasses import replace

import numpy as np
import pytest

from subsecond.semantic.verification.accuracy import AGAIN, SEEDS, STEP, TRIAL, Accuracy, Check, checked
from subsecond.semantic.verification.intervals import Counted, JudgeErrors
from subsecond.semantic.verification.learned import Judged, Learned, begun, decode, encode, with_check
from subsecond.semantic.verification.surge import MEMORY, Pace, Watch
from subsecond.semantic.verification.verified import Bounds, Verified
from subsecond.stats.trace import Trace

KNOWN = JudgeErrors(Counted(SEEDS, SEEDS), Counted(SEEDS, 0))
USUAL = Pace(MEMORY, 8.0)
SERVING = Accuracy(0.05, 0.9, judge=KNOWN, pace=USUAL)
HERE = np.array([1, 0, 0], np.float32)


def hits(watch, gaps, pace=USUAL, surges=0):
    seen = []
    for gap in gaps:
        watch.requests += gap
        seen.append(watch.hit(pace, surges))
    return seen


def trying(checks, *, wrong=0, known=SERVING):
    """After a surge was seen, and so many checks of it."""
    for number in range(checks):
        known = checked(known, Check(0.99, number < wrong, shadow=True, gap=1, surged=1))
    return known


def test_eight_hits_in_a_row_are_a_surge_where_every_eighth_request_was_a_hit():
    assert hits(Watch(), [1] * 8) == [False] * 7 + [True]


def test_every_second_request_a_hit_takes_fifteen_hits():
    """By hand: each hit adds log 5, each miss before it takes log(7/3), and the first finds nothing to take."""
    assert hits(Watch(), [2] * 15) == [False] * 14 + [True]


def test_each_surge_is_weighed_from_nothing():
    watch = Watch()
    hits(watch, [1] * 8)
    assert hits(watch, [1] * 8, surges=1) == [False] * 7 + [True]
    assert watch.surged == 2


def test_hits_before_the_pace_was_learned_anew_do_not_weigh():
    watch = Watch()
    hits(watch, [1] * 7)
    assert not any(hits(watch, [1], Pace()))
    assert hits(watch, [1] * 8) == [False] * 7 + [True]


def test_hits_as_often_as_before_or_twice_as_often_are_none():
    assert not any(hits(Watch(), [8] * 1_000))
    assert not any(hits(Watch(), [1, 7] * 500))


def test_a_pace_that_is_hardly_known_or_cannot_grow_raises_no_alarm():
    assert not any(hits(Watch(), [1] * 100, Pace(29, 8.0)))
    assert any(hits(Watch(), [1] * 8, Pace(30, 8.0)))
    assert not any(hits(Watch(), [1] * 100, Pace(MEMORY, 1.0)))


def test_two_candidates_of_one_request_are_one_hit():
    watch = Watch()
    hits(watch, [1] * 7)
    assert not watch.hit(USUAL, 0)
    assert hits(watch, [1]) == [True]


def test_an_environment_withholds_until_the_surge_is_noted():
    watch = Watch()
    hits(watch, [1] * 8)
    assert hits(watch, [8] * 100) == [True] * 100
    assert watch.surged == 1
    assert hits(watch, [8], surges=1) == [False]


def test_the_pace_is_of_the_last_hits():
    pace = Pace()
    for gap in [100] * 10 + [4] * 10 * MEMORY:
        pace = pace.with_hit(gap)
    assert pace == Pace(120, pytest.approx(4, abs=0.1))


def test_the_cut_is_tried_again_for_longer_and_serves_once_it_has_passed():
    assert (trying(1).trial, trying(1).surges, trying(1).cut) == (True, 1, 0.9)
    assert trying(119).state == "on trial"
    passed = trying(120)
    assert (passed.trial, passed.epoch, passed.pace.gap) == (False, 0, 1.0)


def test_a_step_up_from_that_trial_is_tried_as_long():
    stepped = replace(trying(STEP, wrong=10), cut=0.98)
    assert stepped.epoch == 1
    for _ in range(AGAIN - stepped.since.n):
        assert stepped.trial
        stepped = checked(stepped, Check(0.99, wrong=False, shadow=True, gap=1, surged=1))
    assert not stepped.trial


def test_once_it_was_passed_a_step_up_is_tried_as_long_as_any():
    stepped = replace(trying(AGAIN), trial=True, since=Counted())
    for _ in range(TRIAL):
        assert stepped.trial
        stepped = checked(stepped, Check(0.99, wrong=False, shadow=True))
    assert not stepped.trial


def test_scores_from_before_a_surge_take_no_part_in_the_step_up():
    before = replace(SERVING, since=Counted(200, 0), scores=(0.91,) * 200)
    assert trying(STEP, wrong=10, known=before).cut == 0.99


def test_a_hit_whose_gap_nobody_noted_leaves_the_pace_alone():
    assert checked(SERVING, Check(0.99, wrong=False)).pace == USUAL


def test_a_surge_is_tried_once_though_all_its_hits_tell_of_it():
    passed = trying(AGAIN)
    assert not checked(passed, Check(0.99, wrong=False, gap=1, surged=1)).trial
    assert checked(passed, Check(0.99, wrong=False, gap=1, surged=2)).trial


def test_a_surge_gives_back_no_serving_and_ends_no_trial():
    retreated = Accuracy(0.05, 0.9, served=False)
    assert (trying(1, known=retreated).served, trying(1, known=retreated).trial) == (False, False)
    tried = Accuracy(0.05, 0.9, trial=True, since=Counted(20, 1), judge=KNOWN)
    assert trying(1, known=tried).since == Counted(21, 1)


def test_an_environment_serves_nothing_of_a_surge_where_a_trial_can_follow():
    for trial in (True, False):
        verified = Verified(0.05, 0.9, 3, trial=trial)
        verified.take_over(Learned(Accuracy(0.05, 0.9, pace=USUAL)), "")
        for _ in range(8):
            verified.watch.requests += 1
            why, shadow = verified.withheld(HERE, HERE, 0.99)
        assert (bool(why), shadow) == (trial, trial)


async def test_what_an_environment_has_seen_outlives_a_new_note(checks, sample):
    learned = replace(begun(sample()), accuracy=Accuracy(0.05, 0.9, pace=USUAL))
    await checks.save("acme:prod", learned, None)
    now = [0.0]
    bounds = Bounds(0.05, 0.9, 8, "hashing-8", checks, trial=True, ticks=lambda: now[0])
    for _ in range(3):
        assert await bounds.ready("acme:prod", Trace(), 5.0)
    assert bounds.of("acme:prod").watch.requests == 3
    again = await checks.learned("acme:prod")
    await checks.save("acme:prod", replace(learned, judge_calls=1), again.etag)
    now[0] = 60.0
    await bounds.begin("acme:prod")
    assert bounds.of("acme:prod").watch.requests == 3


def test_the_checker_notes_pace_and_surge_and_reads_notes_from_before(sample):
    learned = with_check(begun(sample()), Judged(replace(sample(1), gap=6), wrong=False), 1.0)
    learned = with_check(learned, Judged(replace(sample(2), gap=2, surged=1), wrong=False), 2.0)
    assert (learned.accuracy.pace, learned.accuracy.surges) == (Pace(2, 4.0), 1)
    assert decode(encode(learned)) == learned
    line, _, vectors = encode(learned).partition(b"\n")

    told = json.loads(line)
    for name in ("pace", "surges", "again"):
        del told["accuracy"][name]
    assert decode(json.dumps(told).encode() + b"\n" + vectors).accuracy.pace == Pace()
