"""What is let through without pydantic is what pydantic lets through, with the same fields."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.api.bodies import ChatBody, TextBody, check
from subsecond.api.usual_body import usual_chat, usual_text
from subsecond.errors import InvalidRequest

USUAL = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
TEXT = {"model": "m", "prompt": "Hi"}
# What JSON can hold, near to what is usual.
words = st.sampled_from(["", "m", "x" * 256, "x" * 257, "\ud800", "ü", "user"])
numbers = st.sampled_from([0, 1, 128, 129, -1, 0.5, -0.5, 1.0, 10**400])
scalars = st.one_of(st.none(), st.booleans(), words, numbers)
parts = st.dictionaries(st.sampled_from(["type", "text", "\ud800"]), scalars, max_size=2)
contents = st.one_of(scalars, st.lists(st.one_of(parts, scalars), max_size=2), parts)
messages = st.dictionaries(st.sampled_from(["role", "content", "name", "\udfff"]), contents)
options = st.one_of(scalars, st.dictionaries(st.sampled_from(["include_usage", "\ud800", "other"]), scalars))
values = {
    "model": scalars,
    "messages": st.one_of(scalars, st.lists(st.one_of(messages, scalars), max_size=3)),
    "prompt": st.one_of(scalars, st.lists(scalars, max_size=2)),
    "stream": scalars,
    "stream_options": options,
    "n": scalars,
    "use_cache": scalars,
    "max_latency_ms": scalars,
    "subsecond": st.one_of(st.none(), st.just({"similar": False})),
    "temperature": scalars,
    "\ud800": scalars,
}
changes = st.fixed_dictionaries({}, optional=values)


def fields(body):
    options = body.stream_options
    return (body.model, body.stream, options and options.include_usage, body.use_cache, body.max_latency_ms)


@given(changes)
def test_a_usual_chat_is_one_for_pydantic_too(changed):
    body = USUAL | changed
    if usual := usual_chat(body):
        assert fields(usual) == fields(check(ChatBody, body))
        assert body.get("subsecond") is None


@given(changes)
def test_a_usual_text_is_one_for_pydantic_too(changed):
    body = TEXT | changed
    if usual := usual_text(body):
        checked = check(TextBody, body)
        assert (*fields(usual), usual.prompt) == (*fields(checked), checked.prompt)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"stream": True, "stream_options": {"include_usage": True}, "temperature": 0.5, "n": 2},
        {"use_cache": False, "max_latency_ms": 500, "tools": [{"type": "function"}], "user": "ü"},
        {
            "messages": [
                {"role": "system", "content": None},
                {"role": "user", "content": [{"type": "text", "text": "ü"}]},
            ]
        },
    ],
)
def test_what_most_clients_send_is_usual(more):
    assert usual_chat(json.loads(json.dumps(USUAL | more)))
    assert usual_text(TEXT | {name: value for name, value in more.items() if name != "messages"})


@pytest.mark.parametrize("wrong", [{"n": True}, {"stream": 1}, {"model": ""}, {"max_latency_ms": -1}, {"messages": []}])
def test_what_is_wrong_is_left_to_pydantic(wrong):
    assert usual_chat(USUAL | wrong) is None
    with pytest.raises(InvalidRequest):
        check(ChatBody, USUAL | wrong)
