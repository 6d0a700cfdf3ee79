"""What goes when the window is too small, and what stays; what `select` leaves."""

import pytest

from subsecond.errors import ContextLengthExceeded
from subsecond.model import Call
from subsecond.optimiser import Level, OptimiserPlan, Tokens, optimise
from subsecond.optimiser.relevance import ranked
from subsecond.optimiser.select import select_passages


def words(text):
    return len(text.split())


class WordTokens(Tokens):
    class Words:
        exact, name = True, "words"
        count = staticmethod(words)

    def counter(self, model):
        return self.Words()


def fitted(messages, window):
    call = Call("chat", "m", {"model": "m", "messages": messages})
    return optimise(call, OptimiserPlan(Level.FIT, window=window, reserve=0), WordTokens())[0].body["messages"]


def step(name):
    """A tool call with two results, 40 tokens and more."""
    calls = [{"id": f"{name}{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for n in (1, 2)]
    results = [{"role": "tool", "tool_call_id": f"{name}{n}", "content": "word " * 10} for n in (1, 2)]
    return [{"role": "assistant", "content": None, "tool_calls": calls}, *results]


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def test_old_steps_of_an_agent_go_whole_and_the_newest_stays():
    task, first, second, third = user("Do it."), step("a"), step("b"), step("c")
    messages = [task, *first, *second, *third]
    assert fitted(messages, 160) == messages
    assert fitted(messages, 120) == [task, *second, *third]
    assert fitted(messages, 60) == [task, *third]
    with pytest.raises(ContextLengthExceeded):
        fitted(messages, 40)


def test_turns_go_from_the_middle_with_their_tool_calls():
    turns = [[user(f"Question {n}."), *step(f"t{n}"), assistant(f"Answer {n}.")] for n in range(3)]
    newest = user("And now?")
    messages = [{"role": "system", "content": "Be kind."}, *turns[0], *turns[1], *turns[2], newest]
    assert fitted(messages, 150) == [messages[0], *turns[0], *turns[2], newest]
    assert fitted(messages, 80) == [messages[0], *turns[0], newest]
    assert fitted(messages, 20) == [messages[0], newest]


def test_what_the_caller_marked_never_goes():
    old = {**user("word " * 50), "cache_control": {"type": "ephemeral"}}
    with pytest.raises(ContextLengthExceeded):
        fitted([old, assistant("Yes."), user("Why?")], 30)


def test_a_body_without_a_known_window_is_not_counted():
    call = Call("chat", "m", {"model": "m", "messages": [user("word " * 1000)]})
    made, report = optimise(call, OptimiserPlan(Level.FIT), WordTokens())
    assert made is call
    assert report.before is None


def test_a_text_prompt_is_counted_and_refused_but_never_cut():
    call = Call("text", "m", {"model": "m", "prompt": "word " * 50})
    assert optimise(call, OptimiserPlan(Level.FIT, window=100), WordTokens())[0] is call
    with pytest.raises(ContextLengthExceeded) as refused:
        optimise(call, OptimiserPlan(Level.FIT, window=20), WordTokens())
    assert refused.value.param == "prompt"


def test_selection_spends_its_budget_on_the_nearest_passages_and_no_more():
    passages = [f"Passage {n} speaks of {topic} and of little else." for n, topic in enumerate(("tea", "rain", "tea"))]
    text = "<context>\n" + "\n\n".join(passages) + "\n</context>\nWhat of tea?"
    size = words(passages[0])
    for budget, kept in ((3 * size, [0, 1, 2]), (3 * size - 1, [0, 2]), (2 * size - 1, [0]), (size - 1, [])):
        made, gone = select_passages(text, None, budget, words)
        assert [n for n, passage in enumerate(passages) if passage in made] == kept
        assert gone == 3 - len(kept)
        assert made.endswith("</context>\nWhat of tea?")


def test_child_elements_are_passages_and_go_whole():
    text = "<documents>\n<document><p>rain</p>\n\nmore</document>\n<document>tea</document>\n</documents>\nTea?"
    assert select_passages(text, None, 1, words)[0] == "<documents>\n<document>tea</document>\n</documents>\nTea?"


def test_context_in_a_fence_is_code():
    text = "```\n<context>\nrain\n\ntea\n</context>\n```\nTea?"
    assert select_passages(text, None, 1, words) == (text, 0)


def test_the_passage_with_the_querys_words_comes_first():
    passages = ["The vessel departs at six.", "Nothing of note.", "Nothing else."]
    assert ranked("else", passages)[0] == 2
    assert ranked("港口", ["天气", "关闭港口"])[0] == 1
