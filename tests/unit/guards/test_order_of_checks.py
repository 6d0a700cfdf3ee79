"""What the policy looks at before it scores: each check alone, of either of the two texts, and from both sides."""

from dataclasses import replace

import pytest

from subsecond.config import Settings
from subsecond.ports import StoredQuestion, Verdict
from subsecond.semantic.policies.guarded import FRESH, Guarded, build

STRICT = build(Settings())
ENGLISH, GERMAN = "How do I reset my password?", "Wie kann ich mein Passwort zurücksetzen?"


def verdict(asked, stored, similarity=0.999, age=0.0):
    return STRICT.judge(asked, StoredQuestion(stored, similarity, age))


@pytest.mark.parametrize(
    ("asked", "stored"), [(ENGLISH, GERMAN), (GERMAN, ENGLISH), (GERMAN, GERMAN + " Danke und Gruß.")]
)
def test_words_are_only_read_where_both_texts_are_english(asked, stored):
    assert verdict(asked, stored).reasons == ("not English, and not the same words",)


def test_the_same_words_of_another_language_are_the_same_question():
    assert verdict(GERMAN, GERMAN).decision == "hit"


def test_a_question_of_the_moment_may_be_a_minute_old():
    now = "What is the weather in Lima?"
    assert FRESH == 60
    assert verdict(now, now, age=60.0).decision == "hit"
    assert verdict(now, now, age=60.1).reasons == ("time-bound",)


def test_from_the_floor_on_and_no_lower_words_are_compared():
    floor, other = STRICT.floor, "How can I reset the password of mine?"
    below, at = (verdict(ENGLISH, other, similarity) for similarity in (floor - 0.001, floor))
    assert below.reasons == (f"similarity {floor - 0.001:.3f} is below {floor:.3f}",)
    assert "similarity" not in " ".join(at.reasons)


@pytest.mark.parametrize(("asked", "stored"), [("?!", ENGLISH), (ENGLISH, "?!")])
def test_a_text_without_words_is_compared_with_nothing(asked, stored):
    assert verdict(asked, stored).decision == "miss"


def test_a_question_of_no_moment_may_be_of_any_age():
    assert verdict(ENGLISH, ENGLISH, age=1e9).decision == "hit"


BILL = "How do I pay my bill? " * 100
THINGS = (
    "apple banana cherry grape lemon mango orange peach pear plum bread butter cheese cream flour honey milk pepper "
    "salt sugar chair table lamp mirror carpet curtain pillow blanket window door hammer nail screw wrench drill "
    "ladder paint brush bucket rope shirt jacket trousers shoe sock hat glove scarf belt coat dog cat horse cow sheep "
    "goat pig duck hen rabbit"
)
FRUIT = THINGS.split()


@pytest.mark.parametrize(("length", "decision"), [(2_000, "hit"), (2_001, "miss")])
def test_up_to_two_thousand_characters_are_read(length, decision):
    """Whoever reads them sees that politeness means nothing."""
    polite = ("Please " + BILL)[:length]
    plain = polite.removeprefix("Please ")
    assert verdict(polite, plain).decision == verdict(plain, polite).decision == decision


@pytest.mark.parametrize(("words", "reason"), [(60, "order"), (61, "long, and not the same words")])
def test_up_to_sixty_content_words_are_compared_one_by_one(words, reason):
    """`store` is one of them."""
    things = FRUIT[: words - 1]
    asked = f"How do I store {', '.join(things)}?"
    turned = f"How can I store {', '.join([*things[1:], things[0]])}?"
    assert verdict(asked, turned) == Verdict("miss", (reason,), 0.0)


def test_one_long_text_is_too_long_for_both():
    longer, shorter = (f"How do I store {', '.join(FRUIT[:most])}?" for most in (60, 59))
    for asked, stored in ((longer, shorter), (shorter, longer)):
        assert verdict(asked, stored) == Verdict("miss", ("long, and not the same words",), 0.0)


@pytest.mark.parametrize(
    ("asked", "stored", "age"),
    [
        ("What is the weather in Lima?", "What is the weather in Lima?", 61.0),
        (BILL, f"{BILL} Now?", 0.0),
        ("How do I buy 2 tickets?", "How do I buy 3 tickets?", 0.0),
        ("x = [1]\n  y", "x = [1]\n  z", 0.0),
        (GERMAN, f"{GERMAN} Und wo?", 0.0),
        ("🍕", "🍔", 0.0),
        ("How do I reset my password?", "Why do I not reset my password?", 0.0),
        ("Is Paris larger than London?", "Is London larger than Paris?", 0.0),
    ],
)
def test_what_a_rule_refuses_has_no_score(asked, stored, age):
    found = verdict(asked, stored, age=age)
    assert (found.decision, found.score) == ("miss", 0.0)
    assert "score" not in " ".join(found.reasons)


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ("What is 2?", "What is 3?", "numbers differ"),
        ("x = 1\n  y", "What is x?", "code, and not the same words"),
        (f"How do I store {', '.join(FRUIT)}?", f"How do I keep {', '.join(FRUIT)}?", "long, and not the same words"),
        ("🍕", "What is it?", "nothing to compare"),
        ("What is it?", "Is it?", "nothing to compare"),
        ("???", "??? Danke", "nothing to compare"),
    ],
)
def test_a_reason_holds_whichever_of_the_two_was_asked(one, other, reason):
    assert verdict(one, other) == verdict(other, one) == Verdict("miss", (reason,), 0.0)


def test_the_same_signs_without_a_word_are_the_same_question():
    for one, other in (("🍕", "🍕?"), ("???", "?!")):
        assert verdict(one, other) == verdict(other, one) == Verdict("hit", ("same words",), 1.0)
    assert verdict("???", "!?") == verdict("!?", "???") == Verdict("miss", ("nothing to compare",), 0.0)


def test_below_the_floor_there_is_no_score():
    assert verdict(ENGLISH, "How can I reset the password of mine?", 0.1).score == 0.0


@pytest.mark.parametrize(("above_cut", "above_maybe", "decision"), [(0, 1, "hit"), (1, 0, "unsure"), (1, 1, "miss")])
def test_a_score_that_reaches_a_bound_is_above_it(above_cut, above_maybe, decision):
    other = "How can I reset the password of mine?"
    score = verdict(ENGLISH, other).score
    cut, maybe = (score + 1e-9 * above for above in (above_cut, above_maybe))
    found = Guarded(replace(STRICT.model, cut=cut, maybe=maybe)).judge(ENGLISH, StoredQuestion(other, 0.999, 0.0))
    word = "reaches" if decision == "hit" else "is below"
    assert found == Verdict(decision, (f"score {score:.3f} {word} {cut:.3f}",), score)


def test_one_that_is_scored_is_never_as_sure_as_the_same_words():
    things = ", ".join(FRUIT[:50])
    scored, same = verdict(f"How do I store {things}?", f"How can I store {things}?"), verdict(ENGLISH, ENGLISH)
    assert same == Verdict("hit", ("same words",), 1.0)
    assert scored.score < 1.0
