"""Which answers may be stored, and which may answer somebody else's question."""

from dataclasses import replace

import pytest

from subsecond.cache.cacheability import COMPLETE, may_serve_others, may_store
from subsecond.cache.recording import RANKS, recorded
from subsecond.model import CacheRules, Recording

FORMS = ("whole", "stream")


def made(finish, **fields):
    return Recording("whole", (b"{}",), finish, "m", text="Yes.", **fields)


@pytest.mark.parametrize("finish", ["stop", "length", "tool_calls", "function_call"])
def test_complete_answers_are_stored_where_the_request_lets_them(ask, finish):
    assert may_store(ask(), made(finish))
    assert not may_store(replace(ask(), rules=CacheRules(write=False)), made(finish))


@pytest.mark.parametrize("finish", [*(set(RANKS) - COMPLETE), "", "STOP", "a word of tomorrow"])
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
