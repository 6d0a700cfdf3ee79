"""Capitals tell acronyms, units, identifiers and names from other words, and mean nothing else."""

import pytest

from subsecond.config import Settings
from subsecond.ports import StoredQuestion
from subsecond.semantic.policies.guarded import build

STRICT = build(Settings())


@pytest.mark.parametrize(
    ("one", "other", "means_the_same"),
    [
        ("Does IT work?", "Does it work?", False),
        ("What does WHO say?", "What does who say?", False),
        ("What is AIDS?", "What is aids?", False),
        ("What is a CPU?", "What is a cpu?", True),
        ("How CAN I pay?", "How can I pay?", True),
        ("I WILL pay, how?", "I will pay, how?", True),
        ("Is NOT fine?", "Is not fine?", True),
        ("What is 5 mW?", "What is 5 MW?", False),
        ("What is 5 MB?", "What is 5 mb?", True),
        ("Is 5 G fast?", "Is 5 g fast?", False),
        ("How do I call getUser?", "How do I call getuser?", False),
        ("How does eBay work?", "How does ebay work?", True),
        ("Is vitamin C good?", "Is vitamin c good?", False),
        ("What is variable X?", "What is variable x?", False),
        ("Is a T-shirt ok?", "Is a t-shirt ok?", True),
        ("Is plan-B ok?", "Is plan-b ok?", True),
        ("Is plan B ok?", "Is plan b ok?", False),
        ("Is Turkey good for you in May?", "Is turkey good for you in May?", False),
    ],
)
def test_capitals_that_make_another_word(one, other, means_the_same):
    for asked, stored in ((one, other), (other, one)):
        assert (STRICT.judge(asked, StoredQuestion(stored, 0.999)).decision == "hit") == means_the_same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Is Turkey good for you?", "is turkey good for you?"),
        ("IS TURKEY GOOD FOR YOU?", "Is Turkey good for you?"),
        ("IS TURKEY GOOD FOR YOU?", "is turkey good for you?"),
        ("Is Turkey Good For You?", "is Turkey good for you?"),
        ("WHAT IS 5 MW?", "what is 5 MW?"),
    ],
)
def test_a_text_without_capitals_or_of_nothing_else_names_nobody(one, other):
    for asked, stored in ((one, other), (other, one)):
        assert STRICT.judge(asked, StoredQuestion(stored, 0.999)).decision == "hit"
