"""Many orders of one stream: what is worked out once serves as the gateway does, and the shares are of all orders."""

import json
from dataclasses import replace
from random import Random

import pytest

from subsecond.semantic.verification.intervals import Counted, JudgeErrors
from subsecond.semantic.verification.verified import Verified
from subsecond_local.cli import main as cli
from subsecond_local.evaluate import questions as made
from subsecond_local.evaluate import setting, stream, verified_orders, verified_stream
from subsecond_local.evaluate.neighbour_graph import KnownAnswers, NeighbourGraph
from subsecond_local.evaluate.rows import Question
from subsecond_local.evaluate.scenarios import AROUND, STEADY, Scenario
from subsecond_local.evaluate.verified_orders import Orders
from subsecond_local.evaluate.verified_stream import LabelJudge, Loop
from tests.unit.evaluate.test_verified_stream import AT_ONCE, questions

NOISY = LabelJudge(0.05, 0.05, "0:0")
SURE = JudgeErrors(Counted(10**6, 10**6), Counted(10**6, 0))
MIXED = [*questions(), *questions(wrong=True)[60:]]


async def over_what_is_known(rows, scenario=AT_ONCE, max_error=0.05):
    tried = setting.chosen({}, "verified")
    graph = NeighbourGraph(rows, tried, await stream.embedded(rows, tried))
    learned = Verified(max_error, verified_stream.cut_of(tried), tried.embedder.dim, trial=scenario.trial)
    return await Loop(KnownAnswers(graph, learned), NOISY, learned, len(rows), 0.8).run(rows, scenario)


async def through_the_stage(rows, scenario=AT_ONCE, max_error=0.05):
    tried = setting.chosen({}, "verified")
    vectors = await stream.embedded(rows, tried)
    return await verified_stream.verified(rows, tried, vectors, NOISY, max_error, scenario=scenario)


def served(found):
    return [(one.row, one.stored.text, one.is_exact, pytest.approx(one.similarity, abs=1e-5)) for one in found.hits]


@pytest.mark.parametrize("scenario", [STEADY, AT_ONCE, Scenario(careless=True, trial=False)])
async def test_what_is_worked_out_once_serves_as_the_gateways_own_stage_does(scenario):
    rows = STEADY.order(MIXED, Random(3))
    known, staged = await over_what_is_known(rows, scenario), await through_the_stage(rows, scenario)
    assert served(known) == served(staged)
    assert known.similar or scenario.trial
    assert known.report() == staged.report()
    assert known.exact_only_from == staged.exact_only_from


async def test_the_shares_are_of_all_orders():
    tried = setting.chosen({}, "verified")
    vectors = await stream.embedded(MIXED, tried)
    found = await verified_orders.played(MIXED, tried, vectors, NOISY, 0.05, Orders(3, 7, AT_ONCE))
    assert len({tuple(one.row for one in each.hits) for each in found}) == 3
    told = verified_orders.report(found)
    assert told["bound_held"] == round(sum(one.wrong_share <= 0.05 for one in found) / 3, 4)
    assert told["hit_rate"]["least"] < told["hit_rate"]["most"]
    again = await verified_orders.played(MIXED, tried, vectors, NOISY, 0.05, Orders(3, 7, AT_ONCE))
    assert verified_orders.report(again) == told


async def test_an_interval_that_misses_the_truth_is_counted():
    found = await over_what_is_known(STEADY.order(MIXED, Random(1)))
    found.accuracy = replace(found.learned, checked=replace(found.learned.checked, n=10**6, yes=0), judge=SURE)
    found.course = [replace(found.course[0], covered=False), *found.course[1:]]
    told = verified_orders.report([found])
    assert found.wrong_share > 0.05
    assert (told["bound_held"], told["interval_covered"], told["interval_covered_always"]) == (0, 0, 0)


async def test_a_policy_made_worse_is_given_up_and_its_hits_are_counted():
    numbers = range(1_000)
    rows = [Question(text, str(n)) for n in numbers for text in (made.question(n), made.reworded(n))]
    found = await over_what_is_known(rows, Scenario(careless=True, trial=False))
    after = [one for one in found.similar if one.row >= found.n // 2 + 1]
    assert found.n // 2 < found.exact_only_from < found.n
    assert found.hits_after_worse == len(after) < 400
    assert max(one.row for one in after) < found.exact_only_from


def test_drift_of_intents_asks_for_one_half_of_them_first():
    rows = Scenario("intents").order(questions(), Random(5))
    early, late = {one.intent for one in rows[:60]}, {one.intent for one in rows[60:]}
    assert (len(early), len(late), early & late) == (12, 13, set())


def test_drift_of_wording_puts_words_around_the_second_half_alone():
    rows = Scenario("wording").order(questions(), Random(5))
    worded = [one.text.startswith(AROUND.split("{")[0]) for one in rows]
    assert worded == [False] * 62 + [True] * 63
    assert {one.text for one in rows} <= {one.text for one in Scenario("wording").all_of(questions())}


def test_the_command_tells_of_all_orders(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    file = tmp_path / "cities.jsonl"
    file.write_text("\n".join(json.dumps({"query": one.text, "intent": one.intent}) for one in MIXED))
    command = ["eval", "stream", str(file), "--policy", "verified", "--orders", "2", "--seed", "4"]
    more = ["--judge-noise", "0.1:0.2", "--drift", "wording", "--worse", "--no-trial", "--json"]
    assert cli.main([*command, *more]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["orders"], told["seed"], told["judge_noise"]) == (2, 4, [0.1, 0.2])
    assert (told["drift"], told["worse"]) == ("wording", True)
    assert told["hits_after_worse"]["most"] > 0
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert "of 2 orders" in said
    assert not list(tmp_path.glob("*.svg"))
