"""The lists of words are data: what would make them contradict themselves is told here."""

from collections import Counter

from subsecond.semantic.guards.lists import DATA, lines
from subsecond.semantic.guards.numbers import units
from subsecond.semantic.guards.score import score_model
from subsecond.semantic.guards.stems import stem
from subsecond.semantic.guards.tables import _groups, tables


def test_a_word_stands_for_one_thing_only():
    seen = Counter(root for group in _groups() for root in set(group))
    assert [root for root, times in seen.items() if times > 1] == []


def test_no_word_is_its_own_opposite():
    for key, places in tables().opposites.items():
        sides = Counter(pair for pair, _ in set(places))
        assert all(times == 1 for times in sides.values()), key


def test_every_phrase_is_in_the_words_that_a_text_is_read_in():
    """A phrase with a form that is read as another one would never be found."""
    forms = tables().forms
    for words in tables().phrases:
        assert len(words) in tables().lengths[words[0]]
        assert not [word for word in words if "'" in word or (word in forms and len(forms[word]) > 1)], words


def test_every_phrase_of_the_lists_is_joined_somewhere():
    """A word with `_` exists only as what a phrase becomes."""
    made = set(tables().phrases.values())
    named = {word.strip() for name in ("opposites.txt", "kinds.txt", "same.txt") for line in lines(name)
             for part in line.split(":", 1)[-1].replace("|", ",").split(",") for word in part.split("=")}  # fmt: skip
    missing = {word for word in named if "_" in word and word not in made}
    assert not missing


def test_units_and_numbers_in_words():
    assert units().dimensions["km"] == ("metre", 1000.0)
    assert units().counts["ninety"] == 90.0


def test_every_list_says_where_it_is_from():
    told = (DATA / "PROVENANCE.md").read_text()
    assert all(path.name in told for path in DATA.iterdir() if path.name != "PROVENANCE.md")


def test_a_stem_keeps_two_words_apart():
    for one, other in [("plane", "plan"), ("care", "car"), ("news", "new"), ("evening", "even"), ("wine", "win")]:
        assert stem(one) != stem(other)
    for one, other in [
        ("changing", "change"),
        ("cancelled", "cancel"),
        ("deliveries", "delivery"),
        ("plans", "planned"),
    ]:
        assert stem(one) == stem(other)


def test_weights_are_finite_and_cuts_in_order():
    for embedder in ("static", "minilm", "another"):
        for caution in ("strict", "balanced", "bold"):
            found = score_model(embedder, caution)
            assert all(abs(weight) < 100 for weight in found.weights)
            assert 0 < found.maybe < found.cut < 1
            assert 0 < found.floor < 1
            assert found.own == (embedder == "another")
