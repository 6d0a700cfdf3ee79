"""Reading takes most of the time of judging: a neighbour with another number is refused before, and no text is read
twice."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subsecond.config import Settings
from subsecond.ports import TOO_LONG, StoredQuestion
from subsecond.semantic.guards import bare_numbers, numbers, sameness, vetoes, words
from subsecond.semantic.guards.reading import read
from subsecond.semantic.guards.tables import tables
from subsecond.semantic.policies.guarded import build

POLICY = build(Settings())
FRAMES = ["Where is platform {}?", f"{'Tell me of all the houses ' * 30}number {{}}"]


def tokens_read(work):
    """How often the work splits a text into tokens."""
    count = 0

    def profile(frame, event, argument):
        nonlocal count
        count += event == "call" and frame.f_code is words.tokens.__code__

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("frame", FRAMES)
def test_another_number_is_refused_unread(frame):
    asked, stored = frame.format(9_017), frame.format(9_018)
    verdicts = []
    assert tokens_read(lambda: verdicts.append(POLICY.judge(asked, StoredQuestion(stored, 0.99)))) == 0
    assert (verdicts[0].decision, verdicts[0].reasons) == ("miss", ("numbers differ",))


@pytest.mark.parametrize("frame", [*FRAMES, "Is {} km far?", "Is (it $ {}, or {} hundred) much?", "March {} 10."])
@pytest.mark.parametrize(("number", "other"), [(0, 12), (9, 10), (999_999_998, 999_999_999)])
def test_what_is_refused_unread_is_refused_when_read(frame, number, other):
    asked, stored = (frame.replace("{}", str(value)) for value in (number, other))
    assert bare_numbers.differ(asked, stored)
    assert vetoes.veto(read(asked), read(stored)) == "numbers differ"


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("Wake me at 12 pm", "Wake me at 0 pm"),
        ("Wait 2 h", "Wait 120 min"),
        ("Is 007 good?", "Is 7 good?"),
        ("Is 1,200 much?", "Is 1200 much?"),
        ("Is 5.0 much?", "Is 5 much?"),
    ],
)
def test_a_number_that_may_be_the_same_is_read(asked, stored):
    assert not bare_numbers.differ(asked, stored)


def test_a_long_text_is_read_once_for_all_its_candidates():
    asked, *stored = (
        f"{'The train to the coast was late and nobody said why. ' * 14}{end}" for end in ("", "A.", "B.")
    )
    judged = [StoredQuestion(text, 0.99) for text in stored]
    assert tokens_read(lambda: [POLICY.judge(asked, one) for one in judged]) == len([asked, *stored])
    assert tokens_read(lambda: [POLICY.judge(asked, one) for one in judged]) == 0


LONG = "The train to the coast was late again, the guard said nothing, and nobody knew which platform it left from. "


def test_a_long_text_with_a_word_of_its_own_is_refused_unread():
    asked, stored = f"{LONG * 9}Why?", StoredQuestion(f"{LONG * 8}{LONG.replace('train', 'ferry')}Why?", 0.99)
    verdicts = []
    assert tokens_read(lambda: verdicts.append(POLICY.judge(asked, stored))) == 1
    assert (verdicts[0].decision, verdicts[0].reasons) == ("miss", (TOO_LONG,))


@pytest.mark.parametrize("end", ["Why? Please!", "why ?", "Why?!"])
def test_the_same_words_of_a_long_text_are_a_hit_all_the_same(end):
    assert POLICY.judge(f"{LONG * 9}Why?", StoredQuestion(f"{LONG * 9}{end}", 0.99)).decision == "hit"


# Whatever the tables make something else of, between plain words and signs that join, part or quote them.
PIECES = st.sampled_from(
    sorted({word for phrase in tables().phrases for word in phrase} | tables().forms.keys())
    + sorted({*numbers.counting(), *numbers.units().times, *numbers.units().dimensions, "may", "us", "US", "I", "v"})
    + ["ferry", "Ferry", "coast,", "platform?", "5", "$5", "7:30", "2.5", "-", "&", "/", "pre-paid", "isn't", "Anna's"]
    + [
        '"late',
        'again"',
        "'ferry'",
        "`x`",
        "a_b",
        "U.S.",
        "e.g.",
        "(late)",
        "...",
        "no.",
        "12",
        "am",
        "p.m.",
        "\n",
        "é",
    ]
)
WORDS = st.lists(PIECES, min_size=1, max_size=12)


@settings(max_examples=400, deadline=None)
@given(WORDS, st.integers(0, 11), st.lists(PIECES, max_size=2))
def test_what_is_other_without_reading_is_other_when_read(words, at, instead):
    """Of two texts that differ in one place, where there may be another word, none, or two."""
    at %= len(words)
    one, stored = " ".join(words), " ".join([*words[:at], *instead, *words[at + 1 :]])
    for a, b in ((one, stored), (stored, one)):
        assert read(a).plain != read(b).plain or not sameness.surely_other(read(a), b)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It is nt here", "It is not here"),
        ("Is it colour?", "Is it color?"),
        ("At 5:00?", "At 5 am ?"),
        ("17:00", "5 pm"),
    ],
)
def test_a_word_that_is_read_as_another_is_none_of_its_own(one, other):
    assert not sameness.surely_other(read(one), other)
    assert not sameness.surely_other(read(other), one)
