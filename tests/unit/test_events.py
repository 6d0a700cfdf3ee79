"""Small questions to one payload."""

import json

import pytest

from subsecond.streaming.events import choices_of, index_of, is_usage_only, speaks, text_in
from subsecond.streaming.json_bytes import dump


@pytest.mark.parametrize(
    "payload",
    [
        {"choices": [], "usage": {"total_tokens": 1}},
        {"choices": None, "usage": {"total_tokens": 1}},
        {"usage": {"total_tokens": 1}},
    ],
)
def test_a_chunk_of_usage_alone_is_known(payload):
    assert is_usage_only(json.dumps(payload).encode())
    assert is_usage_only(json.dumps(payload, indent=1).encode())


@pytest.mark.parametrize(
    "payload",
    [
        b'{"choices":[],"usage":null}',
        b'{"choices":[],"prompt_filter_results":[]}',
        b'{"choices":[{"delta":{}}],"usage":{"total_tokens":1}}',
        b'{"choices":[{"delta":{"tool_calls":[{"choices":[]}]}}],"usage":{"total_tokens":1}}',
        b'{"choices":[{"delta":{"content":"\\"usage\\": {}"}}]}',
        b'"usage"',
        b'{"usage"',
        b"",
    ],
)
def test_others_are_not(payload):
    assert not is_usage_only(payload)


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"delta": {"role": "assistant"}}, False),
        ({"delta": {"role": "assistant", "content": ""}}, False),
        ({"delta": {"content": None, "tool_calls": []}}, False),
        ({"delta": None, "finish_reason": None}, False),
        ({"delta": {"content": "a"}}, True),
        ({"delta": {"reasoning_content": "hm"}}, True),
        ({"delta": {"tool_calls": [{"index": 0}]}}, True),
        ({"delta": {}, "finish_reason": "stop"}, True),
        ({"message": {"role": "assistant", "content": "a"}}, True),
        ({"text": ""}, False),
        ({"text": "a"}, True),
    ],
)
def test_a_chunk_speaks_when_it_has_more_than_a_role(choice, says):
    assert speaks(dump({"choices": [choice]})) is says


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"{}", b'{"choices":null}', b'{"choices":[1]}', b"[" * 100_000])
def test_what_is_no_chunk_does_not_speak(payload):
    assert not speaks(payload)


def test_only_objects_are_choices():
    assert choices_of({"choices": [1, {"index": 0}, None]}) == [{"index": 0}]
    assert choices_of({"choices": {"index": 0}}) == choices_of([]) == choices_of(None) == []


def test_a_choice_without_a_number_is_known_by_its_place():
    assert index_of({"index": 2}, 0) == 2
    assert index_of({}, 1) == index_of({"index": "x"}, 1) == 1


def test_text_is_a_string_or_a_lists_text_parts():
    assert text_in("a") == text_in([{"type": "text", "text": "a"}, {"type": "thinking", "text": "b"}, 7]) == "a"
    assert text_in(None) == text_in({"text": "a"}) == text_in([{"type": "text", "text": None}]) == ""


def test_json_is_compact_and_a_lone_surrogate_stays_an_escape():
    assert dump({"a": ["é", 1.0]}) == '{"a":["é",1.0]}'.encode()
    assert dump("\ud83d") == rb'"\ud83d"'
