"""The policy as a whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subsecond.config import Settings
from subsecond.ports import StoredQuestion
from subsecond.semantic.guards import lexicon
from subsecond.semantic.guards.score import score_model
from subsecond.semantic.policies.guarded import build

STRICT = build(Settings())
CAUTIONS = [build(Settings(embedder=embedder, caution=caution)) for embedder in ("static", "minilm", "openai")
            for caution in ("strict", "balanced", "bold")]  # fmt: skip
QUESTIONS = [
    "How do I reset my password?",
    "Can I bring a bicycle on the train?",
    "Why is my electricity bill so high?",
    "What is the difference between a virus and a bacterium?",
    "I lost my debit card, what should I do?",
    "Where can I see my invoices for 2023?",
]


def judged(asked, stored, policy=STRICT, age=0.0):
    return policy.judge(asked, StoredQuestion(stored, lexicon.cosine(asked, stored), age))


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize(
    "changed",
    [
        lambda text: text.lower(),
        lambda text: text.upper(),
        lambda text: text.rstrip("?"),
        lambda text: f"{text} Thanks!",
        lambda text: f"Hi there, {text[0].lower()}{text[1:]}",
        lambda text: f"Could you tell me: {text}",
        lambda text: f"  {text.replace(' ', '  ')}\n",
        lambda text: text.replace("?", " please?"),
    ],
)
def test_case_punctuation_and_politeness_make_no_other_question(question, changed):
    for policy in CAUTIONS:
        verdict = judged(changed(question), question, policy)
        assert verdict.decision == "hit", (changed(question), verdict)


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("How can I reset my password?", "How do I reset my password?"),
        ("What's the best way to reset a password?", "How do I reset my password?"),
        ("How do I reset my pasword?", "How do I reset my password?"),
        ("May I bring a bicycle on the train?", "Can I bring a bicycle on the train?"),
        ("what's the capital city of peru", "What is the capital of Peru?"),
        ("How do I cancel a hotel reservation?", "How do I cancel a hotel booking?"),
    ],
)
def test_the_same_question_in_other_words_is_answered(asked, stored):
    assert judged(asked, stored).decision == "hit"


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("How do I not reset my password?", "How do I reset my password?"),
        ("What is the capital of Chile?", "What is the capital of Peru?"),
        ("Where can I see my invoices for 2024?", "Where can I see my invoices for 2023?"),
        ("How do I water a bonsai?", "How do I repot a bonsai?"),
    ],
)
def test_another_question_is_not_answered_by_any_caution(asked, stored):
    for policy in CAUTIONS:
        assert judged(asked, stored, policy).decision != "hit"


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("Who wrote the anthem of Freedonia?", "Who sings the anthem of Freedonia?"),
        ("Who is allowed to vote in Freedonia?", "Who is allowed to drive in Freedonia?"),
        ("What does the warranty cover?", "What does the extended warranty cover?"),
    ],
)
def test_the_default_does_not_answer_what_no_list_of_words_tells_apart(asked, stored):
    assert judged(asked, stored).decision != "hit"


def test_a_bolder_policy_answers_what_a_stricter_one_answers_not():
    cuts = [score_model("static", caution) for caution in ("balanced", "bold")]
    assert cuts[0].cut > cuts[1].cut
    assert cuts[0].weights == cuts[1].weights


def test_there_are_three_cautions():
    with pytest.raises(ValueError, match="SUBSECOND_CAUTION=daring is no choice"):
        build(Settings(caution="daring"))


def test_below_the_floor_only_the_same_words_are_answered():
    low = STRICT.floor - 0.01
    assert (
        STRICT.judge("How can I reset my password?", StoredQuestion("How do I reset my password?", low)).decision
        == "miss"
    )
    assert (
        STRICT.judge("How do I reset my password?", StoredQuestion("How do I reset my password?", low)).decision
        == "hit"
    )


def test_a_timebound_question_is_answered_for_a_minute_only():
    assert judged("What's the weather in Lima today?", "what is the weather in Lima today", age=30).decision == "hit"
    verdict = judged("What's the weather in Lima today?", "what is the weather in Lima today", age=90)
    assert (verdict.decision, verdict.reasons) == ("miss", ("time-bound",))


def test_no_reason_tells_a_word_of_the_texts():
    """Reasons travel in traces and logs."""
    for asked in QUESTIONS:
        for stored in QUESTIONS:
            reasons = " ".join(STRICT.judge(f"{asked} zyx", StoredQuestion(f"{stored} xyz", 0.9)).reasons)
            words = set(f"{asked} {stored} xyz zyx".lower().rstrip("?").split()) - {"is", "a", "the", "of", "and", "in"}
            assert not words & set(reasons.split())


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_a_text_is_answered_by_itself(text):
    for policy in CAUTIONS[:2]:
        assert policy.judge(text, StoredQuestion(text, 1.0)).decision == "hit"


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_any_two_texts_get_a_verdict(asked, stored):
    assert 0 <= STRICT.judge(asked, StoredQuestion(stored, 0.99)).score <= 1


VOCABULARY = """how do i what is the a my send bank card open close blue train paris never not 5 seven two km from to
and than before"""
WORDS = st.sampled_from(VOCABULARY.split())


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, max_size=9), st.lists(WORDS, max_size=9))
def test_a_verdict_hangs_on_no_order_of_the_two(left, right):
    asked, stored = " ".join(left), " ".join(right)
    one, other = (
        STRICT.judge(*pair) for pair in ((asked, StoredQuestion(stored, 0.9)), (stored, StoredQuestion(asked, 0.9)))
    )
    assert (one.decision == "hit") == (other.decision == "hit")
    # Words that stand several times may find other partners, which moves the score a little.
    assert abs(one.score - other.score) < 0.05


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(QUESTIONS), st.integers(0, 10**9), st.integers(0, 10**9))
def test_another_number_is_never_answered(question, number, other):
    asked, stored = (f"{question[:-1]} for {value} people?" for value in (number, other))
    for policy in CAUTIONS:
        assert (judged(asked, stored, policy).decision == "hit") == (number == other)


def salad(target, forbidden):
    """Words of the static table, none of them of the text, whose sum comes as near to the text's vector as it gets."""
    table = lexicon.table()
    rows = table._table.astype(np.float32) * table._scales[:, None]
    words = (lexicon.static.DATA / "vocabulary.txt").read_text().splitlines()
    usable = np.array([word.isascii() and word.isalpha() and len(word) > 2 and word not in forbidden for word in words])
    total, chosen = np.zeros(rows.shape[1], np.float32), []
    for _ in range(30):
        sums = rows + total
        near = np.where(usable, sums @ target / (np.linalg.norm(sums, axis=1) + 1e-6), -1)
        best = int(near.argmax())
        chosen.append(words[best])
        total += rows[best]
    return " ".join(chosen)


def test_a_crafted_neighbour_is_not_answered():
    """The table adds up its rows, so that other words can be found with nearly the same sum. The words are compared
    too, and those have no partner."""
    asked = "How do I cancel my travel insurance?"
    crafted = salad(lexicon.table().vector(asked), set(asked.lower().rstrip("?").split()))
    assert lexicon.cosine(asked, crafted) > 0.8
    for policy in CAUTIONS:
        verdict = judged(asked, crafted, policy)
        assert verdict.decision == "miss", (crafted, verdict)
        # Nor does a vector of which the attacker has all the say.
        assert policy.judge(asked, StoredQuestion(crafted, 1.0)).decision == "miss"


def test_the_same_words_shuffled_are_not_answered():
    asked, stored = (
        "Can my landlord raise the rent before the contract ends?",
        "Ends rent my contract can before the landlord raise the?",
    )
    assert lexicon.cosine(asked, stored) > 0.999
    assert judged(asked, stored).decision == "miss"
