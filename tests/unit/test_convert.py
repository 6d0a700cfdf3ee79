"""From one form of an answer to the other: what goes over, what is dropped, and what declines."""

import json

import pytest

from subsecond.streaming.convert import PIECE, converts, pieces, to_stream, to_whole
from subsecond.streaming.json_bytes import dump

FRAME = {"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m"}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
TOKEN = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}


def chunk(delta, finish=None, *, choice=None, **top):
    made = {"index": 0, "delta": delta, "finish_reason": finish, **(choice or {})}
    return dump({**FRAME, "choices": [made], **top})


def joined(*payloads, endpoint="chat"):
    body = to_whole(endpoint, payloads)
    return None if body is None else json.loads(body)


def message(*payloads):
    return joined(*payloads)["choices"][0]["message"]


def whole(said=None, finish="stop", *, choice=None, **top):
    said = {"role": "assistant", "content": "Hi"} if said is None else said
    made = {"index": 0, "message": said, "finish_reason": finish, **(choice or {})}
    return dump({**FRAME, "object": "chat.completion", "choices": [made], **top})


def told(body, endpoint="chat"):
    payloads = to_stream(endpoint, body)
    return None if payloads is None else [json.loads(payload) for payload in payloads]


def call(identity="t1", name="f", arguments="{}", **more):
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def test_a_stream_becomes_a_whole_reply():
    assert joined(
        chunk({"role": "assistant", "content": ""}, usage=None),
        chunk({"content": "Hel"}, usage=None),
        chunk({"content": "lo"}, usage=None),
        chunk({}, "stop", usage=None),
        dump({**FRAME, "choices": [], "usage": USAGE}),
    ) == {
        "id": "c1",
        "created": 7,
        "model": "m",
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "logprobs": None,
                "message": {"role": "assistant", "content": "Hello"},
            }
        ],
        "usage": USAGE,
    }


def test_a_whole_reply_becomes_a_stream():
    assert told(whole({"role": "assistant", "content": "Hello"}, usage=USAGE)) == [
        {**FRAME, "choices": [{"index": 0, "logprobs": None, **choice}]}
        for choice in (
            {"delta": {"role": "assistant", "content": ""}, "finish_reason": None},
            {"delta": {"content": "Hello"}, "finish_reason": None},
            {"delta": {}, "finish_reason": "stop"},
        )
    ] + [{**FRAME, "choices": [], "usage": USAGE}]


# Fields of each place, with a value, that are the same in the other form.
TOP = {
    "id": "c9",
    "created": 9,
    "model": "m-2",
    "provider": "P",
    "system_fingerprint": "fp",
    "service_tier": "default",
    "usage": USAGE,
    "moderation": {"input": {"type": "moderation_results", "results": []}},
    "citations": ["http://a"],
    "search_results": [{"url": "http://a"}],
    "related_questions": ["Why?"],
    "images": [{"image_url": "http://a/b.png"}],
    "prompt_filter_results": [{"prompt_index": 0}],
    "prompt_annotations": [{"prompt_index": 0}],
    "timings": {"predicted_n": 2},
    "perf_metrics": {"server-time": 0.1},
    "x_groq": {"id": "req_1", "seed": 7},
}
CHOICE = {
    "stop_reason": 151645,
    "matched_stop": "END",
    "native_finish_reason": "STOP",
    "seed": 9223372036854775807,
    "content_filter_results": {"hate": {"filtered": False}},
    "logprobs": {"content": [TOKEN], "refusal": None},
}
MESSAGE = {
    "content": "Hi",
    "refusal": "No.",
    "reasoning_content": "hm",
    "reasoning": "hm",
    "function_call": {"name": "f", "arguments": "{}"},
    "annotations": [{"type": "url_citation", "url_citation": {"url": "http://a"}}],
    "images": [{"type": "image_url", "image_url": {"url": "data:"}}],
}


@pytest.mark.parametrize("name", TOP)
def test_a_known_field_at_the_top_goes_over_both_ways(name):
    payloads = [chunk({"role": "assistant", "content": "Hi"}, **{name: TOP[name]}), chunk({}, "stop")]
    if name in FRAME:
        payloads[1] = chunk({}, "stop", **{name: TOP[name]})
    assert joined(*payloads)[name] == TOP[name]
    assert all(converts("chat", payload) for payload in payloads)
    stream = to_stream("chat", whole(**{name: TOP[name]}))
    assert joined(*stream)[name] == TOP[name]


@pytest.mark.parametrize("name", CHOICE)
def test_a_known_field_of_a_choice_goes_over_both_ways(name):
    payloads = [chunk({"content": "Hi"}, "stop", choice={name: CHOICE[name]})]
    assert joined(*payloads)["choices"][0][name] == CHOICE[name]
    assert converts("chat", payloads[0])
    for said in ({"content": "Hi"}, {"content": None}):
        stream = to_stream("chat", whole(said, choice={name: CHOICE[name]}))
        assert joined(*stream)["choices"][0][name] == CHOICE[name]


@pytest.mark.parametrize("name", MESSAGE)
def test_a_known_field_of_a_message_goes_over_both_ways(name):
    payloads = [chunk({"role": "assistant", name: MESSAGE[name]}), chunk({}, "stop")]
    assert message(*payloads)[name] == MESSAGE[name]
    assert converts("chat", payloads[0])
    stream = to_stream("chat", whole({"role": "assistant", name: MESSAGE[name]}))
    assert message(*stream)[name] == MESSAGE[name]


@pytest.mark.parametrize(
    "top", [{"obfuscation": "xYz"}, {"p": "abc"}, {"lastOne": True}, {"metadata": {"a": "b"}}, {"whatever": None}]
)
def test_padding_is_dropped(top):
    assert joined(chunk({"content": "Hi"}, "stop", **top)).keys() == {"id", "object", "created", "model", "choices"}
    assert not any(top.keys() & payload.keys() for payload in told(whole(**top)))


@pytest.mark.parametrize("empty", [None, "", [], {}])
def test_what_is_empty_is_dropped_wherever_it_stands(empty):
    plain = joined(chunk({"content": "Hi"}, "stop"))
    odd = {"odd": empty}
    assert joined(chunk({"content": "Hi", **odd}, "stop", choice=odd, **odd)) == plain
    assert joined(chunk({"content": "Hi", "annotations": empty, "function_call": empty}, "stop")) == plain
    assert told(whole({"content": "Hi", **odd}, choice=odd, **odd)) == told(whole({"content": "Hi"}))
    for name in ("refusal", "tool_calls", "audio"):
        assert joined(chunk({"content": "Hi", name: empty or None}, "stop")) == plain
    assert message(chunk({"content": "Hi"}), chunk({"content": empty}, "stop"))["content"] == "Hi"


@pytest.mark.parametrize("part", [{"prefix": False}, {"channel": "analysis"}, {"token_id": 7}])
def test_what_says_nothing_of_a_message_is_dropped(part):
    assert message(chunk({"content": "Hi", **part}, "stop")) == {"role": "assistant", "content": "Hi"}
    assert told(whole({"content": "Hi", **part})) == told(whole({"content": "Hi"}))


PARTS = [
    {"content": [{"type": "text", "text": "Hi"}]},
    {"content": {"text": "Hi"}},
    {"content": 7},
    {"thinking_blocks": [{"thinking": "hm"}]},
    {"audio": {"id": "a", "data": "UklG"}},
    {"prefix": True},
    {"channel": "final"},
    {"extra_content": {"google": {}, "a": 1}},
    {"whatever": 0},
    {"whatever": False},
    {"tool_calls": {"index": 0}},
    {"tool_calls": [7]},
    {"tool_calls": [call(index=0, arguments={"a": 1})]},
    {"tool_calls": [call(index=0, whatever=1)]},
    {"tool_calls": [{"index": 0, "id": "t1", "type": "custom", "custom": {"name": "f", "input": "x"}}]},
    {"tool_calls": [{"index": 0, "id": "t1", "function": {"name": "f", "arguments": "", "whatever": 1}}]},
    {"tool_calls": [{"index": 0, "id": "t1", "function": "f"}]},
    {"tool_calls": [{"index": 0, "id": 7, "function": {"name": "f"}}]},
    {"function_call": {"name": "f", "arguments": {"a": 1}}},
]


def test_blocks_of_thoughts_go_over_where_they_come_whole():
    blocks = {"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "hm", "signature": "c2ln"}]}
    assert message(chunk(blocks), chunk({"content": "Hi"}, "stop"))["reasoning_details"] == blocks["reasoning_details"]
    assert told(whole({"content": "Hi", **blocks}))[0]["choices"][0]["delta"].items() >= blocks.items()
    assert joined(chunk(blocks), chunk(blocks), chunk({"content": "Hi"}, "stop")) is None
    assert not converts("chat", chunk(blocks))


@pytest.mark.parametrize("part", PARTS, ids=json.dumps)
def test_what_is_not_in_the_table_of_messages_declines(part):
    assert joined(chunk(part), chunk({}, "stop")) is None
    assert not converts("chat", chunk(part))
    assert told(whole(part)) is None


@pytest.mark.parametrize(
    "choice",
    [
        {"whatever": 1},
        {"token_ids": [1]},
        {"content_filter_offsets": {"start_offset": 1}},
        {"logprobs": {"tokens": ["a"]}},
        {"logprobs": {"content": "a"}},
        {"logprobs": [1]},
        {"index": "0"},
        {"index": -1},
        {"index": True},
        {"text": "else"},
        {"error": {"message": "m"}},
    ],
    ids=json.dumps,
)
def test_what_is_not_in_the_table_of_choices_declines(choice):
    assert joined(chunk({"content": "Hi"}, "stop", choice=choice)) is None
    assert not converts("chat", chunk({"content": "Hi"}, "stop", choice=choice))
    assert told(whole({"content": "Hi"}, choice=choice)) is None


@pytest.mark.parametrize(
    "top",
    [
        {"whatever": 1},
        {"prompt_logprobs": [None, {}]},
        {"stats": {"a": 1}},
        {"warnings": ["w"]},
        {"x_groq": {"id": "r", "debug": {"a": 1}}},
        {"object": "chat.reasoning"},
        {"object": 7},
        {"choices": {"index": 0}},
        {"choices": [7]},
        {"error": {"message": "m"}},
    ],
    ids=json.dumps,
)
def test_what_is_not_in_the_table_of_the_top_declines(top):
    assert joined(chunk({"content": "Hi"}, "stop"), chunk({}, **top)) is None
    assert not converts("chat", chunk({}, **top))
    assert told(whole(**top)) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"a"',
        b"\xff",
        b"[" * 100_000,
        b'{"error":{"message":"m"}}',
        b'{"detail":"m"}',
        b'{"object":"error","message":"m"}',
    ],
)
def test_what_is_no_chunk_declines(payload):
    assert joined(chunk({"content": "Hi"}, "stop"), payload) is None
    assert not converts("chat", payload)
    assert told(payload) is None


@pytest.mark.parametrize("payload", [b"{}", b'{"choices":[]}', b'{"choices":null,"usage":{"total_tokens":1}}'])
def test_an_answer_without_a_choice_declines(payload):
    assert joined(payload) is None
    assert told(payload) is None
    assert converts("chat", payload)


def test_an_answer_that_never_finished_goes_over_unfinished():
    assert joined(chunk({"content": "Hi"}))["choices"][0]["finish_reason"] is None
    assert told(whole(finish=None))[-1]["choices"][0]["finish_reason"] is None


def test_the_first_name_that_is_not_empty_counts():
    first = dump(
        {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": [{"a": 1}]}
    )
    body = joined(first, chunk({"content": "Hi"}), chunk({}, "stop", id="c2", created=8))
    assert (body["id"], body["created"], body["model"]) == ("c1", 7, "m")
    assert body["prompt_filter_results"] == [{"a": 1}]


def test_the_last_usage_counts_wherever_it_stands():
    grown = {**USAGE, "completion_tokens": 9}
    assert joined(chunk({"content": "Hi"}, usage=USAGE), chunk({}, "stop", usage=grown))["usage"] == grown
    assert joined(chunk({"content": "Hi"}, "stop", choice={"usage": USAGE}))["usage"] == USAGE
    assert joined(chunk({"content": "Hi"}, "stop", x_groq={"id": "r", "usage": USAGE}))["usage"] == USAGE
    assert joined(chunk({"content": "Hi"}, "stop", x_groq={"usage": grown}, usage=USAGE))["usage"] == USAGE


def test_choices_are_parted_and_in_order():
    payloads = [chunk({"content": text}, "stop", choice={"index": index}) for index, text in ((1, "b"), (0, "a"))]
    assert [choice["message"]["content"] for choice in joined(*payloads)["choices"]] == ["a", "b"]
    body = joined(*payloads)
    again = joined(*to_stream("chat", dump(body)))
    assert again == body


def test_a_choice_that_is_there_twice_in_a_whole_reply_declines():
    choice = {"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}
    assert told(dump({**FRAME, "choices": [choice, choice]})) is None
    assert told(dump({**FRAME, "choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]})) is None


def test_content_is_null_only_where_nothing_was_said():
    calls = [call(index=0)]
    assert message(chunk({"role": "assistant", "content": None, "tool_calls": calls}))["content"] is None
    assert message(chunk({"role": "assistant", "content": "", "tool_calls": calls}))["content"] == ""
    assert told(whole({"content": None, "tool_calls": [call()]}))[0]["choices"][0]["delta"]["content"] is None


def test_calls_are_joined_by_index():
    payloads = [
        chunk({"tool_calls": [call("t1", "f", "", index=0)]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]}),
        chunk(
            {
                "tool_calls": [
                    {"index": 1, **call("t2", "g", "")},
                    {"index": 0, "id": "", "function": {"arguments": "1}"}},
                ]
            }
        ),
        chunk(
            {"tool_calls": [{"index": 1, "id": "t2", "type": "function", "function": {"name": "g", "arguments": "{}"}}]}
        ),
        chunk({}, "tool_calls"),
    ]
    assert message(*payloads)["tool_calls"] == [call("t1", "f", '{"a":1}'), call("t2", "g", "{}")]


@pytest.mark.parametrize("index", [{"index": 0}, {}])
def test_whole_calls_that_share_an_index_are_parted_by_their_ids(index):
    one, two = call("t1", arguments='{"city":"A"}', **index), call("t2", arguments='{"city":"B"}', **index)
    for payloads in ([chunk({"tool_calls": [one]}), chunk({"tool_calls": [two]})], [chunk({"tool_calls": [one, two]})]):
        calls = message(*payloads)["tool_calls"]
        assert [made["function"]["arguments"] for made in calls] == ['{"city":"A"}', '{"city":"B"}']
        assert all("index" not in made for made in calls)


@pytest.mark.parametrize(
    "second",
    [
        [call("t1", arguments='{"a":', index=0), call("t2", index=0)],
        [call("t1", index=0), {"index": 0, "id": "t2", "function": {"arguments": "{}"}}],
        [call("t1", index=0), call("t2", index=0), {"index": 0, "function": {"arguments": "x"}}],
        [call("t1"), {"function": {"arguments": "x"}}],
        [call("t1", "f", index=0), call("t1", "g", index=0)],
        [call("", index=0)],
        [{"index": 0, "function": {"name": "f", "arguments": "{}"}}],
    ],
    ids=json.dumps,
)
def test_calls_that_could_be_read_in_two_ways_decline(second):
    assert joined(*(chunk({"tool_calls": [item]}) for item in second), chunk({}, "tool_calls")) is None


def test_whole_calls_are_numbered_by_their_place():
    calls = [call("t1", arguments="not JSON", index=0), call("t2", index=0, extra_content={"google": {"s": "c2ln"}})]
    stream = told(whole({"content": None, "tool_calls": calls}, "tool_calls"))
    assert stream[1]["choices"][0]["delta"]["tool_calls"] == [{**made, "index": at} for at, made in enumerate(calls)]


def test_a_message_beside_deltas_may_only_repeat_them():
    def both(piece, so_far, finish=None):
        return chunk(
            {"role": "assistant", "content": piece},
            finish,
            choice={"message": {"role": "assistant", "content": so_far}},
        )

    payloads = [both("One", "One"), both(" two", "One two"), both("", "One two", "stop")]
    assert message(*payloads)["content"] == "One two"
    assert all(converts("chat", payload) for payload in payloads)
    assert joined(both("One", "One"), both(" two", " two")) is None
    calling = {"message": {"content": "One", "tool_calls": [call()]}}
    assert joined(chunk({"content": "One"}, choice=calling)) is None


def test_a_message_behind_deltas_may_only_repeat_them():
    last = {"index": 0, "message": {"role": "assistant", "content": "One two"}, "finish_reason": "stop"}
    last = dump({**FRAME, "object": "chat.completion", "choices": [last]})
    assert message(chunk({"content": "One"}), chunk({"content": " two"}), last)["content"] == "One two"
    assert joined(chunk({"content": "One"}), last) is None
    assert converts("chat", last)


def test_a_whole_reply_as_the_one_event_is_that_reply():
    said = {"role": "assistant", "content": "Hi", "tool_calls": [call("t1"), call("t2")]}
    assert message(whole(said)) == said


def test_text_beside_a_delta_may_only_repeat_it():
    assert message(chunk({"content": "Hi"}, "stop", choice={"text": "Hi"}))["content"] == "Hi"


def test_filter_results_that_differ_decline():
    safe, not_safe = ({"content_filter_results": {"hate": {"filtered": value}}} for value in (False, True))
    nothing = {"content_filter_results": {}}
    payloads = [chunk({"content": "a"}, choice=one) for one in (nothing, safe, nothing, safe)]
    assert joined(*payloads)["choices"][0]["content_filter_results"] == safe["content_filter_results"]
    assert joined(*payloads, chunk({"content": "b"}, choice=not_safe)) is None


def test_lists_that_begin_again_decline():
    one, two = {"url": "a"}, {"url": "b"}
    payloads = [chunk({"content": "a", "annotations": [one]}), chunk({"annotations": [two]})]
    assert message(*payloads)["annotations"] == [one, two]
    assert joined(*payloads, chunk({"annotations": [one, two]})) is None


def test_logprobs_are_joined_and_stand_beside_their_text():
    payloads = [chunk({"content": text}, choice={"logprobs": {"content": [TOKEN], "refusal": None}}) for text in "ab"]
    body = joined(*payloads, chunk({}, "stop", choice={"logprobs": None}))
    assert body["choices"][0]["logprobs"] == {"content": [TOKEN, TOKEN], "refusal": None}
    long = dump({**body, "choices": [{**body["choices"][0], "message": {"content": "word " * PIECE}}]})
    spoken = [piece["choices"][0] for piece in told(long) if piece["choices"][0]["delta"].get("content")]
    assert [choice["logprobs"] for choice in spoken] == [body["choices"][0]["logprobs"]]


def test_text_completions_go_over_both_ways():
    frame = {**FRAME, "object": "text_completion"}
    logprobs = {"tokens": ["a"], "token_logprobs": [-0.5], "top_logprobs": [None], "text_offset": [0]}
    payloads = [
        dump({**frame, "choices": [{"index": 0, "text": text, "logprobs": logprobs, "finish_reason": None}]})
        for text in "ab"
    ] + [
        dump(
            {
                **frame,
                "choices": [{"index": 0, "text": "", "finish_reason": "length", "stop_reason": "x"}],
                "usage": USAGE,
            }
        )
    ]
    body = joined(*payloads, endpoint="text")
    assert body["object"] == "text_completion"
    assert body["usage"] == USAGE
    assert body["choices"] == [
        {
            "text": "ab",
            "index": 0,
            "finish_reason": "length",
            "stop_reason": "x",
            "logprobs": {name: values * 2 for name, values in logprobs.items()},
        }
    ]
    assert joined(*to_stream("text", dump(body)), endpoint="text") == body


def test_a_delta_in_a_text_completion_declines():
    payload = dump({"object": "text_completion", "choices": [{"text": "a", "delta": {"content": "a"}}]})
    assert joined(payload, endpoint="text") is None
    assert not converts("text", payload)


def test_a_long_text_comes_in_pieces_of_whole_words():
    for text in ("word " * PIECE, "x" * 3 * PIECE, " " * PIECE + "x" * PIECE, "日本語" * PIECE, "a"):
        cut = list(pieces(text))
        assert "".join(cut) == text
        assert max(map(len, cut)) <= PIECE
    assert {piece[-1] for piece in pieces("words " * PIECE)} == {" "}
    assert list(pieces("")) == []


def test_a_lone_surrogate_stays_what_it_is():
    half = rb'{"choices":[{"delta":{"content":"\ud83d"},"finish_reason":null}]}'
    rest = rb'{"choices":[{"delta":{"content":"\ude00"},"finish_reason":"stop"}]}'
    assert message(half, rest)["content"] == "\N{GRINNING FACE}"
    assert message(*to_stream("chat", to_whole("chat", [half])))["content"] == "\ud83d"
