"""Questions in a row from an empty cache, with the pipeline's own stage."""

import asyncio
import math

import pytest

from subsecond_local.evaluate import search, setting, stream
from subsecond_local.evaluate.rows import Question

PASSWORD = "How do I reset my password?"
NEAR = "How can I reset my password?"
FAR = "What is the capital of France?"


@pytest.fixture(scope="module")
def tried():
    return lambda threshold=0.6: setting.chosen({}, "threshold", threshold, "hashing")


def run(questions, chosen):
    rows = [Question(text, intent) for text, intent in questions]

    async def both():
        return await stream.streamed(rows, chosen, await stream.embedded(rows, chosen))

    return asyncio.run(both())


def test_a_miss_stores_and_a_hit_does_not(tried):
    found = run([(PASSWORD, "reset"), (NEAR, "reset"), (FAR, "capital"), (NEAR, "reset")], tried())
    assert (found.n, found.hits, found.wrong, found.entries) == (4, 2, 0, 2)
    # The last was never stored, so it is no exact repeat.
    assert found.exact == 0
    assert found.report()["hit_rate"] == 0.5


def test_an_answer_of_another_intent_is_an_error_over_all_requests(tried):
    found = run([(PASSWORD, "reset"), (NEAR, "change"), (FAR, "capital"), (FAR, "capital")], tried())
    assert (found.hits, found.wrong, found.exact) == (2, 1, 1)
    assert (found.report()["error_rate"], found.report()["precision"]) == (0.25, 0.5)


def test_a_question_out_of_scope_has_no_answer_but_its_own(tried):
    found = run([(PASSWORD, "oos"), (NEAR, "oos"), (FAR, "oos"), (FAR, "oos")], tried())
    assert (found.hits, found.oos_hits, found.wrong) == (2, 2, 1)
    assert found.report()["oos_answered"] == 0.5
    assert run([(FAR, "capital")], tried()).report()["oos_answered"] is None


def test_the_wrong_rows_are_listed_with_what_answered_them(tried):
    found = run([(PASSWORD, "reset"), (FAR, "capital"), (NEAR, "change"), (NEAR, "reset")], tried())
    (wrong,) = found.report()["wrong"]
    assert (wrong["row"], wrong["stored"], wrong["asked"]) == (3, PASSWORD, NEAR)
    assert (wrong["stored_intent"], wrong["intent"]) == ("reset", "change")
    assert 0.6 < wrong["similarity"] == wrong["score"] < 1.0


def test_along_the_score_the_best_candidate_of_each_question_counts_however_far(tried):
    questions = [(PASSWORD, "reset"), (NEAR, "reset"), (f"{NEAR} Now?", "change"), (PASSWORD, "reset"), (FAR, "oos")]
    rows, chosen = [Question(*one) for one in questions], tried(0.999)

    async def ranked():
        return await stream.ranked(rows, chosen, await stream.embedded(rows, chosen))

    found = asyncio.run(ranked())
    assert [(one.label, one.answered) for one in found] == [
        (False, False),
        (True, False),
        (False, False),
        (True, True),
        (False, False),
    ]
    scores = [one.score for one in found]
    assert (scores[0], scores[3]) == (None, math.inf)
    assert 0.6 < scores[1] < 1.0
    assert scores[4] < 0.6
    report = run(questions, chosen).report(found)
    # The wrong one lies nearer than the right one, so that only the repeat can be told from it.
    assert scores[2] > scores[1]
    assert report["recall_at_p90"] == 0.5
    assert 0 < report["p_chr_auc"] < report["p_chr_auc_at_most"]


def test_nothing_is_forgotten_in_a_long_stream(tried):
    questions = [(f"question {n} {n * n} {n * 7919}", str(n)) for n in range(300)]
    # The embedder ignores case, the exact key does not: only the index can find the first of all.
    found = run([*questions, ("QUESTION 0 0 0", "0")], tried(0.999))
    assert (found.entries, found.hits, found.exact, found.wrong) == (300, 1, 0, 0)


def test_a_stricter_cut_answers_less(tried):
    rows = [Question(text, "i") for n in range(30) for text in (f"{PASSWORD} {n}", f"{NEAR} {n}", f"{FAR} {n * n}")]
    chosen = tried()

    async def points():
        vectors = await stream.embedded(rows, chosen)
        return await stream.trade_off(rows, chosen, vectors), await stream.streamed(rows, chosen, vectors)

    found, served = asyncio.run(points())
    assert len(found) >= 3
    assert sorted({point.cut for point in found}, reverse=True) == [point.cut for point in found]
    assert sorted(point.served for point in found) == [point.served for point in found]
    # The cut that works is one of them, so that it lies on the line.
    assert [point.served for point in found if point.cut == chosen.policy.cut] == [served.hits / served.n]


def test_a_small_index_is_measured_whole(tried):
    found = asyncio.run(search.measured(300, tried(0.5), asked=40))
    assert (found["rows"], found["queries"]) == (300, 40)
    assert found["recall_at_1"] == 1.0
    assert found["vector_bytes"] == 300 * 256 * 2
    assert found["vector_bytes"] < found["bytes"]
    assert found["hits"] > 0
    assert found["judged_per_query"] > 0
    assert found["stage_cpu_ms"] > 0
    assert found["embed_cpu_ms"] > 0


def test_no_cut_answers_what_a_policy_refuses():
    # A policy has one lowest score for all that it refuses.
    assert stream._cuts([0.0] * 90 + [0.9, 0.8, 0.7, 0.6, 0.5], 100) == [0.7]
    assert stream._cuts([], 100) == []
