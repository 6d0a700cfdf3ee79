"""The end of a contraction that stands alone is a word as any other."""

import pytest

from subsecond.semantic.guards.reading import read


@pytest.mark.parametrize("ending", ["n't", "'ll", "'ve", "'re", "'d", "'m", "'s"])
@pytest.mark.parametrize("text", ["{}", "{} x", "X {}?", "a{}", "'{}", "{}{}"])
def test_a_contraction_without_a_word_before_it_is_read(text, ending):
    for written in (ending, ending.upper()):
        read(text.replace("{}", written))
