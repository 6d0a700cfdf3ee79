"""What the policy looks at before it scores: each check alone, of either of the two texts, and from both sides."""

import pytest

from subsecond.config import Settings
from subsecond.ports import StoredQuestion
from subsecond.semantic.policies.guarded import FRESH, build

STRICT = build(Settings())
ENGLISH, GERMAN = "How do I reset my password?", "Wie kann ich mein Passwort zurücksetzen?"


def verdict(asked, stored, similarity=0.999, age=0.0):
    return STRICT.judge(asked, StoredQuestion(stored, similarity, age))


@pytest.mark.parametrize(
    ("asked", "stored"), [(ENGLISH, GERMAN), (GERMAN, ENGLISH), (GERMAN, GERMAN + " Danke und Gruß.")]
)
def test_words_are_only_read_where_both_texts_are_english(asked, stored):
    assert verdict(asked, stored).reasons == ("not English, and not the same words",)


def test_the_same_words_of_another_language_are_the_same_question():
    assert verdict(GERMAN, GERMAN).decision == "hit"


def test_a_question_of_the_moment_may_be_a_minute_old():
    now = "What is the weather in Lima?"
    assert FRESH == 60
    assert verdict(now, now, age=60.0).decision == "hit"
    assert verdict(now, now, age=60.1).reasons == ("time-bound",)


def test_from_the_floor_on_and_no_lower_words_are_compared():
    floor, other = STRICT.floor, "How can I reset the password of mine?"
    below, at = (verdict(ENGLISH, other, similarity) for similarity in (floor - 0.001, floor))
    assert below.reasons == (f"similarity {floor - 0.001:.3f} is below {floor:.3f}",)
    assert "similarity" not in " ".join(at.reasons)


@pytest.mark.parametrize(("asked", "stored"), [("?!", ENGLISH), (ENGLISH, "?!")])
def test_a_text_without_words_is_compared_with_nothing(asked, stored):
    assert verdict(asked, stored).decision == "miss"
