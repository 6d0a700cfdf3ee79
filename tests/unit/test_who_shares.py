"""Who takes part: in a call in flight, in the search for similar questions. Each condition alone, limits from both
sides."""

from dataclasses import replace

import pytest

from subsecond.cache.cacheability import COMPARED_TEXT, QUESTION, SHARED_AGE, lifetime, may_coalesce, may_compare
from subsecond.config import Settings
from subsecond.model import CacheRules, Prompt


@pytest.mark.parametrize(
    ("rules", "shares"),
    [
        ({}, True),
        ({"similar": False}, True),
        ({"coalesce": False}, False),
        ({"read": False}, False),
        ({"write": False}, False),
        ({"only_if_cached": True}, False),
        ({"max_age": SHARED_AGE}, True),
        ({"max_age": SHARED_AGE - 1}, False),
        ({"max_age": 0.0}, False),
    ],
)
def test_who_may_join_a_call_in_flight(ask, rules, shares):
    assert may_coalesce(replace(ask(), rules=CacheRules(**rules))) == shares


@pytest.mark.parametrize(("fields", "shares"), [({"n": 1}, True), ({"n": None}, True), ({"n": 2}, False)])
def test_several_choices_are_asked_for_to_differ(ask, fields, shares):
    assert may_coalesce(ask(**fields)) == shares
    assert may_compare(ask(**fields), "How?") == shares


@pytest.mark.parametrize(
    ("rules", "compared"),
    [
        ({}, True),
        ({"similar": False}, False),
        ({"read": False}, True),
        ({"write": False}, True),
        ({"read": False, "write": False}, False),
    ],
)
def test_who_may_be_compared(ask, rules, compared):
    assert may_compare(replace(ask(), rules=CacheRules(**rules)), "How?") == compared


@pytest.mark.parametrize(
    ("length", "compared"), [(0, False), (1, True), (COMPARED_TEXT, True), (COMPARED_TEXT + 1, False)]
)
def test_a_text_is_compared_whole_or_not_at_all(ask, length, compared):
    assert may_compare(ask(), "a" * length) == compared


NOW = "What is the weather?"


@pytest.mark.parametrize(("length", "short"), [(len(NOW), True), (QUESTION, True), (QUESTION + 1, False)])
def test_only_a_short_question_is_one_of_the_day(ask, length, short):
    settings = Settings(timebound_ttl=7.0)
    seconds = lifetime(settings, ask(), Prompt("k", "s", NOW.ljust(length)))
    assert seconds == (7.0 if short else settings.ttl)
