"""Questions of kinds that share no answer, and what a prefix makes of a word."""

from dataclasses import replace
from itertools import combinations

import pytest

from subsecond.semantic.guards.reading import read
from subsecond.semantic.guards.vetoes import _denied, question

EXCLUSIVE = "when where who why manner howmuch howmany howlong howoften howold howfar is"
APART = [
    *("how when", "how howmany", "how howmuch", "how must", "how is", "where what", "why what", "manner what"),
    *("what must", "howmany what", "howmany can", "howmany want"),
]


def another_kind(one, other):
    a, b = (replace(read("Is it?"), kind=kind and f"<{kind}>") for kind in (one, other))
    assert question(a, b) == question(b, a)
    return question(a, b) == "another kind of question"


@pytest.mark.parametrize(("one", "other"), list(combinations(EXCLUSIVE.split(), 2)))
def test_no_answer_serves_two_of_these_kinds(one, other):
    assert another_kind(one, other)
    assert not another_kind(one, one)


@pytest.mark.parametrize("pair", APART)
def test_some_pairs_of_kinds_are_apart(pair):
    assert another_kind(*pair.split())


@pytest.mark.parametrize("pair", ["how can", "how want", "what who", "can is", "what is"])
def test_other_pairs_may_ask_the_same(pair):
    assert not another_kind(*pair.split())


def test_a_text_that_does_not_say_its_kind_may_be_of_any():
    assert not another_kind("", "when")


@pytest.mark.parametrize(
    "prefix", ["un", "in", "im", "ir", "il", "dis", "non", "mis", "de", "over", "under", "a", "anti", "self_"]
)
def test_a_prefix_turns_a_word_round_where_enough_of_it_is_left(prefix):
    def opposites(root):
        return _denied(frozenset({prefix + root, "other"}), frozenset({root}))

    assert opposites("root") == "opposites"
    assert opposites("roo") == ""
    assert _denied(frozenset({"root"}), frozenset({prefix + "root"})) == "opposites"
    assert _denied(frozenset({prefix + "root"}), frozenset({"other"})) == ""


@pytest.mark.parametrize(
    "word",
    [
        *("un-happy", "anti-virus", "post-war", "semi-final", "multi-media", "sub-way", "inter-national", "over-time"),
        *("under-ground", "mis-use", "dis-able", "de-frost", "re-use", "co-pilot", "bi-lingual", "tri-angle"),
        *("ultra-sound", "super-market", "pre-war"),
    ],
)
def test_a_prefix_may_be_joined_by_a_hyphen(word):
    assert read(f"Is it a {word} one?").plain == read(f"Is it a {word.replace('-', '')} one?").plain


@pytest.mark.parametrize("word", ["re-sign", "re-cover", "re-form", "co-op"])
def test_where_the_hyphen_makes_another_word_it_counts(word):
    assert read(f"Is it a {word} one?").plain != read(f"Is it a {word.replace('-', '')} one?").plain
