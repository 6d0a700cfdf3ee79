"""The faults of a naive optimiser, each with the test that would have caught it."""

import json

import pytest

from subsecond.config import Settings
from subsecond.errors import ContextLengthExceeded, InvalidRequest
from subsecond.model import Call
from subsecond.optimiser import Level, OptimiserPlan, Tokens, optimise, plan_for
from subsecond.optimiser.lossless import without_idle_blanks
from subsecond.optimiser.passages import passages_of
from subsecond.optimiser.relevance import bm25


class Words:
    """A tokenizer whose tokens are words: exact, and easy to reckon with. Keeps what it was asked."""

    exact = True
    name = "words"

    def __init__(self):
        self.asked = []

    def count(self, text):
        self.asked.append(text)
        return len(text.split())


class WordTokens(Tokens):
    def __init__(self):
        super().__init__()
        self.words = Words()

    def counter(self, model):
        return self.words


def sent(messages, level, tokens=None, **plan):
    call = Call("chat", "m", {"model": "m", "messages": messages})
    made, report = optimise(call, OptimiserPlan(level=Level[level], **plan), tokens or WordTokens())
    return made.body["messages"], report


def system(text):
    return {"role": "system", "content": text}


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


ENGLISH = "You are a helper for the team and you must answer what is asked with care."


@pytest.mark.parametrize("level", ["LOSSLESS", "DEDUPE", "FIT", "SELECT"])
def test_newlines_code_and_json_survive(level):
    code = "```python\ndef f():\n    return {\n\n\n        'a':  1,   \n    }\n```"
    data = '{\n  "text": "two  spaces   ",\n\n\n  "n": [1,   2]\n}'
    made, _ = sent([system(f"{ENGLISH}\n\n{code}\n\n{data}"), user("Go  on\n\n\n\nthen.   ")], level)
    assert code in made[0]["content"]
    assert data in made[0]["content"]
    assert made[0]["content"].startswith(ENGLISH + "\n\n")
    assert made[1]["content"] == "Go  on\n\n\n\nthen.   "


@pytest.mark.parametrize("level", ["LOSSLESS", "DEDUPE", "FIT", "SELECT"])
def test_the_question_after_the_last_example_is_not_cut_off(level):
    prompt = "Example 1: in a out b\n\nExample 2: in c out d\n\n" + "x " * 300 + "\n\nWhat is the capital of France?"
    made, _ = sent([user(prompt)], level, window=100_000, budget=10)
    assert made[0]["content"] == prompt
    made, _ = sent([system(prompt), user("And of Spain?")], level, window=100_000, budget=10)
    assert "What is the capital of France?" in made[0]["content"]


@pytest.mark.parametrize("level", ["LOSSLESS", "DEDUPE", "SELECT"])
def test_long_examples_keep_their_answers(level):
    shots = "".join(
        f"Example {n}:\nInput: {'please note that word ' * 30}\n\n\nOutput: in order to answer {n}   \n\n"
        for n in range(4)
    )
    made, _ = sent([system(ENGLISH + "\n\n" + shots), assistant("An answer.   \n\n\n"), user("Now?")], level)
    assert shots.rstrip("\n") in made[0]["content"]
    assert made[1]["content"] == "An answer.   \n\n\n"


@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("prompt", ["", "   ", None, []])
def test_an_empty_prompt_is_no_division_by_zero(level, prompt):
    made, report = sent([user(prompt)], level.name, window=4000)
    assert made == [user(prompt)]
    assert report.chars == 0
    empty = Call("text", "m", {"model": "m", "prompt": ""})
    assert optimise(empty, OptimiserPlan(level=level, window=4000), Tokens())[0] is empty


@pytest.mark.parametrize("level", ["LOSSLESS", "DEDUPE"])
def test_nothing_gets_longer_twice_is_once_and_the_prefix_stays(level):
    messages = [
        system(f"{ENGLISH}   \n\n\n\nIn order to help, be brief.  "),
        user("One?  "),
        assistant("Yes. "),
        user("Two?  "),
    ]
    made, report = sent(messages, level)
    assert 0 < report.chars == sum(map(len, (m["content"] for m in messages))) - sum(len(m["content"]) for m in made)
    assert sent(made, level)[0] == made
    assert sent([*messages, assistant("Hm."), user("Three?")], level)[0][:4] == made
    assert sent(messages[:2], level)[0] == made[:2]


def test_levels_come_from_configuration_and_never_from_words_in_the_prompt():
    settings = Settings(optimise="lossless", optimise_models="big-*=dedupe,small=select")
    assert plan_for(settings, "other").level is Level.LOSSLESS
    assert plan_for(settings, "big-1").level is Level.DEDUPE
    assert plan_for(settings, "small").level is Level.SELECT
    assert plan_for(settings, "small", "off").level is Level.OFF
    with pytest.raises(InvalidRequest, match="off, lossless"):
        plan_for(settings, "m", "default")
    # A term is a word: "compare" is not in "incomparable".
    assert bm25("compare", ["incomparable", "compare them"])[0] == 0


def test_what_cannot_fit_is_refused_and_says_by_how_much():
    with pytest.raises(ContextLengthExceeded) as refused:
        sent([system("a b c"), user("word " * 55)], "FIT", window=20, reserve=10)
    assert refused.value.status == 400
    assert refused.value.body()["error"]["code"] == "context_length_exceeded"
    assert refused.value.param == "messages"
    # 55 + 3 words, 3 tokens for each of two messages, 3 for the reply's beginning; there is room for 15.
    assert refused.value.over == 55 + 3 + 3 + 3 + 3 - 15
    assert f"{refused.value.over} too long" in refused.value.message
    with pytest.raises(ContextLengthExceeded):
        sent([user("word")], "FIT", window=5, reserve=50)


def test_the_system_text_is_the_last_to_go():
    context = (
        "<context>\n" + "\n\n".join(f"Passage {n} about something {'word ' * 20}" for n in range(6)) + "\n</context>"
    )
    messages = [
        system("Be kind.\n\nBe brief in all you say."),
        user("Old."),
        assistant("Older. " * 30),
        user(f"{context}\nWhy?"),
    ]
    made, report = sent(messages, "FIT", window=60, reserve=0)
    assert made[0] == messages[0]
    assert made[-1]["content"].count("Passage") == 1
    assert assistant("Older. " * 30) not in made
    made, _ = sent(messages, "FIT", window=17, reserve=0)
    assert made[0]["content"] == "Be kind."
    assert made[-1]["content"].endswith("\nWhy?")
    assert report.rules[-1].name == "fit"


def test_what_fits_is_whole_paragraphs_by_relevance_in_their_order():
    paragraphs = [
        "The harbour opens\nat six in the morning.",
        "Bread is sold  \n  in the market hall.",
        "Ferries to the island leave the harbour twice a day.",
        "The newest rule: no dogs on ferries.",
    ]
    question = "When do ferries leave for the island?"
    asked = "Context:\n" + "\n\n".join(paragraphs) + f"\n\nQuestion: {question}"
    made, _ = sent([user(asked)], "FIT", window=36, reserve=0)
    text = made[0]["content"]
    assert [p for p in paragraphs if p in text] == paragraphs[2:]
    assert "..." not in text
    assert text.endswith(f"Question: {question}")


def test_each_text_is_tokenised_once():
    tokens = WordTokens()
    passages = [
        f"Passage number {n} about harbours and ferries and what else there is to know of them." for n in range(40)
    ]
    messages = [user("<context>\n" + "\n\n".join(passages) + "\n</context>\nFerries?")]
    sent(messages, "FIT", tokens, window=200, reserve=0)
    long = [text for text in tokens.words.asked if len(text) >= 64]
    assert len(long) == len(set(long))
    # Each passage once, the message before and after (and once more where the recount finds a rest).
    assert len(long) <= 40 + 4
    before = len(tokens.words.asked)
    sent(messages, "FIT", tokens, window=200, reserve=0)
    assert [text for text in tokens.words.asked[before:] if len(text) >= 64] == []


def test_messages_names_tools_calls_and_images_are_counted():
    tokens, words = Tokens(), Words()
    assert tokens.message(words, user("one two")) == 2 + 3
    assert tokens.message(words, {**user("one two"), "name": "ann"}) == 2 + 3 + 1 + 1
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": json.dumps({"at": "x"})}}
    assert tokens.message(words, {"role": "assistant", "content": None, "tool_calls": [call]}) == 3 + 8 + 1 + 2
    parts = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:", "detail": "low"}}]
    assert tokens.message(words, user(parts)) == 3 + 1 + 85
    assert tokens.message(words, user([{"type": "image_url", "image_url": {"url": "data:"}}])) == 3 + 765
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"type": "string"}}}}}
    assert tokens.frame(words, {"tools": [tool]}) > tokens.frame(words, {}) + 10
    assert passages_of("plain") == ()
    assert without_idle_blanks("plain") == "plain"
