"""The whole loop over labelled rows: it serves less than the policy, learns from a judge that errs, and gives up."""

import pytest

from subsecond_local.evaluate import line_chart, setting, stream, verified_stream
from subsecond_local.evaluate.rows import Question
from subsecond_local.evaluate.scenarios import Scenario
from subsecond_local.evaluate.verified_chart import chart_of
from subsecond_local.evaluate.verified_stream import LabelJudge

PERFECT = LabelJudge(0.0, 0.0)
# These streams are too short for a trial.
AT_ONCE = Scenario(trial=False)
CITIES = [f"{a}{b}" for a in ("Lin", "Mar", "Tor", "Vel", "Sun") for b in ("dale", "ford", "wick", "mouth", "stead")]


def questions(*, wrong=False):
    """Each asked in five wordings. wrong: every wording has an intent of its own, so that each hit is an error."""
    wordings = (
        "How do I get to {}?",
        "how can I get to {}",
        "Please, how do I get to {}?",
        "How do I get to {}, please?",
        "Hello, how do I get to {}?",
    )
    return [
        Question(wording.format(city), f"{city}{number if wrong else ''}")
        for number, wording in enumerate(wordings)
        for city in CITIES
    ]


async def played(rows, judge=PERFECT, max_error=0.05, scenario=AT_ONCE):
    tried = setting.chosen({}, "verified")
    vectors = await stream.embedded(rows, tried)
    return await verified_stream.verified(rows, tried, vectors, judge, max_error, scenario=scenario)


async def test_right_hits_are_served_and_checked_within_the_budget():
    found = await played(questions())
    assert len(found.hits) >= 75
    assert not any(one.is_wrong for one in found.hits)
    assert 0 < found.judge_calls <= 0.15 * found.n
    assert found.report()["state"] == "proving"


async def test_wrong_hits_teach_and_are_fewer_than_the_policy_would_serve():
    rows = questions(wrong=True)
    found = await played(rows)
    tried = setting.chosen({}, "guarded")
    guarded = await stream.streamed(rows, tried, await stream.embedded(rows, tried))
    assert len(found.hits) < guarded.hits
    assert found.accuracy.checked.yes


async def test_a_cut_on_trial_is_checked_and_serves_nothing():
    found = await played(questions(), scenario=Scenario())
    assert found.similar == []
    assert 0 < found.accuracy.shadow.n <= found.judge_calls
    assert found.report()["state"] == "on trial"


@pytest.mark.parametrize("noise", [(1.0, 0.0), (0.0, 1.0)])
async def test_the_errors_of_a_judge_are_fixed_for_a_pair(noise):
    judge = LabelJudge(*noise)
    said = {judge.says_wrong("a", "b", wrong=True) for _ in range(5)}
    assert said == {noise[0] == 0.0}
    assert judge.says_wrong("a", "b", wrong=False) == (noise[1] == 1.0)


async def test_the_report_has_every_figure_that_is_promised():
    names = {"n", "hit_rate", "error_rate", "false_hit_rate", "false_hit_interval", "judge_calls", "aliases"}
    assert names | {"retreats", "oos_answered"} <= set((await played(questions())).report())


async def test_the_picture_shows_what_was_told_beside_the_truth():
    found = await played(questions(wrong=True))
    assert [look.row for look in found.course] == list(range(1, found.n + 1))
    last = found.course[-1]
    assert last.wrong == found.report()["false_hit_rate"] == 1.0
    assert last.most == found.accuracy.told.high
    drawn = line_chart.svg(chart_of(found, "cities.jsonl", "static"))
    assert drawn.count("<polyline") == 3
    assert "the owner's bound" in drawn
