"""What an answer has cost that nobody needed."""

import pytest

from subsecond.model import Recording
from subsecond.routing.spending import CHARACTERS, tokens_of


def said(form, count):
    return Recording(form, (b"{}",), "stop", "m", usage={"completion_tokens": count}, text="x" * 6 * CHARACTERS)


def test_it_is_what_the_upstream_has_counted():
    assert tokens_of(said("stream", 5), 3) == tokens_of(said("whole", 5), 0) == 5


@pytest.mark.parametrize("nonsense", [-5, "5", True, None, 10**40])
def test_what_is_no_count_is_reckoned(nonsense):
    assert tokens_of(said("stream", nonsense), 3) == 3
    assert tokens_of(said("whole", nonsense), 0) == 6
