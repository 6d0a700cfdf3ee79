"""Answers as bytes for the stores."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.cache.codec import pack, unpack
from subsecond.model import Answer

answers = st.builds(Answer, st.binary(), st.lists(st.integers(0, 99)).map(tuple), st.text(), st.text())


@given(answers)
def test_what_was_packed_comes_back(answer):
    assert unpack(pack(answer)) == answer


@given(answers, st.data())
def test_cut_or_damaged_bytes_are_refused(answer, data):
    blob = pack(answer)
    cut = data.draw(st.integers(0, len(blob) - 1))
    with pytest.raises(ValueError, match="stored answer"):
        unpack(blob[:cut])
    at = data.draw(st.integers(0, len(blob) - 1))
    flipped = blob[:at] + bytes([blob[at] ^ 0x5A]) + blob[at + 1 :]
    with contextlib.suppress(ValueError):
        assert unpack(flipped) == answer  # a bit that does not count (the level in zlib's header)
