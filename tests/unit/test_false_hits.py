"""A reported text is known again, and nobody else's is."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.cache.false_hits import MOST, digest, objection


@pytest.mark.parametrize("same", ["How do I   pay?", "how do i pay", " How do I pay ?\n", "HOW DO I PAY?!"])
def test_the_same_words_are_the_same_text(same):
    assert digest("a:b", same) == digest("a:b", "How do I pay?")


@pytest.mark.parametrize("other", ["How do I not pay?", "How do I pay 2?", "Do I pay how?", ""])
def test_other_words_are_not(other):
    assert digest("a:b", other) != digest("a:b", "How do I pay?")


@given(st.text())
def test_any_text_has_a_digest_and_another_one_in_another_partition(text):
    assert len(digest("a:b", text)) == 32
    assert digest("a:b", text) != digest("a:c", text)


def test_an_entry_is_objected_to_for_what_was_reported_alone(entry):
    stored = entry(created=0, expires=9)
    assert objection(stored, "How?") is None
    reported = replace(stored, false_hits=frozenset({digest(stored.partition, "How?")}))
    assert objection(reported, "how") == "reported as wrong"
    assert objection(reported, "Why?") is None
    assert objection(replace(reported, partition="acme:test"), "How?") is None


def test_an_entry_that_was_reported_too_often_answers_nobody(entry):
    many = frozenset(digest("acme:prod", str(n)) for n in range(MOST))
    assert objection(replace(entry(created=0, expires=9), false_hits=many), "New?") == "reported as wrong too often"
