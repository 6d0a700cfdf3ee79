"""What holds for every prompt, at every level."""

import copy
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subsecond.errors import ContextLengthExceeded
from subsecond.model import Call
from subsecond.optimiser import Level, OptimiserPlan, Tokens, optimise
from subsecond.optimiser.lossless import without_idle_blanks
from subsecond.optimiser.protect import PROTECTED, line_kinds
from tests.support import prompts

TOKENS = Tokens()
PURE = [Level.LOSSLESS, Level.DEDUPE]
EVERY = st.sampled_from([level for level in Level if level is not Level.OFF])
quick = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def optimised(messages, level, **plan):
    """The messages sent. The plan has room for everything unless it says otherwise."""
    call = Call("chat", "m", {"model": "m", "messages": messages})
    sent, report = optimise(call, replace(OptimiserPlan(level=level, budget=30), **plan), TOKENS)
    return sent.body["messages"], report


def chars(messages):
    return sum(len(message["content"] or "") for message in messages)


@quick
@given(prompts.TEXTS)
def test_tidying_is_idempotent_never_longer_and_changes_nothing_but_blanks(text):
    tidy = without_idle_blanks(text)
    assert without_idle_blanks(tidy) == tidy
    assert len(tidy) <= len(text)
    assert tidy.split() == text.split()


@quick
@given(prompts.TEXTS)
def test_protected_lines_stay_in_their_order_byte_for_byte(text):
    def protected(of):
        lines = of.split("\n")
        return [line for line, kind in zip(lines, line_kinds(lines), strict=True) if kind == PROTECTED]

    assert protected(without_idle_blanks(text)) == protected(text)


@quick
@given(prompts.CONVERSATIONS, EVERY)
def test_optimising_twice_changes_nothing_more_and_never_adds(messages, level):
    once, _ = optimised(messages, level)
    again, report = optimised(once, level)
    assert again == once
    assert not report.edits
    assert chars(once) <= chars(messages)


@quick
@given(prompts.CONVERSATIONS, EVERY)
def test_the_same_call_gives_the_same_result_and_stays_as_it_was(messages, level):
    kept = copy.deepcopy(messages)
    assert optimised(messages, level)[0] == optimised(copy.deepcopy(messages), level)[0]
    assert messages == kept


@quick
@given(prompts.CONVERSATIONS, EVERY)
def test_answers_tools_and_the_question_are_never_edited(messages, level):
    sent, _ = optimised(messages, level)
    assert len(sent) == len(messages)
    for one, other in zip(messages, sent, strict=True):
        if one["role"] in ("assistant", "tool"):
            assert other is one
    if "<context>" not in messages[-1]["content"]:
        assert sent[-1] == messages[-1]


@quick
@given(prompts.CONVERSATIONS, st.sampled_from([Level.LOSSLESS, Level.DEDUPE, Level.FIT]))
def test_a_longer_conversation_sends_the_shorter_one_as_its_prefix(messages, level):
    longer = [*messages, prompts.message("assistant", "Yes.   "), prompts.message("user", "And then?")]
    assert optimised(longer, level)[0][: len(messages)] == optimised(messages, level)[0]


@quick
@given(prompts.CONVERSATIONS, EVERY, st.data())
def test_everything_up_to_the_callers_mark_stays_byte_for_byte(messages, level, data):
    at = data.draw(st.integers(0, len(messages) - 1))
    messages[at] = {**messages[at], "cache_control": {"type": "ephemeral"}}
    sent, report = optimised(messages, level, markers="anthropic")
    assert sent[: at + 1] == messages[: at + 1]
    assert report.pinned == at + 1
    assert not report.markers


@quick
@given(prompts.CONVERSATIONS, st.integers(20, 400))
def test_what_is_fitted_fits_or_is_refused_and_keeps_order_and_question(messages, window):
    try:
        sent, report = optimised(messages, Level.FIT, window=window, reserve=0)
    except ContextLengthExceeded:
        return
    counter = TOKENS.counter("m")
    total = sum(TOKENS.message(counter, one) for one in sent) + TOKENS.frame(counter, {})
    # The last resort for an estimate within its error: it is sent, and the provider decides.
    assert total <= window * 1.06 + 1
    assert report.after in (None, total)
    assert sent[-1]["role"] == "user"
    places = [at for at, one in enumerate(messages) if one["role"] not in ("system", "user")]
    kept = [at for at in places if any(other is messages[at] for other in sent)]
    assert [id(messages[at]) for at in kept] == [id(one) for one in sent if one["role"] not in ("system", "user")]
    if "<context>" not in messages[-1]["content"]:
        assert sent[-1] == messages[-1]


@quick
@given(prompts.CONVERSATIONS, st.integers(20, 400))
def test_a_tool_call_and_its_result_go_together(messages, window):
    try:
        sent, _ = optimised(messages, Level.FIT, window=window, reserve=0)
    except ContextLengthExceeded:
        return
    for at, message in enumerate(sent):
        if message["role"] == "tool":
            assert sent[at - 1].get("tool_calls")
        if message.get("tool_calls"):
            assert sent[at + 1]["role"] == "tool"


@quick
@given(st.lists(prompts.PROSE, min_size=1, max_size=8), st.integers(0, 60))
def test_selected_context_keeps_to_its_budget_and_its_order(passages, budget):
    asked = "<context>\n" + "\n\n".join(passages) + "\n</context>\nWhat must I answer?"
    sent, _ = optimised([prompts.message("user", asked)], Level.SELECT, budget=budget or 1)
    context, question = sent[0]["content"].split("</context>")
    assert question == "\nWhat must I answer?"
    assert context.startswith("<context>\n")
    left = context.removeprefix("<context>\n").strip("\n")
    places = [asked.find(piece.strip()) for piece in left.split("\n\n") if piece.strip()]
    assert -1 not in places


@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("content", ["", " ", "\n\n\n", None, [], [{"type": "text", "text": ""}]])
def test_empty_prompts_pass_at_every_level(level, content):
    messages = [{"role": "system", "content": content}, {"role": "user", "content": content}]
    assert optimised(messages, level)[0] == messages
