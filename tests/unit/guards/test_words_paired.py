"""Which words of two texts are one: stems, forms of one word, slips, and each word once."""

import pytest

from subsecond.semantic.guards.matching import MOST_LEFT_OVER, match
from subsecond.semantic.guards.reading import read
from subsecond.semantic.guards.stems import stem


@pytest.mark.parametrize(
    ("word", "stemmed"),
    [
        ("cards", "card"),
        ("cities", "city"),
        ("ties", "tie"),
        ("classes", "class"),
        ("boxes", "box"),
        ("matches", "match"),
        ("wishes", "wish"),
        ("buzzes", "buzz"),
        ("class", "class"),
        ("virus", "virus"),
        ("basis", "basis"),
        ("planning", "plan"),
        ("planned", "plan"),
        ("making", "make"),
        ("applied", "apply"),
        ("applying", "apply"),
        ("calling", "call"),
        ("missed", "miss"),
        ("controlled", "control"),
        ("loving", "love"),
        ("deleting", "delet"),
        ("delete", "delet"),
        ("care", "care"),
        ("string", "string"),
        ("red", "red"),
        ("bus", "bus"),
        ("need", "need"),
        ("über", "über"),
        ("a" * 40 + "s", "a" * 40 + "s"),
        ("a" * 39 + "s", "a" * 39),
    ],
)
def test_a_stem_is_the_word_without_number_and_time(word, stemmed):
    assert stem(word) == stemmed


def paired(one, other):
    """(pairs of words, what is left of each, synonyms, forms, slips)"""
    a, b = read(one), read(other)
    found = match(a, b)
    turned = match(b, a)
    assert sorted((j, i) for i, j in turned.pairs) == sorted(found.pairs)
    pairs = [(a.words[i].text, b.words[j].text) for i, j in found.pairs]
    left, right = ([word.text for word in side] for side in (found.left, found.right))
    assert [a.words[at].text for at in found.left_positions] == left
    assert [b.words[at].text for at in found.right_positions] == right
    return pairs, (left, right), (found.same, found.forms, found.typos)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("deliver", "delivery"),
        ("arrive", "arrival"),
        ("reject", "rejection"),
        ("inform", "information"),
        ("treat", "treatment"),
        ("accept", "acceptance"),
        ("differ", "difference"),
        ("quick", "quickly"),
        ("delete", "deletion"),
        ("reserve", "reservation"),
        ("avail", "availability"),
    ],
)
def test_forms_of_one_word_are_a_pair(one, other):
    pairs, left, (_, _, slips) = paired(f"the {one} of my luggage", f"the {other} of my luggage")
    assert (len(pairs), left, slips) == (2, ([], []), 0)


def test_a_word_that_stands_twice_has_two_partners_or_one_is_left():
    pairs, left, _ = paired("red card, blue card", "blue card, red card")
    assert (len(pairs), left) == (4, ([], []))
    pairs, left, _ = paired("red card, blue card", "blue card, red")
    assert (len(pairs), left) == (3, (["card"], []))


def test_a_slip_is_counted_as_one_and_another_word_is_left():
    pairs, left, counted = paired("get my recieved luggage", "get my received luggage")
    assert (len(pairs), left, counted) == (2, ([], []), (0, 0, 1))
    _, left, counted = paired("find my luggage", "find my jacket")
    assert (left, counted) == ((["luggage"], ["jacket"]), (0, 0, 0))


COLOURS = "red blue green black white brown pink gold grey teal navy plum coral beige"
ANIMALS = "lion tiger zebra horse sheep mouse whale shark eagle raven snake camel otter moose"


@pytest.mark.parametrize(("more", "forms"), [(0, 1), (1, 0)])
def test_with_many_words_left_none_is_looked_at(more, forms):
    most = MOST_LEFT_OVER - 1 + more
    colours, animals = (" ".join(names.split()[:most]) for names in (COLOURS, ANIMALS))
    _, _, counted = paired(f"treat {colours}", f"treatment {animals}")
    assert counted[1] == forms
