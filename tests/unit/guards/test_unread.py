"""Reading takes most of the time of judging: a neighbour with another number is refused before, and no text is read
twice."""

import sys

import pytest

from subsecond.config import Settings
from subsecond.ports import StoredQuestion
from subsecond.semantic.guards import bare_numbers, vetoes, words
from subsecond.semantic.guards.reading import read
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
