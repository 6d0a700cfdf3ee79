"""What is read of a text: the same where the texts say the same, and no more than they say."""

import pytest

from subsecond.semantic.guards.matching import match
from subsecond.semantic.guards.numbers import Amount
from subsecond.semantic.guards.order import swapped
from subsecond.semantic.guards.reading import read


def seen(text):
    found = read(text)
    return found.plain, found.amounts, found.negations, found.keys


@pytest.mark.parametrize(
    "texts",
    [
        ("Do we meet at noon?", "Do we meet at 12:00?", "Do we meet at 12 pm?"),
        ("Does it cost two hundred and five euros?", "Does it cost 205 euros?", "Does it cost 205 EUR?"),
        ("Does it take two hours?", "Does it take 120 minutes?", "Does it take 2 hours?"),
        ("It costs 5 thousand", "It costs 5k", "It costs five thousand", "It costs 5,000"),
        ("Can I send 3 million dollars?", "Can I send $3m?", "Can I send three million dollars?"),
        ("There are no flights", "There are not flights"),
        ("I cannot pay", "I can not pay", "I can't pay"),
        ("Isn't there a bus?", "Is there a bus?"),
        ("It is nt here", "It is not here"),
        ("Please say it", "Say it"),
    ],
)
def test_texts_that_say_the_same_are_read_alike(texts):
    assert len({seen(text) for text in texts}) == 1


@pytest.mark.parametrize(
    "prefix",
    [
        "un",
        "anti",
        "pre",
        "post",
        "semi",
        "multi",
        "sub",
        "inter",
        "over",
        "under",
        "mis",
        "dis",
        "de",
        "re",
        "co",
        "bi",
        "tri",
        "ultra",
        "super",
    ],
)
def test_what_a_hyphen_joins_to_a_prefix_is_one_word_though_no_list_has_it(prefix):
    assert f"{prefix}zorb" in read(f"Is a {prefix}-zorb good?").plain


def test_the_first_words_capital_makes_no_name():
    assert [word.text for word in read("Paris of France is how big?").words if word.name] == ["france"]


@pytest.mark.parametrize(
    ("text", "amounts", "weak"),
    [
        ("Do we meet at noon?", [("clock", "720")], []),
        ("Does it take two hours?", [("second", "7200")], []),
        ("Are five cars red?", [("", "5")], []),
        ("Is the second car red?", [], ["second"]),
        ("Is the second highest hill far?", [("", "2")], []),
        ("Is it one?", [], ["one"]),
        ("It costs 5 m", [("", "5")], []),
    ],
)
def test_the_numbers_of_a_text(text, amounts, weak):
    found = read(text)
    assert found.amounts == tuple(Amount(*one) for one in amounts)
    assert found.weak == tuple(weak)
    assert [f"{unit}:{value}" for unit, value in amounts] == [word for word in found.plain if ":" in word]


@pytest.mark.parametrize(
    ("text", "negations"),
    [
        ("There are no flights", 1),
        ("It isnt here", 1),
        ("Isn't there a bus", 1),
        ("Isn't there a bus?", 0),
        ("I refuse without a reason", 2),
        ("I pay", 0),
    ],
)
def test_how_often_a_text_says_no(text, negations):
    found = read(text)
    assert found.negations == negations
    assert ("not" in found.plain) == (text not in ("Isn't there a bus?", "I refuse without a reason", "I pay"))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("What is the best book?", "one"),
        ("What's the best book?", "one"),
        ("What was the best book?", "one"),
        ("Which book has pictures?", "one"),
        ("What are the best books?", "several"),
        ("What were the best books?", "several"),
        ("Which books have pictures?", "several"),
        ("Who was it?", ""),
    ],
)
def test_whether_one_or_several_are_asked_for(text, number):
    assert read(text).number == number


def test_may_is_a_month_where_a_date_can_stand():
    assert read("Is it open in May?").dates == {"may"}
    assert read("Is it open on Monday?").dates == {"monday"}
    assert read("Where may I go?").dates == frozenset()


def test_what_is_polite_is_read_where_it_is_asked_about():
    assert "please" in read("How do I say please in Turkish?").plain
    assert "please" not in read("Please say it in Turkish").plain


@pytest.mark.parametrize(
    ("one", "other", "differs"),
    [
        ("Is a house boat dear?", "Is a boat house dear?", True),
        ("Is Paris larger than London?", "Is London larger than Paris?", True),
        ("Do cats and dogs fight?", "Do dogs and cats fight?", False),
    ],
)
def test_the_order_of_words_counts_where_it_says_who_or_what(one, other, differs):
    a, b = read(one), read(other)
    assert bool(swapped(a, b, match(a, b))) == differs
