"""No input is pathological: four times the text takes no more than so many times the steps.

Steps are lines and calls that the interpreter reports, which do not depend on the machine; what runs inside the regular
expressions they cannot see, and `test_linear_text.py` holds.
"""

import sys

import pytest

from subsecond.optimiser.dedupe import Dedupe
from subsecond.optimiser.estimate import Estimator, tables
from subsecond.optimiser.lossless import without_idle_blanks
from subsecond.optimiser.passages import passages_of
from subsecond.optimiser.relevance import bm25

SEEDS = [
    *("<context>\n", "<context>\n</context>\n", "<a\n", "<a>", "<doc><doc>\n", "</doc>\n", "<docs ", "<docs\n<"),
    *("Context:\n", "Question:\n", "Example 1:\n", "```\n", "`", '"', "“", "'a", "{", "{\n", "[[\n", "}\n", "| a |\n"),
    *(" ", "\n", " \n", "\t\n", "\r\n\r\n\r\n", "x\n\n", "- ", "# ", "a: \n", "in order to ", "please note that "),
    *("In order in order to to ", "://", "a://", "a", "A", "aA", "1", "!!!!", "é", "中", "\ue0c5"),
]


def deduped(text):
    return Dedupe()(text)


WORK = {
    "lossless": without_idle_blanks,
    "dedupe": deduped,
    "passages": passages_of.__wrapped__,
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


@pytest.mark.parametrize("name", WORK)
@pytest.mark.parametrize("seed", SEEDS)
def test_steps_grow_with_the_text_and_not_with_its_square(name, seed):
    small = (seed * SMALL)[: SMALL // 4]
    WORK[name](small * TIMES)
    assert steps(WORK[name], small * TIMES) <= 1.5 * TIMES * steps(WORK[name], small) + 500
