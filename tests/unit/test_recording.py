"""The index of a recording: finish, text, usage, and whether it acts, of what servers really send."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.dialects.finish import RANKS, WORDS, finish_word, least_storable
from subsecond.dialects.lookup import recorded

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "delta", "message", "content", "text", "index", "usage", "error", "refusal"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def whole(message=None, finish="stop", **top):
    choice = {"index": 0, "message": message or {"role": "assistant", "content": "Hi"}, "finish_reason": finish}
    return json.dumps({"id": "c", "model": "m", "choices": [choice], **top}).encode()


def chunk(delta, finish=None, index=0, **top):
    return json.dumps(
        {"id": "c", "model": "m", "choices": [{"index": index, "delta": delta, "finish_reason": finish}], **top}
    ).encode()


def stream(*payloads, **how):
    return recorded("chat", "stream", payloads, **how)


def test_a_stream_is_kept_with_its_index():
    payloads = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo"}),
        chunk({}, "stop"),
        b'{"choices":[],"usage":{"total_tokens":3}}',
    ]
    kept = stream(*payloads)
    assert kept.payloads == tuple(payloads)
    assert (kept.form, kept.finish, kept.model, kept.text, kept.acts) == ("stream", "stop", "m", "Hello", False)
    assert kept.usage == {"total_tokens": 3}


def test_a_whole_reply_is_kept_with_its_index():
    body = whole(usage={"total_tokens": 3})
    kept = recorded("chat", "whole", [body])
    assert kept.payloads == (body,)
    assert (kept.form, kept.finish, kept.model, kept.text) == ("whole", "stop", "m", "Hi")
    assert kept.usage == {"total_tokens": 3}


def test_a_text_completion_is_kept_with_its_index():
    payloads = [
        b'{"choices":[{"index":0,"text":"a","finish_reason":null}]}',
        b'{"choices":[{"index":0,"text":"b","finish_reason":"length"}]}',
    ]
    kept = recorded("text", "stream", payloads)
    assert (kept.finish, kept.text) == ("length", "ab")


@pytest.mark.parametrize(("word", "finish"), WORDS.items())
def test_every_servers_word_is_understood_in_any_case(word, finish):
    for said in (word, word.upper()):
        assert recorded("chat", "whole", [whole(finish=said)]).finish == finish


@pytest.mark.parametrize("word", ["error", "abort", "cancelled", "insufficient_system_resource", "whatever", 7, {}])
def test_a_word_that_nobody_knows_is_no_finish(word):
    assert recorded("chat", "whole", [whole(finish=word)]).finish == "unknown"


@pytest.mark.parametrize("silent", [None, "", "null"])
def test_a_word_that_says_nothing_is_no_finish_and_takes_none_back(silent):
    assert stream(chunk({"content": "a"}, silent)).finish == "unknown"
    assert stream(chunk({"content": "a"}, "stop"), chunk({}, silent)).finish == "stop"
    assert finish_word(silent) is None


@pytest.mark.parametrize(
    ("finishes", "least"),
    [
        (["stop"], "stop"),
        (["stop", "length"], "length"),
        (["length", "tool_calls"], "tool_calls"),
        (["length", "content_filter"], "content_filter"),
        (["content_filter", None], "unknown"),
    ],
)
def test_the_least_storable_choice_speaks_for_all(finishes, least):
    payloads = [chunk({"content": "a"}, finish, index) for index, finish in enumerate(finishes)]
    assert stream(*payloads).finish == least


def test_the_ranks_go_from_most_to_least_storable():
    assert [least_storable(RANKS[: at + 1]) for at in range(len(RANKS))] == list(RANKS)
    assert least_storable([]) == "unknown"


@pytest.mark.parametrize(
    "payloads",
    [
        [],
        [b""],
        [b"{"],
        [b"[]"],
        [b"null"],
        [b"\xff"],
        [b"[" * 100_000],
        [b'{"choices":[]}'],
        [b'{"choices":null}'],
        [b'{"choices":7}'],
        [b'{"choices":[1]}'],
        [b'{"choices":{"index":0}}'],
        [b'{"error":{"message":"m"}}'],
        [chunk({"content": "a"})],
        [chunk({"content": "a"}, "stop"), b"{"],
        [chunk({"content": "a"}, "stop"), b'{"error":{"message":"m"}}'],
        [chunk({"content": "a"}, "stop"), b'{"object":"error","message":"m"}'],
        [chunk({"content": "a"}, "stop"), chunk({"content": "b"}, None, 1)],
    ],
)
def test_what_is_no_complete_answer_is_unknown(payloads):
    assert stream(*payloads).finish == "unknown"


def test_an_answer_whose_body_broke_off_is_unknown():
    assert stream(chunk({"content": "a"}, "stop"), ended=False).finish == "unknown"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1.5E+400", f"{9**400}.0"])
def test_a_number_that_is_not_finite_is_unknown_and_harms_nothing_else(number):
    body = b'{"model":"m","choices":[{"message":{"content":"a"},"finish_reason":"stop","x":[%b]}],"usage":{"t":1}}'
    kept = recorded("chat", "whole", [body % number.encode()])
    assert (kept.finish, kept.text, kept.usage) == ("unknown", "a", {"t": 1})


@pytest.mark.parametrize("text", ["NaN", ": NaN", "to Infinity, and", "1e999", "[1e999]", "x: 1e999,"])
def test_words_are_no_numbers(text):
    assert recorded("chat", "whole", [whole({"content": text})]).finish == "stop"


@pytest.mark.parametrize("body", [b"\n %b\r\n", b"\xef\xbb\xbf%b"])
def test_blanks_and_a_mark_of_the_encoding_are_no_fault(body):
    assert recorded("chat", "whole", [body % whole({"content": "a"})]).finish == "stop"


@pytest.mark.parametrize("number", ["1e10", "1e-999", "0.5", "1e100"])
def test_finite_numbers_are_fine(number):
    body = b'{"choices":[{"message":{"content":"a"},"finish_reason":"stop","x":%b}]}' % number.encode()
    assert recorded("chat", "whole", [body]).finish == "stop"


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant"},
        {"content": ""},
        {"content": None},
        {"content": " \n"},
        {"content": []},
        {"content": "", "tool_calls": []},
        {"content": None, "reasoning_content": "hm"},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
        {"content": None, "audio": {"data": "UklG"}},
    ],
)
def test_neither_text_nor_a_call_is_empty(message):
    for finish in ("stop", "length"):
        assert recorded("chat", "whole", [whole(message, finish)]).finish == "empty"
    assert stream(chunk(message), chunk({}, "stop")).finish == "empty"


def test_an_empty_answer_that_was_filtered_was_filtered():
    assert recorded("chat", "whole", [whole({"content": None}, "content_filter")]).finish == "content_filter"


def test_a_choice_with_text_speaks_for_an_empty_neighbour():
    assert stream(chunk({"content": "a"}, "stop"), chunk({}, "stop", 1)).finish == "stop"


def test_a_refusal_is_told_by_its_text():
    assert recorded("chat", "whole", [whole({"content": None, "refusal": "No."})]).finish == "refusal"
    assert stream(chunk({"refusal": "N"}), chunk({"refusal": "o"}), chunk({}, "stop")).finish == "refusal"
    assert recorded("chat", "whole", [whole({"content": "Yes", "refusal": None})]).finish == "stop"
    assert recorded("chat", "whole", [whole({"refusal": "No."}, "content_filter")]).finish == "content_filter"


@pytest.mark.parametrize("call", [{"tool_calls": [{"id": "t"}]}, {"function_call": {"name": "f"}}])
def test_calls_act(call):
    for finish in ("stop", "tool_calls"):
        kept = recorded("chat", "whole", [whole({"content": None, **call}, finish)])
        assert (kept.acts, kept.finish) == (True, finish)
    assert stream(chunk(call), chunk({}, "tool_calls")).acts


def test_the_text_is_the_first_choices():
    payloads = [chunk({"content": "b"}, "stop", 1), chunk({"content": "a"}, "stop", 0)]
    assert stream(*payloads).text == "a"


def test_the_text_of_a_list_is_its_text_parts():
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "Fo"}, {"type": "text", "text": "ur"}]
    assert recorded("chat", "whole", [whole({"content": parts})]).text == "Four"
    assert stream(chunk({"content": parts}), chunk({"content": "."}, "stop")).text == "Four."


def test_a_message_beside_or_behind_deltas_is_not_heard_twice():
    beside = b'{"choices":[{"delta":{"content":"a"},"message":{"content":"a"},"finish_reason":null}]}'
    behind = b'{"choices":[{"delta":{},"message":{"content":"a"},"finish_reason":"stop"}]}'
    alone = b'{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}'
    assert stream(beside, behind).text == "a"
    assert stream(beside, alone).text == "a"
    assert stream(alone).text == "a"


def test_the_last_usage_and_the_named_model_count():
    kept = stream(
        b'{"model":"","choices":[],"usage":null}',
        chunk({"content": "a"}, "stop", usage={"total_tokens": 1}),
        b'{"model":"","choices":[],"usage":{"total_tokens":2}}',
    )
    assert (kept.model, kept.usage) == ("m", {"total_tokens": 2})


def test_lone_surrogates_and_doubled_keys_are_read():
    body = rb'{"choices":[{"message":{"content":"a","content":"b\ud83d"},"finish_reason":"stop"}]}'
    assert recorded("chat", "whole", [body]).text == "b\ud83d"


@given(st.lists(JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=20), max_size=4))
def test_it_never_raises(payloads):
    for endpoint in ("chat", "text"):
        kept = recorded(endpoint, "stream", payloads)
        assert kept.payloads == tuple(payloads)
        assert kept.finish in RANKS
