"""Stacked marks are left as they came, from the length on at which they would cost time."""

from unicodedata import normalize

import pytest

from subsecond.cache.normal_form import MOST_MARKS, SHORT, normal

# Comes apart into U+0F71 and U+0F72, so that sorting a run of it takes the square of its length.
STACKED = "\u0f73"


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
@pytest.mark.parametrize("length", [201, 500, 1_000, 80_000])
def test_a_text_of_stacked_marks_stays_as_it_came(form, length):
    text = STACKED * length
    assert normalize(form, STACKED) != STACKED
    assert normal(form, text) == text


@pytest.mark.parametrize("length", [10, SHORT + 1, 5_000])
def test_what_a_language_writes_is_normalised(length):
    text = ("e\u0301" + "a" * MOST_MARKS) * length
    assert normal("NFC", text) == normalize("NFC", text) != text


def test_the_longest_run_of_the_stream_safe_form_is_normalised():
    text = "e" + "\u0301" * MOST_MARKS + "a" * SHORT
    assert normal("NFC", text) == normalize("NFC", text) != text
    assert normal("NFC", "\u0301" + text.replace("e", "")) != normalize("NFC", text)
