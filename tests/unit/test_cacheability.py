"""Which answers may be stored, and which may answer somebody else's question."""

from dataclasses import replace

import pytest

from subsecond.cache.cacheability import COMPLETE, may_compare, may_serve_others, may_store
from subsecond.dialects.finish import RANKS
from subsecond.dialects.lookup import recorded
from subsecond.model import CacheRules, Call, Recording

FORMS = ("whole", "stream")


def made(finish, **fields):
    return Recording("whole", (b"{}",), finish, "m", text="Yes.", **fields)


@pytest.mark.parametrize("finish", ["stop", "length", "tool_calls", "function_call"])
def test_complete_answers_are_stored_where_the_request_lets_them(ask, finish):
    assert may_store(ask(), made(finish))
    assert not may_store(replace(ask(), rules=CacheRules(write=False)), made(finish))


@pytest.mark.parametrize("finish", [*sorted(set(RANKS) - COMPLETE), "", "STOP", "a word of tomorrow"])
def test_what_is_empty_refused_filtered_or_unknown_is_not_stored(ask, finish):
    assert not may_store(ask(), made(finish))
    assert not may_serve_others(made(finish))


def test_every_complete_finish_is_a_word_that_recordings_have():
    assert set(RANKS) > COMPLETE


def test_only_finished_words_answer_a_similar_question():
    assert may_serve_others(made("stop"))
    assert [finish for finish in sorted(COMPLETE) if may_serve_others(made(finish))] == ["stop"]
    assert not may_serve_others(made("stop", acts=True))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("text", "finish", "stored", "shared"),
    [
        ("Hello.", "stop", True, True),
        ("Hel", "length", True, False),
        ("Hel", "content_filter", False, False),
        ("", "stop", False, False),
        ("Hello.", None, False, False),
    ],
)
def test_answers_as_servers_give_them(ask, recording, form, text, finish, stored, shared):
    found = recorded("chat", form, recording(text, form=form, finish=finish).payloads)
    assert (may_store(ask(), found), may_serve_others(found)) == (stored, shared)


def test_an_answer_that_did_not_end_is_not_stored(ask, recording):
    assert not may_store(ask(), recorded("chat", "stream", recording(form="stream").payloads, ended=False))


FUNCTION = {"name": "f", "parameters": {}}


@pytest.mark.parametrize("endpoint", ["chat", "text"])
@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "function", "function": FUNCTION}]},
        {"functions": [FUNCTION]},
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"function_call": {"name": "f"}},
        {"audio": {"voice": "alloy", "format": "wav"}},
        {"echo": True},
        {"logprobs": True},
        {"logprobs": 0},
        {"logprobs": 5},
        {"top_logprobs": 0},
        {"prompt_logprobs": 1},
        {"suffix": "\n}"},
        {"n": 2},
    ],
    ids=str,
)
def test_what_is_no_text_for_a_reader_takes_no_part_in_similarity(endpoint, fields):
    assert not may_compare(Call(endpoint, "m", fields), "How do I pay?")


@pytest.mark.parametrize("endpoint", ["chat", "text"])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tools": []},
        {"tools": None, "functions": None, "audio": None},
        {"tool_choice": "auto"},
        {"tool_choice": "none", "function_call": "none"},
        {"echo": False, "logprobs": False, "suffix": ""},
        {"echo": None, "logprobs": None, "top_logprobs": None, "suffix": None},
        {"n": 1, "temperature": 0, "stop": ["x"]},
    ],
    ids=str,
)
def test_what_asks_for_words_alone_takes_part(endpoint, fields):
    assert may_compare(Call(endpoint, "m", fields), "How do I pay?")


@pytest.mark.parametrize(
    ("fields", "taken"),
    [
        ({}, True),
        ({"tool_choice": "auto"}, True),
        ({"tool_choice": "required"}, False),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, False),
        ({"functions": [FUNCTION]}, False),
        ({"audio": {"voice": "alloy", "format": "wav"}}, False),
        ({"n": 2}, False),
    ],
    ids=str,
)
def test_tools_that_are_only_attached_take_part_where_they_may(fields, taken):
    call = Call("chat", "m", {"tools": [{"type": "function", "function": FUNCTION}], **fields})
    assert may_compare(call, "How do I pay?", tools=True) is taken
    assert not may_compare(call, "How do I pay?")


def test_a_plain_prompt_of_code_takes_no_part_and_a_question_about_code_does():
    code = "def f(x):\n    return"
    assert not may_compare(Call("text", "m", {"prompt": code}), code)
    assert may_compare(Call("chat", "m", {"messages": []}), code)
