"""Anthropic's Messages: how its answers are read, told again, and turned into the other form."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.dialects.lookup import dialect_of
from subsecond.errors import UpstreamError

MESSAGES = dialect_of("messages")
USAGE = {"input_tokens": 5, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 1, "output_tokens": 9}


def message(*content, **given):
    told = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": list(content)}
    return {**told, "stop_reason": "end_turn", "stop_sequence": None, "usage": USAGE, **given}


def text(said):
    return {"type": "text", "text": said}


CALL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome", "days": [1, 2.5]}}
THOUGHT = {"type": "thinking", "thinking": "Let me see.", "signature": "c2ln"}


def dumped(value):
    return json.dumps(value).encode()


def stream(*events):
    return tuple(map(dumped, events))


BEGUN = {"type": "message_start", "message": message(stop_reason=None, usage={"input_tokens": 5, "output_tokens": 1})}
SAID = (
    {"type": "content_block_start", "index": 0, "content_block": text("")},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
    {"type": "content_block_stop", "index": 0},
)
ENDED = (
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": USAGE},
    {"type": "message_stop"},
)


def test_a_whole_message_is_indexed_in_the_words_that_statistics_know():
    found = MESSAGES.recorded("whole", [dumped(message(text("Hello"), text(" you")))])
    assert (found.finish, found.text, found.model, found.acts) == ("stop", "Hello you", "claude", False)
    assert found.usage == {
        "prompt_tokens": 13,
        "completion_tokens": 9,
        "total_tokens": 22,
        "prompt_tokens_details": {"cached_tokens": 7},
    }


def test_a_stream_is_indexed_alike():
    found = MESSAGES.recorded("stream", stream(BEGUN, *SAID, *ENDED))
    assert (found.finish, found.text, found.usage["completion_tokens"]) == ("stop", "Hello", 9)


def test_two_answers_in_one_stream_are_none():
    assert MESSAGES.recorded("stream", stream(BEGUN, *SAID, *ENDED) * 2).finish == "unknown"


@pytest.mark.parametrize(
    ("given", "finish"),
    [
        ({"stop_reason": "max_tokens"}, "length"),
        ({"stop_reason": "stop_sequence"}, "stop"),
        ({"stop_reason": "refusal"}, "refusal"),
        ({"stop_reason": "pause_turn"}, "unknown"),
        ({"stop_reason": None}, "unknown"),
        ({"stop_reason": 7}, "unknown"),
        ({"content": []}, "empty"),
        ({"content": [text(" \n")]}, "empty"),
        ({"content": [THOUGHT]}, "empty"),
        ({"content": "odd"}, "empty"),
    ],
)
def test_what_may_not_be_stored_says_so(given, finish):
    assert MESSAGES.recorded("whole", [dumped(message(text("x"), **given))]).finish == finish


def test_a_call_of_a_tool_acts():
    found = MESSAGES.recorded("whole", [dumped(message(CALL, stop_reason="tool_use"))])
    assert (found.finish, found.acts) == ("tool_calls", True)


@pytest.mark.parametrize(
    "payloads",
    [
        stream(BEGUN, *SAID, ENDED[0]),
        stream(BEGUN, *SAID, {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, *ENDED),
        (b"not json",),
        (b'{"type": "message", "usage": {"output_tokens": NaN}}',),
        (b"[]",),
        (),
    ],
)
def test_what_did_not_end_well_is_unknown(payloads):
    assert MESSAGES.recorded("stream", payloads).finish == "unknown"


def test_a_body_that_did_not_end_is_unknown():
    assert MESSAGES.recorded("whole", [dumped(message(text("x")))], ended=False).finish == "unknown"


@pytest.mark.parametrize("content", [[text("Hello")], [THOUGHT, CALL], [CALL, CALL], [text("a"), CALL], []])
def test_a_message_goes_to_events_and_back(content):
    body = message(*content)
    events = MESSAGES.to_stream(dumped(body))
    assert all(map(MESSAGES.converts, events))
    assert json.loads(MESSAGES.to_whole(events)) == body
    assert [json.loads(one)["type"] for one in events[-2:]] == ["message_delta", "message_stop"]


blocks = st.lists(
    st.one_of(
        st.text().map(text),
        st.fixed_dictionaries(
            {
                "type": st.just("tool_use"),
                "id": st.text(),
                "name": st.text(),
                "input": st.dictionaries(st.text(), st.integers() | st.text() | st.none()),
            }
        ),
        st.fixed_dictionaries({"type": st.just("thinking"), "thinking": st.text(), "signature": st.text()}),
        st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": st.text()}),
    ),
    max_size=4,
)


@given(blocks)
def test_every_message_that_goes_over_comes_back(content):
    body = message(*content)
    if (events := MESSAGES.to_stream(dumped(body))) is not None:
        assert json.loads(MESSAGES.to_whole(events)) == body


@pytest.mark.parametrize(
    "odd",
    [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": {}}},
        {"type": "content_block_delta", "index": 9, "delta": {"type": "text_delta", "text": "x"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "x"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
        {"type": "content_block_start", "index": 5, "content_block": text("")},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "new"}},
        {"type": "message_delta", "delta": None},
        {"type": "new_event"},
        {"type": "ping", "more": 1},
    ],
)
def test_what_is_not_known_is_not_converted(odd):
    assert MESSAGES.to_whole(stream(BEGUN, *SAID, odd, *ENDED)) is None


@pytest.mark.parametrize(
    "body",
    [
        message({**text("x"), "citations": [{"type": "page_location"}]}),
        message({"type": "new"}),
        message(text("x"), usage=None),
        message(7),
        {"type": "message"},
        [],
    ],
)
def test_a_body_that_is_not_known_is_not_converted(body):
    assert MESSAGES.to_stream(dumped(body)) is None


@pytest.mark.parametrize(
    ("payload", "name"),
    [(one, json.loads(one)["type"].encode()) for one in stream(BEGUN, *SAID, *ENDED)],
)
def test_an_event_of_an_answer_is_no_error(payload, name):
    assert MESSAGES.error_in_event(payload, name) is None
    assert MESSAGES.error_in_event(payload, b"") is None
    assert MESSAGES.event_name(payload) == name


def test_an_error_in_a_stream_keeps_its_status_and_words():
    said = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    found = MESSAGES.error_in_event(dumped(said), b"error")
    assert (found.status, found.message) == (529, "Overloaded")


@pytest.mark.parametrize("payload", [b"x", b"[]", b"null"])
def test_an_event_that_is_no_object_is_an_error(payload):
    assert MESSAGES.error_in_event(payload, b"") is not None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"type": "message"}', dumped({"type": "error", "error": {"message": "m"}})]
)
def test_what_is_no_message_is_an_error(body):
    assert isinstance(MESSAGES.not_an_answer(body), UpstreamError)


def test_a_message_is_an_answer():
    assert MESSAGES.not_an_answer(dumped(message(text("x")))) is None


def test_an_answer_begins_with_its_first_event_and_speaks_with_its_first_text():
    begun = [MESSAGES.begins(one) for one in stream({"type": "ping"}, BEGUN, *SAID)]
    assert begun == [False, True, True, False, True, True, True]
    assert [MESSAGES.speaks(one) for one in stream(BEGUN, *SAID[:3], *ENDED)] == [
        False,
        False,
        False,
        True,
        True,
        False,
    ]


def test_an_error_is_told_in_anthropics_words():
    known = {"error": {"message": "m", "type": "overloaded_error", "param": None, "code": None}}
    other = {"error": {"message": "m", "type": "invalid_request_error", "param": None, "code": None}}
    assert MESSAGES.error_body(known, 529, "req_1") == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "m"},
        "request_id": "req_1",
    }
    kinds = {status: MESSAGES.error_body(other, status, "r")["error"]["type"] for status in (400, 401, 404, 429, 502)}
    assert kinds == {
        400: "invalid_request_error",
        401: "authentication_error",
        404: "not_found_error",
        429: "rate_limit_error",
        502: "api_error",
    }
    event = MESSAGES.error_event(known, 3)
    assert (event.name, json.loads(event.data)["error"]["message"]) == (b"error", "m")


def test_the_last_turns_texts_are_taken_out_and_nothing_else():
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    body = {"system": "s", "messages": [{"role": "user", "content": [image, text("what?")]}]}
    rest, texts = MESSAGES.split(body)
    assert texts == ["what?"]
    assert rest == {"system": "s", "messages": [{"role": "user", "content": [image, [{"type": "text", "text": None}]]}]}
    assert MESSAGES.split({"messages": [{"role": "assistant", "content": "Once"}]})[1] == []
    result = {"type": "tool_result", "tool_use_id": "t", "content": "42"}
    assert MESSAGES.split({"messages": [{"role": "user", "content": [result]}]})[1] == []


def test_what_else_is_read_of_a_body():
    body = {
        "system": [text("Be brief."), text("It is noon.")],
        "messages": [{"role": "user", "content": "x"}],
        "metadata": {"user_id": "ann"},
        "max_tokens": 9,
        "output_config": {"format": {"type": "json_schema"}},
    }
    assert [where for where, _ in MESSAGES.system_texts(body)] == ["system", "system"]
    assert MESSAGES.with_system_texts(body, str.upper)["system"][1]["text"] == "IT IS NOON."
    assert [one["role"] for one in MESSAGES.turns(body)] == ["system", "user"]
    assert (MESSAGES.end_user(body), MESSAGES.limit(body)) == ("ann", 9)
    assert MESSAGES.format(body) == {"type": "json_schema"}
    assert [MESSAGES.forces({"type": one}) for one in ("auto", "none", "any", "tool")] == [False, False, True, True]
    assert MESSAGES.state({"container": "container_1"}) == "names"
    assert MESSAGES.state(body) == ""


def test_a_message_that_does_not_go_over_is_told_between_a_start_and_an_end():
    odd = message({"type": "unheard_of", "at": 1}, text("Hello"))
    assert MESSAGES.to_stream(dumped(odd)) is None
    told = MESSAGES.lone_event(dumped(odd))
    start, delta, end = map(json.loads, told)
    assert not MESSAGES.is_hollow(MESSAGES.recorded("stream", told))
    assert (start["type"], start["message"]["content"]) == ("message_start", odd["content"])
    assert (delta["type"], delta["delta"]["stop_reason"], delta["usage"]) == ("message_delta", "end_turn", USAGE)
    assert MESSAGES.ends(dumped(end))
