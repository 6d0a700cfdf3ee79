"""Pairs and conversations: who is compared with whom, and who answers."""

import asyncio
import math

import numpy as np
import pytest

from subsecond.ports import Verdict
from subsecond_local.errors import LocalError
from subsecond_local.evaluate import decisions, setting
from subsecond_local.evaluate.rows import Conversation, Pair


class Told:
    """A policy that says what it was told of each asked text; it writes down what it saw."""

    floor = 0.5

    def __init__(self, **verdicts):
        self.verdicts = verdicts
        self.seen = []

    def judge(self, asked, candidate):
        self.seen.append((asked, candidate.text, round(candidate.similarity, 3)))
        says, score = self.verdicts.get(asked, ("miss", 0.0))
        return Verdict(says, ("told",), score)


def at(cosine):
    return np.array([cosine, math.sqrt(1 - cosine**2)], np.float32)


def judged(pairs, policy, least, vectors):
    return decisions.judged(decisions.cases_of_pairs(pairs), policy, least, vectors)


def test_the_second_is_asked_where_the_first_is_stored():
    policy = Told(b=("hit", 0.9))
    found = judged([Pair("a", "b", label=True, kind="k")], policy, 0.5, {"a": at(1), "b": at(0.8)})
    assert policy.seen == [("b", "a", 0.8)]
    (one,) = found.decisions
    assert (one.answered, one.score, one.kind, one.reasons) == (True, 0.9, "k", ("told",))
    assert one.similarity == pytest.approx(0.8)
    assert found.judge_cpu_ms is not None


@pytest.mark.parametrize(
    ("says", "cosine", "answered"), [("hit", 0.8, True), ("hit", 0.6, False), ("unsure", 0.8, False)]
)
def test_a_hit_needs_the_least_similarity_too(says, cosine, answered):
    found = judged([Pair("a", "b", label=True)], Told(b=(says, 0.7)), 0.7, {"a": at(1), "b": at(cosine)})
    assert found.decisions[0].answered is answered
    # The score stays: the trade-off is read along it.
    assert found.decisions[0].score == 0.7


def test_the_same_question_is_answered_without_a_policy():
    found = judged([Pair("a", "a", label=True)], Told(), 0.7, {})
    assert (found.decisions[0].answered, found.decisions[0].score, found.exact) == (True, math.inf, 1)
    assert found.judge_cpu_ms is None


def test_wrong_rows_are_listed_the_surest_first():
    pairs = [
        Pair("a", "b", label=False, kind="k"),
        Pair("a", "c", label=True),
        Pair("a", "d", label=False),
        Pair("a", "e", label=False),
    ]
    policy = Told(b=("hit", 0.7), c=("hit", 0.9), d=("miss", 0.1), e=("hit", 0.8))
    found = judged(pairs, policy, 0.5, {text: at(1) for text in "abcde"}).report()["wrong"]
    assert [(one["row"], one["stored"], one["asked"], one["score"]) for one in found] == [
        (4, "a", "e", 0.8),
        (1, "a", "b", 0.7),
    ]
    assert (found[1]["kind"], found[1]["similarity"], found[1]["reasons"]) == ("k", 1.0, ["told"])


def test_a_text_that_is_not_embedded_is_not_compared():
    found = judged([Pair("a", "", label=True)], Told(), 0.0, {"a": at(1)})
    assert (found.decisions[0].answered, found.decisions[0].score) == (False, None)


def turns(*texts, system=None):
    roles = ("user", "assistant")
    messages = [{"role": roles[at % 2], "content": text} for at, text in enumerate(texts)]
    return [{"role": "system", "content": system}, *messages] if system else messages


@pytest.mark.parametrize(
    ("a", "b", "answered", "compared"),
    [
        (turns("Hi", "Yes?", "a"), turns("Hi", "Yes?", "b"), True, True),
        (turns("Hi", "Yes?", "a"), turns("Hi", "Yes?", "a"), True, False),
        (turns("Hi", "Yes?", "a"), turns("Hello", "Yes?", "b"), False, False),
        (turns("Hi", "Yes?", "a"), turns("Hello", "Yes?", "a"), False, False),
        (turns("a"), turns("b", system="Be brief."), False, False),
        (turns("a", "Yes?"), turns("b", "Yes?"), False, False),
    ],
    ids=["same turns", "exact repeat", "another turn", "same last turn", "system", "no user's turn"],
)
def test_conversations_are_compared_within_their_scope_alone(a, b, answered, compared):
    policy = Told(b=("hit", 0.9), a=("hit", 0.9))
    cases = decisions.cases_of_conversations([Conversation(a, b, label=True)])
    found = decisions.judged(cases, policy, 0.5, {"a": at(1), "b": at(0.8), "Yes?": at(1)})
    assert found.decisions[0].answered is answered
    assert bool(policy.seen) is compared


def test_with_the_real_parts_a_higher_threshold_answers_no_more_than_a_lower():
    pairs = [
        Pair("How do I reset my password?", "How can I reset my password?", label=True),
        Pair("How do I reset my password?", "What is the capital of France?", label=False),
    ]

    def answered(threshold):
        tried = setting.chosen({}, "threshold", threshold, "hashing")
        found = asyncio.run(decisions.tried(decisions.cases_of_pairs(pairs), tried))
        return [one.answered for one in found.decisions]

    assert answered(0.5) == [True, False]
    assert answered(-1.0) == [True, True]
    assert answered(1.0) == [False, False]


@pytest.mark.parametrize(
    ("environ", "policy", "embedder", "word"),
    [
        ({}, "best", None, "SUBSECOND_SEMANTIC=best"),
        ({}, "threshold", "none", "SUBSECOND_EMBEDDER=none"),
        ({"SUBSECOND_SIMILARITY": "high"}, "threshold", None, "SUBSECOND_SIMILARITY"),
    ],
)
def test_a_policy_or_embedder_that_there_is_not_is_named(environ, policy, embedder, word):
    with pytest.raises(LocalError, match=word):
        setting.chosen(environ, policy, None, embedder)


def test_what_is_not_told_comes_from_the_environment():
    environ = {"SUBSECOND_SEMANTIC": "threshold", "SUBSECOND_SIMILARITY": "0.7", "SUBSECOND_EMBEDDER": "hashing"}
    found = setting.chosen(environ)
    assert found.named() == {"policy": "threshold", "threshold": 0.7, "embedder": "hashing-256-r1"}
    assert setting.chosen(environ, threshold=0.8).least == 0.8


def test_what_the_gateway_would_not_store_answers_nothing():
    pairs = [Pair("Hello?", "Hello?", label=True)]
    for rules, answered in (("", True), ("model:*=0", False)):
        environ = {"SUBSECOND_TTL_RULES": rules}
        tried = setting.chosen(environ, "threshold", 0.5, "hashing")
        found = asyncio.run(decisions.tried(decisions.cases_of_pairs(pairs), tried))
        assert found.decisions[0].answered is answered
