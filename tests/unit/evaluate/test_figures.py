"""Shares, intervals and cuts, against examples worked out by hand."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subsecond_local.evaluate.figures import by_kind, report, wilson
from subsecond_local.evaluate.sweep import Decision, Point, areas, curve, recall_at


def scored(*rows):
    """Rows of score and label; nothing is answered."""
    return [Decision(bool(label), answered=False, score=score, similarity=score) for score, label in rows]


def test_a_report_counts_what_was_answered_by_label():
    decisions = [
        Decision(label=True, answered=True),
        Decision(label=True, answered=True),
        Decision(label=True, answered=False),
        Decision(label=True, answered=False),
        Decision(label=False, answered=True),
        Decision(label=False, answered=False),
        Decision(label=False, answered=False),
        Decision(label=False, answered=False),
        Decision(label=False, answered=False),
    ]
    found = report(decisions)
    assert found["n"] == 9
    assert found["hits_served"] == found["recall"] == 0.5
    assert found["traps_answered"] == 0.2
    assert found["precision"] == 0.6667
    assert found["intervals"]["traps_answered"] == wilson(1, 5)


def test_shares_of_nothing_are_none():
    found = report([Decision(label=True, answered=False)])
    assert (found["hits_served"], found["traps_answered"], found["precision"]) == (0.0, None, None)
    assert found["intervals"]["traps_answered"] is None
    found = report([Decision(label=False, answered=True)])
    assert (found["hits_served"], found["recall_at_p90"], found["precision"]) == (None, None, 0.0)


# Wilson's score interval, from the formula: 0 of 10, 5 of 10, 3 of 100.
@pytest.mark.parametrize(
    ("part", "whole", "interval"),
    [
        (0, 10, (0.0, 0.2775)),
        (10, 10, (0.7225, 1.0)),
        (5, 10, (0.2366, 0.7634)),
        (3, 100, (0.0103, 0.0845)),
        (0, 0, None),
    ],
)
def test_an_interval_is_wilsons(part, whole, interval):
    assert wilson(part, whole) == interval


@given(st.integers(1, 5_000), st.data())
def test_an_interval_holds_its_share_and_stays_between_0_and_1(whole, data):
    part = data.draw(st.integers(0, whole))
    low, high = wilson(part, whole)
    assert 0 <= low <= part / whole + 5e-5
    assert part / whole - 5e-5 <= high <= 1


def test_recall_at_p90_takes_the_lowest_cut_that_is_precise_enough():
    # Nine right, one wrong: 0.9 exactly. One right more makes 10 of 11. Then two wrong ones: 10 of 13 is not enough.
    rows = [(1 - n / 100, 1) for n in range(9)]
    rows += [(0.8, 0), (0.7, 1), (0.6, 0), (0.5, 0), (0.4, 1)]
    best = recall_at(scored(*rows), 0.9)
    assert best.recall == 10 / 11
    assert best.cut == 0.7


def test_recall_at_p90_may_pass_through_worse_cuts():
    # The first is wrong, so early cuts are below 0.9; with nine right after it, precision is 0.9 again.
    rows = [(0.99, 0)] + [(0.9 - n / 100, 1) for n in range(9)]
    assert recall_at(scored(*rows), 0.9).recall == 1.0
    assert recall_at(scored(*rows[:-1]), 0.9).recall == 0.0


def test_equal_scores_are_cut_together():
    # One right and one wrong at the same score: no cut lies between them, whatever their order.
    for rows in ([(0.9, 1), (0.9, 0)], [(0.9, 0), (0.9, 1)]):
        assert recall_at(scored(*rows), 0.9).recall == 0.0
        assert curve(scored(*rows)) == [Point(0.9, 1.0, 1.0)]


def test_what_was_never_compared_counts_as_never_answered():
    rows = [*scored((0.9, 1)), Decision(label=True, answered=False), Decision(label=False, answered=False)]
    best = recall_at(rows, 0.9)
    assert (best.recall, best.cut) == (0.5, 0.9)
    assert curve(rows) == [Point(0.9, 0.5, 0.0)]
    assert recall_at(rows[1:], 0.9).recall == 0.0


def test_an_exact_repeat_is_surer_than_any_score():
    rows = [Decision(label=True, answered=True, score=math.inf), *scored((0.99, 0), (0.5, 1))]
    assert [point.served for point in curve(rows)] == [0.5, 0.5, 1.0]
    assert [point.served for point in curve(rows, by_similarity=True)] == [0.5, 0.5, 1.0]
    best = recall_at(rows, 0.9)
    assert (best.recall, best.cut) == (0.5, None)


def test_without_both_labels_there_is_no_curve():
    assert curve(scored((0.9, 1))) == []
    assert curve(scored((0.9, 0))) == []


def test_the_interval_of_a_chosen_cut_is_wide_for_few_rows_and_narrow_for_many():
    few = recall_at(scored(*[(0.9, 1), (0.8, 1), (0.7, 0), (0.6, 1)]), 0.9)
    assert few.interval[0] < few.recall < few.interval[1]
    rows = [(1 - n / 10_000, n % 20 != 0) for n in range(2_000)] + [(0.5 - n / 10_000, 0) for n in range(2_000)]
    many = recall_at(scored(*rows), 0.9)
    assert many.interval[1] - many.interval[0] < 0.01
    assert recall_at(scored(*rows), 0.9).interval == many.interval


def test_kinds_are_told_apart_and_by_label_where_a_kind_has_both():
    decisions = [
        Decision(label=False, answered=True, kind="number"),
        Decision(label=False, answered=False, kind="number"),
        Decision(label=True, answered=True, kind="mixed"),
        Decision(label=False, answered=False, kind="mixed"),
        Decision(label=True, answered=True),
    ]
    found = by_kind(decisions)
    assert {name: (one["n"], one["label"], one["answered"]) for name, one in found.items()} == {
        "mixed/0": (1, 0, 0.0),
        "mixed/1": (1, 1, 1.0),
        "number": (2, 0, 0.5),
    }


@settings(max_examples=40)  # each draws 500 resamples
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
def test_recall_at_p90_is_the_best_of_all_cuts(rows):
    decisions = scored(*rows)
    total = sum(label for _, label in rows)
    best = 0.0
    for cut in range(6):
        labels = [label for score, label in rows if score >= cut]
        if labels and sum(labels) >= 0.9 * len(labels):
            best = max(best, sum(labels) / total)
    assert recall_at(decisions, 0.9).recall == best


def test_the_area_of_precision_over_hit_ratio_is_that_of_its_trapezia():
    # Cuts at 1, 2, 3 and 4 of 5 rows, right 1, 1, 2, 2 of them: precisions 1, 1/2, 2/3, 1/2.
    rows = [*scored((0.9, 1), (0.8, 0), (0.7, 1), (0.6, 0)), Decision(label=True, answered=False)]
    found = areas(rows)
    assert found.p_chr_auc == pytest.approx((1.5 / 2 + (1 / 2 + 2 / 3) / 2 + (2 / 3 + 1 / 2) / 2) / 5)
    # Recall goes up by a third at the first and at the third; the last one was never compared.
    assert found.pr_auc == pytest.approx((1 + 2 / 3) / 3)
    assert found.calibration_retention == pytest.approx(found.p_chr_auc / found.pr_auc)
    for area, (low, high) in zip((found.pr_auc, found.p_chr_auc), found.intervals, strict=False):
        assert low < area < high


def test_a_perfect_score_comes_near_to_the_most_that_there_is():
    rows = scored(*[(1 - n / 2_000, int(n < 900)) for n in range(2_000)])
    found = areas(rows)
    assert found.pr_auc == 1.0
    assert found.p_chr_auc == pytest.approx(found.p_chr_auc_at_most, abs=1e-3)
    assert found.p_chr_auc_at_most == pytest.approx(0.45 * (1 - math.log(0.45)))


def test_the_scale_of_a_score_changes_no_area():
    rows = [(n % 7 / 10, n % 3 == 0) for n in range(60)]
    assert areas(scored(*rows)) == areas(scored(*[(score**3, label) for score, label in rows]))


def test_where_no_compared_row_may_be_answered_nothing_of_the_ranking_is_left():
    found = areas([*scored((0.9, 0), (0.8, 0)), Decision(label=True, answered=False)])
    assert (found.pr_auc, found.p_chr_auc, found.calibration_retention) == (0.0, 0.0, 0.0)


def test_without_a_right_row_or_a_score_there_is_no_area():
    assert areas(scored((0.9, 0))) is None
    assert areas([Decision(label=True, answered=False)]) is None
    found = report(scored((0.9, 0)))
    assert (found["p_chr_auc"], found["calibration_retention"], found["intervals"]["p_chr_auc"]) == (None, None, None)


def test_a_report_has_the_recall_at_both_precisions():
    # Four right, one wrong: 0.8. Four right before it: 1.0.
    found = report(scored((0.9, 1), (0.8, 1), (0.7, 0), (0.6, 1), (0.5, 1)))
    assert (found["recall_at_p80"], found["score_at_p80"]) == (1.0, 0.5)
    assert (found["recall_at_p90"], found["score_at_p90"]) == (0.5, 0.8)
    assert found["intervals"]["recall_at_p80"][1] == 1.0
