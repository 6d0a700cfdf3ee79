"""Converse's replies and events as OpenAI's, row by row of docs/bedrock.md. botocore's decoder reads every event."""

import json
from base64 import b64encode

import pytest

from subsecond.errors import UpstreamError
from subsecond.routing.failures import worth_another
from subsecond.streaming.convert import to_stream, to_whole
from subsecond.streaming.disguise import error_in_event
from subsecond.upstreams.converse.answer import Frame, usage, whole_reply
from subsecond.upstreams.converse.stream import ConverseSplitter
from subsecond_local.bedrock.frames import exception
from subsecond_local.bedrock.simulated_converse import whole
from tests.support.bedrock import SERVICE, framed

FRAME = Frame("chat", "m", "r-1", 7)
COUNTS = {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}
SEALED = b64encode(b"sealed").decode()


def said(at, **delta):
    return "contentBlockDelta", {"contentBlockIndex": at, "delta": delta}


def begun(at, name, identity="c1"):
    return "contentBlockStart", {"contentBlockIndex": at, "start": {"toolUse": {"toolUseId": identity, "name": name}}}


def stop(reason="end_turn"):
    return "messageStop", {"stopReason": reason}


START = ("messageStart", {"role": "assistant"})
END = ("metadata", {"usage": COUNTS, "metrics": {"latencyMs": 1}})
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
THOUGHTS = [
    {"type": "reasoning.text", "text": "Hm, yes.", "signature": "c2ln", "format": "bedrock-converse-v1", "index": 0},
    {"type": "reasoning.encrypted", "data": SEALED, "format": "bedrock-converse-v1", "index": 1},
]

# Events, and the message and finish reason that they are.
ANSWERS = {
    "text": ([said(0, text="Hel"), said(0, text="lo."), stop()], {"content": "Hello."}, "stop"),
    "a stop sequence": ([said(0, text="Hel"), stop("stop_sequence")], {"content": "Hel"}, "stop"),
    "the limit": ([said(0, text="Hel"), stop("max_tokens")], {"content": "Hel"}, "length"),
    "the window": ([said(0, text="H"), stop("model_context_window_exceeded")], {"content": "H"}, "length"),
    "a guardrail": ([said(0, text="No."), stop("guardrail_intervened")], {"content": "No."}, "content_filter"),
    "a filter": ([said(0, text="No."), stop("content_filtered")], {"content": "No."}, "content_filter"),
    "a reason to come": ([said(0, text="No."), stop("a_new_one")], {"content": "No."}, "a_new_one"),
    "a call behind text": (
        [said(0, text="So: "), begun(1, "f"), said(1, toolUse={"input": '{"a"'}), said(1, toolUse={"input": ":1}"}),
         stop("tool_use")],
        {"content": "So: ", "tool_calls": [CALL]},
        "tool_calls",
    ),
    "parallel calls": (
        [begun(0, "f"), said(0, toolUse={"input": '{"a":1}'}), begun(1, "g", "c2"), said(1, toolUse={"input": "{}"}),
         stop("tool_use")],
        {"content": None, "tool_calls": [
            CALL, {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}}]},
        "tool_calls",
    ),
    "thoughts, signed": (
        [said(0, reasoningContent={"text": "Hm, "}), said(0, reasoningContent={"text": "yes."}),
         said(0, reasoningContent={"signature": "c2ln"}), said(1, text="Yes."), stop()],
        {"content": "Yes.", "reasoning_content": "Hm, yes.", "reasoning_details": THOUGHTS[:1]},
        "stop",
    ),
    "the answer in the schema's tool": (
        [begun(0, "schema"), said(0, toolUse={"input": '{"n"'}), said(0, toolUse={"input": ":1}"}), stop("tool_use")],
        {"content": '{"n":1}'},
        "stop",
    ),
}  # fmt: skip


def streamed(data, frame=FRAME, cut=0):
    splitter = ConverseSplitter(frame)
    pieces = [data[at : at + cut] for at in range(0, len(data), cut)] if cut else [data]
    chunks = [chunk.data for piece in pieces for chunk in splitter.feed(piece)]
    return chunks + [chunk.data for chunk in splitter.finish()]


def message(expected):
    return {"role": "assistant", "content": None, **expected}


@pytest.mark.parametrize(("events", "expected", "finish"), ANSWERS.values(), ids=ANSWERS)
def test_a_whole_reply(events, expected, finish):
    frame = Frame("chat", "m", "r-1", 7, "schema")
    body = json.dumps(whole([START, *events, END])).encode()
    found = json.loads(whole_reply(frame, body))
    assert found == {
        "id": "chatcmpl-r-1",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": [{"index": 0, "message": message(expected), "logprobs": None, "finish_reason": finish}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }


@pytest.mark.parametrize("cut", [0, 1, 7])
@pytest.mark.parametrize(("events", "expected", "finish"), ANSWERS.values(), ids=ANSWERS)
def test_a_stream_says_the_same_however_it_is_cut(events, expected, finish, cut):
    frame = Frame("chat", "m", "r-1", 7, "schema")
    *chunks, done = streamed(framed(START, *events, END), frame, cut)
    assert done == b"[DONE]"
    found = json.loads(to_whole("chat", chunks))
    assert found["choices"] == [
        {"index": 0, "message": {**message(expected), "content": expected["content"] or ""},
         "logprobs": None, "finish_reason": finish}
    ]  # fmt: skip
    assert found["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert json.loads(chunks[-1])["choices"] == []  # usage alone, as OpenAI sends it


@pytest.mark.parametrize("events", [row[0] for row in ANSWERS.values()], ids=ANSWERS)
def test_what_is_cached_whole_can_be_streamed(events):
    body = whole_reply(Frame("chat", "m", "r-1", 7, "schema"), json.dumps(whole([START, *events, END])).encode())
    assert json.loads(to_whole("chat", to_stream("chat", body)))["choices"] == json.loads(body)["choices"]


def test_sealed_thoughts_are_joined_and_all_come_in_one_piece():
    events = [
        said(0, reasoningContent={"text": "Hm, yes."}),
        said(0, reasoningContent={"signature": "c2ln"}),
        said(1, reasoningContent={"redactedContent": b64encode(b"sea").decode()}),
        said(1, reasoningContent={"redactedContent": b64encode(b"led").decode()}),
        said(2, text="Yes."),
        stop(),
    ]
    chunks = [json.loads(chunk) for chunk in streamed(framed(START, *events, END))[:-2]]
    details = [d for c in chunks if (d := c["choices"][0]["delta"].get("reasoning_details"))]
    assert details == [THOUGHTS]


def test_no_delta_waits_for_the_next():
    splitter = ConverseSplitter(FRAME)
    for event, delta in ((START, {"role": "assistant", "content": ""}), (said(0, text="a"), {"content": "a"})):
        (chunk,) = splitter.feed(framed(event))
        assert json.loads(chunk.data)["choices"][0]["delta"] == delta


def test_text_completions():
    frame = Frame("text", "m", "r-1", 7)
    events = [START, said(0, text="Hel"), said(0, text="lo."), stop(), END]
    found = json.loads(to_whole("text", streamed(framed(*events), frame)[:-1]))
    assert found["choices"] == [{"index": 0, "text": "Hello.", "finish_reason": "stop", "logprobs": None}]
    assert json.loads(whole_reply(frame, json.dumps(whole(events)).encode()))["choices"] == found["choices"]


def test_the_prefix_cache_counts_among_the_prompt():
    counted = {**COUNTS, "cacheReadInputTokens": 10, "cacheWriteInputTokens": 4}
    assert usage(counted) == {
        "prompt_tokens": 17,
        "completion_tokens": 2,
        "total_tokens": 19,
        "prompt_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 4},
    }


def test_an_unknown_kind_of_event_says_nothing():
    splitter = ConverseSplitter(FRAME)
    assert splitter.feed(framed(("contentBlockStop", {"contentBlockIndex": 0}))) == []


ERRORS = sorted(
    name for name in SERVICE.operation_model("ConverseStream").output_shape.members["stream"].members
    if name.endswith("Exception")
)  # fmt: skip


@pytest.mark.parametrize("kind", ERRORS)
def test_an_exception_is_a_status_first_and_an_event_later(kind):
    data = exception(kind, json.dumps({"message": "Sorry."}).encode())
    with pytest.raises(UpstreamError) as caught:
        streamed(data)
    assert caught.value.status in (400, 429, 500, 502, 503)
    *_, error, done = streamed(framed(START, said(0, text="a")) + data)
    assert json.loads(error)["error"] == caught.value.body()["error"]
    assert json.loads(error)["error"]["message"] == "Sorry."
    # Of the event alone, before any text, the router can still tell whether another region may do better.
    told = error_in_event(error)
    assert told.status == caught.value.status or min(told.status, caught.value.status) >= 500
    assert worth_another(told) == worth_another(caught.value)
    assert done == b"[DONE]"


def test_a_malformed_answer_is_an_error():
    with pytest.raises(UpstreamError):
        whole_reply(FRAME, json.dumps(whole([START, stop("malformed_tool_use"), END])).encode())
    *_, error, done = streamed(framed(START, stop("malformed_model_output")))
    assert json.loads(error)["error"]["code"] == "malformed_model_output"
    assert done == b"[DONE]"


BODIES = [b"", b"[]", b'{"output":{}}', b'{"output":{"message":{"content":[{"image":{}}]}},"stopReason":"end_turn"}']


@pytest.mark.parametrize("body", BODIES)
def test_what_is_no_answer_of_converse_is_an_error(body):
    with pytest.raises(UpstreamError):
        whole_reply(FRAME, body)


DATA = framed(START, said(0, text="Hello."), stop(), END)


@pytest.mark.parametrize("at", range(0, len(framed(START)) + 60, 5))
def test_a_damaged_byte_is_found_by_its_checksum(at):
    damaged = DATA[:at] + bytes([DATA[at] ^ 1]) + DATA[at + 1 :]
    with pytest.raises(ValueError, match=r"damaged|ended"):
        streamed(damaged)


def test_an_end_before_the_model_s_is_none():
    splitter = ConverseSplitter(FRAME)
    splitter.feed(framed(START, said(0, text="Hel")))
    with pytest.raises(ValueError, match="ended"):
        splitter.finish()


def test_a_message_that_is_too_long_is_refused_before_it_comes():
    with pytest.raises(ValueError, match="damaged"):
        streamed(bytes.fromhex("7fffffff00000010deadbeef"))
