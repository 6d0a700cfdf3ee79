"""No input is pathological: four times the text takes no more than so many times the steps.

Steps are lines and calls that the interpreter reports, which do not depend on the machine; what runs inside the regular
expressions they cannot see, so those are probed by processor time, with a bound that only a square would break.
"""

import sys
from time import process_time

import pytest

from subsecond.prompts.optimiser.concise import shortened
from subsecond.prompts.optimiser.dedupe import Dedupe
from subsecond.prompts.optimiser.estimate import Estimator, tables
from subsecond.prompts.optimiser.lossless import tidied
from subsecond.prompts.optimiser.passages import passages_of
from subsecond.prompts.optimiser.relevance import bm25

ENGLISH = "the and of to is are you your for with "
SEEDS = [
    *("<context>\n", "<context>\n</context>\n", "<a\n", "<a>", "<doc><doc>\n", "</doc>\n", "<docs ", "<docs\n<"),
    *("Context:\n", "Question:\n", "Example 1:\n", "```\n", "`", '"', "“", "'a", "{", "{\n", "[[\n", "}\n", "| a |\n"),
    *(" ", "\n", " \n", "\t\n", "\r\n\r\n\r\n", "x\n\n", "- ", "# ", "a: \n", "in order to ", "please note that "),
    *("In order in order to to ", "://", "a://", "a", "A", "aA", "1", "!!!!", "é", "中", "\ue0c5"),
]


def deduped(text):
    return Dedupe()(text)


WORK = {
    "lossless": tidied,
    "dedupe": deduped,
    "passages": passages_of.__wrapped__,
    "concise": lambda text: shortened(ENGLISH + text),
    "count": lambda text: Estimator(tables()["o200k"]).count(text),
    "rank": lambda text: bm25("a in order to 中", text.split("\n\n")),
}
SMALL = 4_000
TIMES = 8


def steps(work, text):
    count = 0

    def tracer(_frame, _event, _arg):
        nonlocal count
        count += 1
        return tracer

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        work(text)
    finally:
        sys.settrace(before)
    return count


def spent(work, text):
    """The least of three runs: the others were disturbed."""
    times = []
    for _ in range(3):
        began = process_time()
        work(text)
        times.append(process_time() - began)
    return min(times)


@pytest.mark.parametrize("name", WORK)
@pytest.mark.parametrize("seed", SEEDS)
def test_steps_grow_with_the_text_and_not_with_its_square(name, seed):
    small = (seed * SMALL)[: SMALL // 4]
    WORK[name](small * TIMES)
    assert steps(WORK[name], small * TIMES) <= 1.5 * TIMES * steps(WORK[name], small) + 500


@pytest.mark.parametrize("name", WORK)
def test_no_seed_makes_the_regular_expressions_backtrack(name):
    for seed in SEEDS:
        text = (seed * SMALL)[:SMALL]
        WORK[name](text)
        small = spent(WORK[name], text)
        # A square would take 64 times as long; the floor keeps a clock's tick from counting.
        assert spent(WORK[name], text * TIMES) <= 4 * TIMES * max(small, 0.0005), seed
