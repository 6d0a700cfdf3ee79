"""The judge's word, and what it is taken to have cost."""

import pytest

from subsecond.model import Recording
from subsecond.semantic.verification.judge import Judge, most_tokens, question


def judge(text, usage=None):
    async def ask(_call):
        return Recording("whole", (b"{}",), "stop", "m", usage=usage, text=text)

    return Judge("m", ask)


@pytest.mark.parametrize(
    ("text", "wrong", "unread"), [("Yes.", False, False), (" **no**", True, False), ("Hm", True, True)]
)
async def test_what_is_no_yes_is_wrong(sample, text, wrong, unread):
    said = await judge(text).says(sample(1))
    assert (said.wrong, said.unread) == (wrong, unread)


async def test_it_costs_what_the_upstream_has_counted(sample):
    assert (await judge("yes", {"total_tokens": 7}).says(sample(1))).tokens == 7


@pytest.mark.parametrize("nonsense", [-1_000_000, "7", True, None, 10**40])
async def test_what_is_no_count_makes_no_room_in_the_budget(sample, nonsense):
    said = await judge("yes", {"total_tokens": nonsense}).says(sample(1))
    assert said.tokens == most_tokens(question("m", sample(1)))
