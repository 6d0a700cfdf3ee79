"""Chunks tidied for the client, and joined to the answer that is stored."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.errors import UpstreamError, UpstreamUnreachable
from subsecond.streaming.replay import replay
from subsecond.streaming.transcript import Transcript, dump, least_storable


def chunk(delta=None, finish=None, *, index=0, **top):
    choices = [] if delta is None else [{"index": index, "delta": delta, "finish_reason": finish}]
    frame = {"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m"}
    return json.dumps({**frame, **top, "choices": choices}).encode()


def told(*payloads, endpoint="chat"):
    """The transcript after these payloads, and the chunks that a client would get."""
    transcript = Transcript(endpoint)
    passed = [transcript.add(payload) for payload in payloads]
    chunks = [json.loads(item.data) for item in [*passed, transcript.usage_chunk()] if item]
    return transcript, chunks


def whole(transcript):
    return json.loads(transcript.answer().body)


def test_an_untouched_chunk_is_passed_on_byte_for_byte():
    transcript = Transcript("chat")
    for payload in (chunk({"role": "assistant", "content": "Hel"}), chunk({"content": "lo"}), chunk({}, "stop")):
        assert transcript.add(payload).data is payload


def test_pieces_are_joined():
    transcript, _ = told(
        chunk({"role": "assistant", "content": ""}), chunk({"content": "Hel"}), chunk({"content": "lo"}, "stop")
    )
    answer = transcript.answer()
    assert json.loads(answer.body)["choices"][0]["message"] == {"role": "assistant", "content": "Hello"}
    assert json.loads(answer.body)["object"] == "chat.completion"
    assert (answer.pieces, answer.finish, answer.model) == ((3, 2), "stop", "m")


def test_the_first_delta_gets_a_role_and_all_chunks_one_id():
    _, chunks = told(chunk({"content": "a"}), chunk({"content": "b"}, "stop", id="c2"))
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "a"}
    assert {item["id"] for item in chunks} == {"c1"}


def test_usage_comes_once_last_and_alone():
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    for payloads in (
        [chunk({"content": "a"}, "stop", usage=None), chunk(usage=usage)],
        [chunk({"content": "a"}, "stop", usage=usage)],
    ):
        transcript, chunks = told(*payloads)
        assert ["usage" in item for item in chunks] == [False, True]
        assert chunks[-1]["choices"] == []
        assert chunks[-1]["usage"] == whole(transcript)["usage"] == usage


def test_tool_calls_are_joined_by_index():
    call = {"index": 0, "id": "t1", "type": "function", "function": {"name": "f", "arguments": ""}}
    other = {"index": 1, "id": "t2", "type": "function", "function": {"name": "g", "arguments": "{}"}}
    more = {"index": 0, "id": "t1", "function": {"name": "f", "arguments": '{"a":'}}
    rest = {"index": 0, "function": {"arguments": "1}"}}
    transcript, _ = told(
        *(chunk({"tool_calls": [item]}) for item in (call, other, more, rest)), chunk({}, "tool_calls")
    )
    message = whole(transcript)["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [
        {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "t2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    assert transcript.answer().finish == "tool_calls"


def test_other_strings_and_logprobs_grow_too():
    first = json.loads(chunk({"reasoning_content": "I th", "refusal": None}))
    first["choices"][0]["logprobs"] = {"content": [{"token": "a"}]}
    last = json.loads(chunk({"reasoning_content": "ink", "content": "a"}, "stop"))
    last["choices"][0]["logprobs"] = {"content": [{"token": "b"}]}
    transcript, _ = told(dump(first), dump(last))
    choice = whole(transcript)["choices"][0]
    assert choice["message"]["reasoning_content"] == "I think"
    assert choice["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}]}


def test_an_empty_answer_is_an_answer():
    transcript, _ = told(chunk({"role": "assistant", "content": ""}), chunk({}, "stop"))
    assert whole(transcript)["choices"][0]["message"]["content"] == ""
    assert transcript.answer().finish == "stop"


def test_a_whole_reply_becomes_a_chunk():
    message = {"role": "assistant", "content": "Hi", "tool_calls": [{"id": "t", "type": "function", "function": {}}]}
    reply = {
        "id": "c",
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    transcript, chunks = told(dump(reply))
    assert chunks[0]["object"] == "chat.completion.chunk"
    assert chunks[0]["choices"][0]["delta"]["tool_calls"][0]["index"] == 0
    assert whole(transcript)["choices"][0]["message"] == message


def test_text_completions_are_joined():
    frame = {"id": "c", "object": "text_completion", "model": "m"}
    payloads = [
        dump({**frame, "choices": [{"index": 0, "text": text, "finish_reason": end}]})
        for text, end in (("a", None), ("b", "length"))
    ]
    transcript, _ = told(*payloads, endpoint="text")
    assert whole(transcript)["choices"][0]["text"] == "ab"
    assert transcript.answer().finish == "length"


@pytest.mark.parametrize("payload", [b"{", b"[]", b'"x"', b'{"choices":[1]}', b"[" * 100_000, b"\xff"])
def test_what_is_no_chunk_breaks_the_stream_off(payload):
    with pytest.raises(UpstreamUnreachable):
        Transcript("chat").add(payload)


def test_an_error_in_the_stream_is_the_upstreams_own():
    with pytest.raises(UpstreamError) as caught:
        Transcript("chat").add(b'{"error":{"message":"overloaded","type":"server_error"}}')
    assert caught.value.body()["error"]["message"] == "overloaded"


@pytest.mark.parametrize(
    ("finishes", "least"),
    [
        (["stop"], "stop"),
        (["stop", "length"], "length"),
        (["length", "content_filter"], "content_filter"),
        ([], "unknown"),
        (["stop", None], "unknown"),
    ],
)
def test_the_least_storable_finish_speaks_for_all(finishes, least):
    assert least_storable(finishes) == least


def test_a_line_break_inside_a_payload_cannot_break_the_event():
    transcript = Transcript("chat")
    assert b"\n" not in transcript.add(chunk({"role": "assistant"}).replace(b",", b",\n")).data


texts = st.text(max_size=8)
choices = st.fixed_dictionaries(
    {
        "pieces": st.lists(texts, max_size=6),
        "finish": st.sampled_from(["stop", "length", "tool_calls", "content_filter"]),
        "tools": st.lists(texts, max_size=2),
    }
)


@given(st.lists(choices, min_size=1, max_size=3), st.booleans())
def test_a_replay_joins_to_the_same_answer(made, usage):
    first = Transcript("chat")
    for index, choice in enumerate(made):
        for piece in choice["pieces"]:
            first.add(dump(json.loads(chunk({"content": piece}, index=index))))
        for place, arguments in enumerate(choice["tools"]):
            call = {"index": place, "id": f"t{place}", "function": {"name": "f", "arguments": arguments}}
            first.add(chunk({"tool_calls": [call]}, index=index))
        first.add(chunk({}, choice["finish"], index=index))
    if usage:
        first.add(chunk(usage={"total_tokens": 1}))
    answer = first.answer()
    again = Transcript("chat")
    for told_again in replay(answer):
        again.add(told_again.data)
    assert json.loads(again.answer().body) == json.loads(answer.body)
    assert again.answer().finish == answer.finish
