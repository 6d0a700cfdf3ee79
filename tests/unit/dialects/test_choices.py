"""What is read of answers in `choices`, and which fields of a request count for what."""

import json

import pytest

from subsecond.cache.cacheability import may_compare
from subsecond.dialects.finish import FILTERED, REFUSED
from subsecond.dialects.lookup import dialect_of
from subsecond.model import Call
from subsecond.streaming.sse import DONE

CHAT, TEXT = dialect_of("chat"), dialect_of("text")
BOTH = pytest.mark.parametrize("dialect", [CHAT, TEXT], ids=["chat", "text"])


def body(finish="stop", **choice):
    return json.dumps({"choices": [{"index": 0, "finish_reason": finish, **choice}]}).encode()


def hollow(dialect, *payloads, form="whole"):
    return dialect.is_hollow(dialect.recorded(form, payloads))


@BOTH
def test_how_its_streams_begin_and_end(dialect):
    assert (dialect.end, dialect.unbegun) == (DONE, "The model's answer ended without a choice.")
    assert (dialect.asks_for_usage, dialect.editable, dialect.in_sentences) == (True, True, True)


@BOTH
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tools", [{"type": "function"}]),
        ("functions", [{"name": "f"}]),
        ("audio", {"voice": "alloy"}),
        ("echo", True),
        ("logprobs", 1),
        ("top_logprobs", 1),
        ("prompt_logprobs", 1),
        ("suffix", "end"),
        ("tool_choice", "required"),
        ("function_call", {"name": "f"}),
    ],
)
def test_what_belongs_to_one_text_or_is_an_act_takes_no_part_in_similarity(dialect, field, value):
    asked = {"model": "m", "messages": [{"role": "user", "content": "Who?"}], "prompt": "Who?"}
    assert may_compare(Call(dialect.endpoint, "m", asked), "Who?")
    assert not may_compare(Call(dialect.endpoint, "m", {**asked, field: value}), "Who?")


@BOTH
@pytest.mark.parametrize(
    ("asked", "user"),
    [
        ({}, None),
        ({"user": "u"}, "u"),
        ({"safety_identifier": "s"}, "s"),
        ({"user": "u", "safety_identifier": "s"}, "u"),
        ({"user": "", "safety_identifier": "s"}, "s"),
        ({"user": None, "safety_identifier": "s"}, "s"),
    ],
)
def test_the_first_field_that_says_something_names_the_user(dialect, asked, user):
    assert dialect.end_user(asked) == user


@BOTH
def test_limit_format_and_number(dialect):
    assert (dialect.limit({"max_tokens": 5}), dialect.limit({"max_completion_tokens": 6, "max_tokens": 5})) == (5, 6)
    assert dialect.format({"response_format": {"type": "text"}}) == {"type": "text"}
    assert [dialect.is_one({"n": n}) for n in (None, 1, 2)] == [True, True, False]
    assert dialect.is_one({})


@BOTH
def test_what_is_no_answer_is_an_error(dialect):
    assert dialect.not_an_answer(body(text="Hi", message={"content": "Hi"})) is None
    error = dialect.not_an_answer(b'{"error": {"message": "It is broken."}}')
    assert (error.status, error.message) == (502, "It is broken.")


@BOTH
@pytest.mark.parametrize(
    ("payload", "begins"),
    [
        (b'{"choices": [{"index": 0}]}', True),
        (b'{"choices": []}', False),
        (b'{"choices": null}', False),
        (b'{"usage": {}}', False),
        (b'{"choices": [', True),  # whatever it is, it is passed on
        (b'["choices"]', True),
        (b'{"choices": ' + b"[" * 100_000, True),
    ],
)
def test_a_stream_begins_with_its_first_choice(dialect, payload, begins):
    assert dialect.begins(payload) is begins


@pytest.mark.parametrize(
    ("delta", "speaks", "tells"),
    [
        ({"role": "assistant"}, False, False),
        ({"role": "assistant", "content": ""}, False, False),
        ({"content": "Hi"}, True, True),
        ({"reasoning_content": "Hm"}, True, True),
        ({"tool_calls": [{"index": 0}]}, True, True),
    ],
)
def test_a_chunk_tells_something_beside_its_role(delta, speaks, tells):
    payload = body(None, delta=delta)
    assert (CHAT.speaks(payload), CHAT.tells(payload)) == (speaks, tells)
    assert not CHAT.tells(b"no JSON")


def test_a_text_completion_tells_its_text():
    assert TEXT.tells(body(text="Hi"))
    assert not TEXT.tells(body(text=""))
    assert CHAT.speaks(body("stop", delta={}))


@pytest.mark.parametrize(
    ("finish", "is_hollow"), [("stop", True), ("length", False), (FILTERED, False), (REFUSED, False)]
)
@pytest.mark.parametrize("empty", [{}, {"message": {"role": "assistant", "content": ""}}, {"delta": {}, "text": ""}])
def test_an_answer_that_says_nothing_is_hollow_unless_it_was_cut(finish, is_hollow, empty):
    assert hollow(CHAT, body(finish, **empty)) is is_hollow


def test_what_was_said_thought_or_called_is_not_hollow():
    assert not hollow(CHAT, body(message={"content": "Hi"}))
    assert not hollow(CHAT, body(message={"reasoning_content": "Hm"}))
    assert not hollow(CHAT, body("tool_calls", message={"tool_calls": [{"id": "c"}]}))
    assert not hollow(TEXT, body(text="Hi"))
    assert not hollow(CHAT, body(None, delta={}), body(None, delta={"audio": "x"}), form="stream")


@BOTH
def test_a_chunk_of_usage_alone(dialect):
    assert dialect.is_usage_only(b'{"choices": [], "usage": {"total_tokens": 3}}')
    assert not dialect.is_usage_only(body(None, delta={"content": "Hi"}, text="Hi"))
    assert not dialect.is_usage_only(b'{"choices": []}')
    assert not dialect.is_usage_only(b'{"choices": [{"index": 0, "delta": {}}], "usage": {"total_tokens": 3}}')


@pytest.mark.parametrize(
    ("dialect", "part", "whole"),
    [(CHAT, {"delta": {"content": "Hi"}}, {"message": {"content": "Hi"}}), (TEXT, {"text": "Hi"}, {"text": "Hi"})],
    ids=["chat", "text"],
)
def test_one_form_becomes_the_other_with_the_same_text(dialect, part, whole):
    told = dialect.to_whole([body(None, **part), body("stop", **({"delta": {}} if dialect is CHAT else {"text": ""}))])
    loose = dialect.joined_loosely([body(None, **part)])
    assert dialect.recorded("whole", [told]).text == dialect.recorded("whole", [loose]).text == "Hi"
    events = dialect.to_stream(body(**whole))
    assert dialect.recorded("stream", events).text == "Hi"
    assert dialect.converts(body(None, **part))
    assert not dialect.converts(b"no JSON")


def test_the_trace_is_a_chunk_of_the_stream_without_a_choice_and_without_usage():
    last = b'{"id": "c", "choices": [{"index": 0}], "usage": {"total_tokens": 3}}'
    told = json.loads(CHAT.trace_event(last, 7, {"model": "m"}).data)
    assert told == {"id": "c", "choices": [], "subsecond": {"model": "m"}}
    assert json.loads(CHAT.trace_event(b"[", 7, {}).data) == {"choices": [], "subsecond": {}}


@pytest.mark.parametrize(
    ("beside", "finish"), [({}, "stop"), ({"error": {"message": "It broke."}}, "unknown"), ({"detail": "high"}, "stop")]
)
def test_an_error_beside_a_choice_makes_it_unfinished(beside, finish):
    said = {**json.loads(body(message={"content": "Hi"})), **beside}
    assert CHAT.recorded("whole", [json.dumps(said).encode()]).finish == finish


def test_an_error_in_other_words_makes_the_stream_unfinished():
    assert CHAT.recorded("stream", [body(delta={"content": "Hi"}), b'{"detail": "It broke."}']).finish == "unknown"


def test_one_of_several_choices_acts_for_all():
    calls = {"index": 1, "message": {"tool_calls": [{"id": "c"}]}, "finish_reason": "tool_calls"}
    two = {"choices": [*json.loads(body(message={"content": "Hi"}))["choices"], calls]}
    assert CHAT.recorded("whole", [json.dumps(two).encode()]).acts


def test_a_message_behind_empty_deltas_is_what_was_said():
    heard = CHAT.recorded("stream", [body(None, delta={"content": ""}), body(message={"content": "Hi"})])
    assert (heard.text, heard.finish) == ("Hi", "stop")


def test_a_stream_that_has_told_something_is_not_empty_whatever_its_end():
    assert TEXT.recorded("stream", [body(None, text="Hi"), body(text="")]).finish == "stop"
