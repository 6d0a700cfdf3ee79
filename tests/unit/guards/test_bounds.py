"""No text may make a verdict slow. What the patterns do outside Python, `test_linear_text.py` holds."""

import sys

import pytest

from subsecond.config import Settings
from subsecond.ports import StoredQuestion
from subsecond.semantic.guards.typos import distance
from subsecond.semantic.policies.guarded import LONGEST_READ, build

POLICY = build(Settings())
BITS = [
    "a", "how do i ", "1", "1,", "1.", "1:2", "12:34 ", "twenty ", "hundred ", "a.b", "/", "/a", "'", '"', '"a" ',
    "`", "a_", "-", " - ", "--a-", "a@", "a@b.", "C:", "a.", "a'", "a+b-", "$", "$1,", "🍕", "un", "not ",
    "from a to b ", "what is the ", "is it possible to ", "(", "A ", "now ", "what's the ", "is w ",
    "the price of a ", "漢", "é", "e\u0301", "\ud800", "x y z ",
]  # fmt: skip


def steps(work):
    """Calls and lines of Python that the work takes: no clock, so that a busy machine does not matter."""
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        count += 1
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    return count


def work(bit, length):
    """A verdict over texts of this length, one of which begins a letter later."""
    text = (bit * length)[:length]
    return lambda: POLICY.judge(text, StoredQuestion(f"{text[1:]} b", 0.9, 100))


@pytest.mark.parametrize("bit", BITS)
def test_work_grows_with_the_length_and_no_faster(bit):
    work(bit, 1_900)()  # what is loaded and remembered once
    small, large = steps(work(bit, 450)), steps(work(bit, 1_900))
    assert large < 5 * small + 2_000
    assert large < 300_000


@pytest.mark.parametrize("length", [LONGEST_READ + 1, 8_000, 80_000])
def test_a_long_text_is_only_compared_as_a_whole(length):
    assert steps(work("how do i pay ", length)) < 200
    text = ("How do I pay? " * length)[:length]
    assert POLICY.judge(text, StoredQuestion(f" {text}\r\n", 0.9)).decision == "hit"


def test_the_distance_gives_up_early():
    assert distance("abcdefgh" * 3, "zyxwvuts" * 3, 1) == 2
    assert distance("recieve", "receive", 1) == 1
    assert distance("kitten", "sitting", 5) == 3
