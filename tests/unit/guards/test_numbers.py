"""A number's type and its value in the type's own unit."""

import pytest

from subsecond.semantic.guards import numbers
from subsecond.semantic.guards.numbers import LABEL, Amount, parse, spelled


@pytest.mark.parametrize(
    ("piece", "unit", "text"),
    [
        ("12:30", "clock", "750"),
        ("0:00", "clock", "0"),
        ("1:00:30", "clock", "60.5"),
        ("12 am", "clock", "0"),
        ("12pm", "clock", "720"),
        ("7 p.m.", "clock", "1140"),
        ("7 AM", "clock", "420"),
        ("$1,200", "usd", "1200"),
        ("$5k", "usd", "5000"),
        ("\u20ac 3", "eur", "3"),
        ("5 km", "metre", "5000"),
        ("5km", "metre", "5000"),
        ("2 h", "second", "7200"),
        ("120 min", "second", "7200"),
        ("90 s", "second", "90"),
        ("5%", "%", "5"),
        ("1st", "", "1"),
        ("22nd", "", "22"),
        ("3rd", "", "3"),
        ("4th", "", "4"),
        ("2.5", "", "2.5"),
        ("1,200", "", "1200"),
        ("007", "", "7"),
        ("5k", "", "5000"),
        ("1.2.3", "version", "1.2.3"),
        ("v2.0.1", "version", "2.0.1"),
        ("5xyz", LABEL, "5xyz"),
        ("1" * 15, "", "1" * 15),
        ("1" * 16, LABEL, "1" * 16),
        ("$" + "1" * 15, "usd", "1" * 15),
        ("$" + "1" * 16, LABEL, "$" + "1" * 16),
    ],
)
def test_a_number_is_read_with_its_type(piece, unit, text):
    assert parse(piece) == [Amount(unit, text)]


def test_a_date_is_three_numbers():
    assert parse("2024-05-06") == [Amount("", "2024"), Amount("", "5"), Amount("", "6")]


@pytest.mark.parametrize(
    ("words", "value", "taken"),
    [
        ("two", 2, 1),
        ("twenty one", 21, 2),
        ("two hundred and five", 205, 4),
        ("two hundred and", 200, 2),
        ("two hundred and others", 200, 2),
        ("three thousand four hundred", 3_400, 4),
        ("one million two hundred thousand", 1_200_000, 5),
        ("two dozen eggs", 24, 2),
        ("five and six", 5, 1),
        ("two k", 2, 1),
    ],
)
def test_a_number_in_words_ends_where_no_word_goes_on_with_it(words, value, taken):
    assert spelled(words.split()) == (value, taken)


@pytest.mark.parametrize("words", ["hundred", "and five", "a", ""])
def test_no_number_begins_with_what_only_multiplies_or_joins(words):
    assert spelled(words.split()) is None


def test_noon_and_midnight_are_times():
    assert [numbers.clock(word) for word in ("noon", "midnight", "dusk")] == [
        Amount("clock", "720"),
        Amount("clock", "0"),
        None,
    ]
    assert [numbers.multiplier(word) for word in ("thousand", "k", "dog")] == [1_000.0, None, None]
