"""Small words that say how many, and of what."""

import pytest

from subsecond.semantic.guards.grammar import small_words
from subsecond.semantic.guards.reading import read


def told(one, other):
    found = small_words(read(one), read(other))
    assert found == small_words(read(other), read(one))
    return found


@pytest.mark.parametrize(
    "text",
    [
        "{} shops are open",
        "Are {} shops open?",
        "Do {} shops open late?",
        "Does {} of it rust?",
        "Is it true for {} shops?",
        "What do owners of {} shops earn?",
        "Is it sold in {} shops?",
        "Does it go to {} shops?",
        "Is it sold by {} shops?",
        "Why {} shops fail",
        "How {} shops fail",
        "Can {} shops fail?",
        "Will {} shops fail?",
    ],
)
def test_most_are_not_few(text):
    assert told(text.format("most"), text.format("few")) == "another quantifier"
    assert told(text.format("most"), text.format("most")) == ""


@pytest.mark.parametrize("before", ["so", "very", "too"])
def test_few_are_not_any(before):
    assert told(f"Why are {before} few shops open?", "Why are shops open?") == "another quantifier"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Are only shops open?", "Are shops open?"),
        ("Are half of the shops open?", "Are the shops open?"),
        ("Is it nearly full?", "Is it full?"),
        ("Are all shops open?", "Are some shops open?"),
        ("Do both pay?", "Does either pay?"),
        ("Must I pay at most 5?", "Must I pay at least 5?"),
        ("Do only students pay fees?", "Do students pay only fees?"),
    ],
)
def test_another_amount_is_another_question(one, other):
    assert told(one, other) == "another quantifier"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Are some shops open?", "Are many shops open?"),
        ("Are a few shops open?", "Are shops open?"),
        ("Which is the most open shop?", "Which is the open shop?"),
    ],
)
def test_what_says_nothing_of_how_many(one, other):
    assert told(one, other) == ""


@pytest.mark.parametrize("opening", ["", "I want to know, "])
def test_what_may_be_done_must_not_and_how_it_is_done_is_one_question(opening):
    assert told(f"{opening}can I park here?", f"{opening}must I park here?") == "another modal verb"
    assert told("I want to park, can I?", "I want to park, must I?") == ""
    assert told(f"{opening}how can I park here?", f"{opening}how must I park here?") == ""
