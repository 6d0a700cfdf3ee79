"""The weights of the score were fitted to these numbers: another number for a name is another decision."""

import math

import pytest

from subsecond.semantic.guards.features import NAMES, features
from subsecond.semantic.guards.matching import match
from subsecond.semantic.guards.reading import read
from subsecond.semantic.guards.score import ScoreModel, score_model


def told(one, other, similarity=0.9):
    """By name, but for zeros."""
    a, b = read(one), read(other)
    found = dict(zip(NAMES, features(a, b, match(a, b), similarity), strict=True))
    return {name: round(value, 4) for name, value in found.items() if value}


FITTED = [
    (
        "How do I reset my password?",
        "What is the way to change my account password?",
        0.91,
        {
            "similarity": 0.91,
            "similarity over .7": 0.7,
            "similarity over .85": 0.4,
            "cover, lesser side": 0.4666,
            "cover, larger side": 0.4915,
            "words in common": 0.25,
            "left on one side": 0.3333,
            "left on both sides": 0.25,
            "rarest left": 0.9627,
            "rarest left on both sides": 0.4709,
            "alignment, worst": 0.2674,
            "alignment, mean": 0.3004,
            "likeness of what is left": 0.2674,
            "function words in common": 1.0,
            "same kind of question": 1.0,
            "length ratio": 0.75,
            "same last word": 1.0,
            "many words": 0.15,
            "a thing of a kind left": 1.0,
            "more than vague words left": 0.5,
            "likeness of contents": 0.733,
            "similarity and cover": 0.4246,
            "similarity and alignment": 0.2433,
            "cover and alignment": 0.1248,
            "similarity and length": 0.1365,
            "similarity and kind": 0.7,
        },
    ),
    (
        "Can you send me the invoice for the order that I lost?",
        "Where could we find the invoices of our last two orders, and who sends them?",
        0.66,
        {
            "similarity": 0.66,
            "cover, lesser side": 0.7616,
            "cover, larger side": 0.8297,
            "words in common": 0.5,
            "left on one side": 0.3333,
            "left on both sides": 0.25,
            "rarest left": 0.2142,
            "rarest left on both sides": 0.2095,
            "alignment, worst": 0.1883,
            "alignment, mean": 0.2476,
            "likeness of what is left": 0.2772,
            "function words in common": 0.1111,
            "kinds of question differ": 1.0,
            "object differs": 1.0,
            "moved": 0.3333,
            "length ratio": 0.8333,
            "many words": 0.25,
            "more than vague words left": 0.3333,
            "vague words left": 0.25,
            "likeness of contents": 0.6867,
            "similarity and cover": 0.5026,
            "similarity and alignment": 0.1243,
            "cover and alignment": 0.1434,
            "similarity and length": 0.165,
        },
    ),
    (
        "Should I recieve a letter from the bank about my new card?",
        "Will a letter about the new card be received from your bank by me?",
        0.97,
        {
            "similarity": 0.97,
            "similarity over .7": 0.9,
            "similarity over .85": 0.8,
            "cover, lesser side": 0.6633,
            "cover, larger side": 0.8313,
            "words in common": 0.6667,
            "left on one side": 0.1667,
            "left on both sides": 0.25,
            "rarest left": 1.0,
            "rarest left on both sides": 0.1896,
            "alignment, worst": 0.1488,
            "alignment, mean": 0.1833,
            "likeness of what is left": 0.0982,
            "function words in common": 0.4,
            "kinds of question differ": 1.0,
            "second person differs": 1.0,
            "object differs": 1.0,
            "moved": 0.6667,
            "length ratio": 1.0,
            "neighbours in common": 0.25,
            "many words": 0.25,
            "modals differ": 0.6667,
            "more than vague words left": 0.3333,
            "likeness of contents": 0.7204,
            "similarity and cover": 0.6434,
            "similarity and alignment": 0.1443,
            "cover and alignment": 0.0987,
            "similarity and length": 0.2425,
        },
    ),
]


@pytest.mark.parametrize(("one", "other", "similarity", "expected"), FITTED)
def test_a_pair_has_the_numbers_that_the_weights_were_fitted_to(one, other, similarity, expected):
    assert told(one, other, similarity) == pytest.approx(expected, abs=2e-4)


def test_texts_of_the_same_words_leave_nothing():
    found = told("How do I reset my password?", "How can I reset my password?")
    whole = ["cover, lesser side", "cover, larger side", "words in common", "nothing left", "length ratio"]
    whole += ["alignment, worst", "alignment, mean", "neighbours in common", "same last word", "few words"]
    assert {name: found.get(name) for name in whole} == dict.fromkeys(whole, 1.0)
    assert not {name for name in found if " left" in name} - {"nothing left"}


@pytest.mark.parametrize(
    ("one", "other", "name", "value"),
    [
        ("How do I pay the red bill?", "How do I pay the bill?", "alike but for one", 1.0),
        ("How do I pay the red bill?", "How do I pay the blue bill?", "alike but for one", 0.0),
        ("How do I buy a car?", "How do I purchase a car?", "other words for one thing", 1 / 3),
        ("Which invoices are open?", "Which invoice is open?", "nothing left", 1.0),
        ("How do I get my recieved letter?", "How do I get my received letter?", "slips", 1 / 3),
        ("Where do I pay?", "When do I pay?", "kinds of question differ", 1.0),
        ("Where do I pay?", "Where do I pay?", "same kind of question", 1.0),
        ("Does your bank pay?", "Does the bank pay?", "second person differs", 1.0),
        ("Is my card safe?", "Is the card safe?", "first person differs", 1.0),
        ("Would the bank pay?", "Did the bank pay?", "modals differ", 2 / 3),
    ],
)
def test_each_name_says_what_it_counts(one, other, name, value):
    assert told(one, other).get(name, 0.0) == told(other, one).get(name, 0.0) == pytest.approx(value, abs=1e-3)


@pytest.mark.parametrize(("total", "score"), [(0.0, 0.5), (math.log(3), 0.75), (-math.log(3), 0.25)])
def test_a_score_is_the_logistic_of_bias_and_weighted_values(total, score):
    model = ScoreModel((2.0, -1.0), total - 3.0, cut=0.5, maybe=0.4, floor=0.3, own=False)
    assert model.score([2.0, 1.0]) == pytest.approx(score)


def test_a_score_of_any_total_is_a_number():
    model = ScoreModel((1.0,), 0.0, cut=0.5, maybe=0.4, floor=0.3, own=False)
    assert (model.score([1e9]), model.score([-1e9])) == (1 / (1 + math.exp(-30)), 1 / (1 + math.exp(30)))


def test_an_unknown_embedder_has_the_static_ones_weights_over_the_static_similarity():
    known, unknown = (score_model(name, "strict") for name in ("static", "of somebody's own"))
    assert unknown.weights == known.weights
    assert (unknown.bias, unknown.cut, unknown.maybe) == (known.bias, known.cut, known.maybe)
    assert (known.own, unknown.own, unknown.floor) == (False, True, 0.3)
    assert known.floor > 0.3
