from __future__ import annotations

import base64
import json
import math
import struct
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.config import Settings
from subsecond.errors import DeadlineExceeded, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from subsecond.model import Call
from subsecond_local.simulator.adapter import build
from subsecond_local.simulator.dialects import DIALECTS
from subsecond_local.simulator.engine import Simulation
from subsecond_local.simulator.names import header_faults, profile
from subsecond_local.simulator.paced import whole_body

FAST = "sim-t0-i0-n8"
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "unit": {"enum": ["C", "F"]}},
        },
    },
}


def chat(text="hello", model=FAST, **more):
    return {"model": model, "messages": [{"role": "user", "content": text}]} | more


def whole(body, endpoint="chat", seed=0):
    return json.loads(whole_body(Simulation(seed).answer(endpoint, body)))


def text_of(body, endpoint="chat", seed=0):
    choice = whole(body, endpoint, seed)["choices"][0]
    return choice["text"] if endpoint == "text" else choice["message"]["content"]


def payloads(body, endpoint="chat", *, usage=True):
    answer = Simulation().answer(endpoint, body)
    return [json.loads(payload.data) for step in DIALECTS[endpoint].steps(answer, usage=usage) for payload in step]


async def collected(upstream, call):
    """What came, and the error that ended it."""
    found = []
    try:
        stream = await upstream.ask(call)
        while chunk := await stream.next():
            found.append(chunk.data)
    except UpstreamError as error:
        return found, error
    return found, None


def run(model, settings=None, deadline=None):
    call = Call("chat", model, chat(model="the adapter takes the call's model"), form="stream", deadline=deadline)
    return collected(build(settings or Settings()), call)


async def chunks_of(stream):
    while chunk := await stream.next():
        yield chunk


def contents(found):
    chunks = [json.loads(payload) for payload in found]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    return [delta["content"] for delta in deltas if delta.get("content")]


def test_a_name_says_the_timings_in_milliseconds():
    model = profile("sim-t50-i5-n32-j20-d64-a")
    assert (model.first, model.gap, model.tokens, model.jitter, model.dimensions) == (0.05, 0.005, 32, 0.2, 64)
    assert model.faults == {}


def test_a_name_carries_faults_and_other_words_are_labels():
    model = profile("sim-t5-i1-n8-fstatus429-fafter0-fonce-fast-f-jane-fstatusx")
    assert model.faults == {"status": 429, "after": 0, "once": 1}


@pytest.mark.parametrize(
    "name", ["gpt-4o", "sim", "sim-t1-i1", "sim-t1-i1-n1-", "sim-t1-i1-n1 ", "sim-t\u0661-i1-n1", ""]
)
def test_an_unknown_name_is_a_404(name):
    with pytest.raises(UpstreamError) as caught:
        profile(name)
    assert caught.value.status == 404
    error = caught.value.body()["error"]
    assert (error["code"], error["type"], error["param"]) == ("model_not_found", "invalid_request_error", "model")


@pytest.mark.parametrize(
    ("asked", "word"),
    [("Could I have 2 cards", "yes"), ("Can I get 3 cards?", "no"), ("Can I not get 2 cards?", "no")],
)
def test_a_judge_says_yes_unless_numbers_or_negations_differ(asked, word):
    told = json.dumps({"stored_question": "Can I get 2 cards?", "new_question": asked})
    body = {"model": "sim-t0-i0-n1-fjudge", "messages": [{"role": "user", "content": told}]}
    found = whole(body)
    assert found["choices"][0]["message"]["content"] == word


def test_the_header_says_the_same_faults():
    assert header_faults("truncate=3, once") == {"truncate": 3, "once": 1}
    assert header_faults(" status429 ,after=0,") == {"status": 429, "after": 0}
    with pytest.raises(UpstreamError, match="unknown fault"):
        header_faults("trunkate=3")


@given(st.text(), st.text(), st.integers(0, 9))
def test_the_same_question_has_the_same_answer_and_another_one_has_another(one, other, seed):
    assert text_of(chat(one), seed=seed) == text_of(chat(one), seed=seed)
    if one != other:
        assert text_of(chat(one), seed=seed) != text_of(chat(other), seed=seed)


@pytest.mark.parametrize(
    "change",
    [{"temperature": 0.5}, {"top_p": 0.5}, {"seed": 1}, {"unknown": 1}, {"model": f"{FAST}-a"}, {"max_tokens": 9}],
)
def test_every_field_changes_the_answer(change):
    assert text_of(chat() | change) != text_of(chat())


def test_another_seed_gives_another_answer_and_streaming_does_not():
    assert text_of(chat(), seed=1) != text_of(chat())
    assert text_of(chat(stream=True, stream_options={"include_usage": True})) == text_of(chat())


@pytest.mark.parametrize("endpoint", ["chat", "text"])
@given(
    tokens=st.integers(0, 40), count=st.integers(1, 3), usage=st.booleans(), faults=st.sampled_from(["", "-funicode"])
)
def test_the_stream_says_what_the_whole_answer_says(endpoint, tokens, count, usage, faults):
    body = chat(model=f"sim-t0-i0-n{tokens}{faults}", n=count) | {"prompt": "hello"}
    chunks = payloads(body, endpoint, usage=usage)
    expected = whole(body, endpoint)
    assert len({chunk["id"] for chunk in chunks}) == 1
    said = dict.fromkeys(range(count), "")
    finished = []
    for chunk in chunks:
        for choice in chunk["choices"]:
            piece = choice["text"] if endpoint == "text" else choice["delta"].get("content", "")
            said[choice["index"]] += piece
            finished += [choice["finish_reason"]] if choice["finish_reason"] else []
    key = (lambda choice: choice["text"]) if endpoint == "text" else (lambda choice: choice["message"]["content"])
    assert said == {choice["index"]: key(choice) for choice in expected["choices"]}
    assert finished == ["stop"] * count
    assert len(set(said.values())) == (count if tokens > 3 else len(set(said.values())))
    last = chunks[-1]
    assert (last["choices"] == [] and last["usage"] == expected["usage"]) if usage else "usage" not in last
    assert expected["usage"]["completion_tokens"] == tokens * count


def test_a_chat_stream_begins_with_the_role_and_has_one_delta_for_each_token():
    chunks = payloads(chat())
    assert chunks[0]["object"] == "chat.completion.chunk"
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert all(set(chunk["choices"][0]["delta"]) == {"content"} for chunk in chunks[1:9])
    assert chunks[9]["choices"][0]["delta"] == {}
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


def test_a_text_stream_has_text_chunks():
    chunks = payloads({"model": FAST, "prompt": "hello"}, "text", usage=False)
    assert len(chunks) == 9
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}


def test_each_prompt_of_a_list_gets_the_answer_that_it_gets_alone():
    body = {"model": FAST, "prompt": ["one", "two", "one"]}
    texts = [choice["text"] for choice in whole(body, "text")["choices"]]
    assert texts == [text_of(body | {"prompt": prompt}, "text") for prompt in ("one", "two", "one")]
    assert len(whole(body | {"prompt": [[1, 2], [3]]}, "text")["choices"]) == 2
    assert len(whole(body | {"prompt": [1, 2]}, "text")["choices"]) == 1


def test_a_list_can_be_refused_poisoned_cut_short_or_misnumbered():
    body = {"prompt": ["one", "two", "poison"]}
    for fault in ("nolist", "poison"):
        with pytest.raises(UpstreamError) as caught:
            whole(body | {"model": f"{FAST}-f{fault}"}, "text")
        assert (caught.value.status, caught.value.body()["error"]["param"]) == (400, "prompt")
        assert text_of({"model": f"{FAST}-f{fault}", "prompt": "one"}, "text")
    assert len(whole(body | {"model": f"{FAST}-fshort2"}, "text")["choices"]) == 1
    for chunk in payloads(body | {"model": f"{FAST}-fsameindex"}, "text"):
        assert {choice["index"] for choice in chunk["choices"]} <= {0}


@pytest.mark.parametrize(("limit", "finish", "tokens"), [(3, "length", 3), (8, "stop", 8), (100, "stop", 8)])
@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_limit_cuts_the_answer(field, limit, finish, tokens):
    found = whole(chat(**{field: limit}))
    assert found["choices"][0]["finish_reason"] == finish
    assert found["usage"]["completion_tokens"] == tokens


def test_a_filtered_answer_says_so():
    assert whole(chat(model=f"{FAST}-ffilter"))["choices"][0]["finish_reason"] == "content_filter"
    found = whole(chat(model=f"{FAST}-ffilter2"))
    assert found["choices"][0]["finish_reason"] == "content_filter"
    assert found["usage"]["completion_tokens"] == 2


def test_an_empty_answer_is_an_answer():
    chunks = payloads(chat(model=f"{FAST}-fempty"))
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None, "stop"]
    assert text_of(chat(model=f"{FAST}-fempty")) == ""


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "weather"}}])
def test_a_demanded_tool_is_called_alike_whole_and_streamed(choice):
    body = chat(tools=[TOOL], tool_choice=choice)
    message = whole(body)["choices"][0]
    call = message["message"]["tool_calls"][0]
    assert message["finish_reason"] == "tool_calls"
    assert message["message"]["content"] is None
    assert call["function"]["name"] == "weather"
    arguments = json.loads(call["function"]["arguments"])
    assert isinstance(arguments["city"], str)
    assert isinstance(arguments["days"], int)
    assert arguments["unit"] == "C"
    first, *rest = [chunk["choices"][0] for chunk in payloads(body)[:-1]]
    opened = first["delta"]["tool_calls"][0]
    assert (opened["index"], opened["type"], opened["function"]["name"]) == (0, "function", "weather")
    pieces = [choice["delta"]["tool_calls"][0]["function"]["arguments"] for choice in rest[:-1]]
    assert "".join(pieces) == call["function"]["arguments"]
    assert len(pieces) > 1
    assert rest[-1]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("choice", [None, "auto", "none"])
def test_a_tool_that_is_not_demanded_is_not_called(choice):
    assert text_of(chat(tools=[TOOL], tool_choice=choice))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (chat() | {"model": None}, "model"),
        (chat() | {"model": 5}, "model"),
        (chat() | {"messages": []}, "messages"),
        (chat() | {"messages": "hi"}, "messages"),
        (chat() | {"messages": ["hi"]}, "messages[0]"),
        (chat() | {"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        (chat(temperature="hot"), "temperature"),
        (chat(max_tokens=True), "max_tokens"),
        (chat(max_tokens=0), "max_tokens"),
        (chat(n=0), "n"),
        (chat(n="2"), "n"),
        (chat(tools={}), "tools"),
        (chat(tool_choice="required"), "tool_choice"),
        (chat(tools=[TOOL, 5], tool_choice={"function": {"name": "other"}}), "tool_choice"),
    ],
)
def test_a_bad_request_is_a_400_that_names_the_field(body, param):
    with pytest.raises(UpstreamError) as caught:
        Simulation().answer("chat", body)
    assert (caught.value.status, caught.value.body()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("prompt", [None, [], [[]], 5, [1, "a"], {}])
def test_a_bad_prompt_is_a_400(prompt):
    with pytest.raises(UpstreamError, match="prompt"):
        Simulation().answer("text", {"model": FAST, "prompt": prompt})


def test_half_a_surrogate_pair_is_answered_as_the_escape_that_it_came_in_as():
    tool = {"type": "function", "function": {"name": "\ud800"}}
    found = whole(chat("\ud800", tools=[tool], tool_choice="required"))
    assert found["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "\ud800"


def test_jitter_is_seeded_and_every_call_draws_anew():
    def times(seed):
        simulation = Simulation(seed)
        return [simulation.answer("chat", chat(model="sim-t50-i5-n32-j20")).times for _ in range(2)]

    first, second = times(1)
    assert [first, second] == times(1)
    assert first != second
    assert list(first) == sorted(first)
    assert times(2) != [first, second]


def test_without_jitter_the_times_are_those_of_the_name():
    assert Simulation().answer("chat", chat(model="sim-t50-i5-n3")).times == pytest.approx((0.05, 0.055, 0.06))


async def test_the_adapter_streams_a_whole_answer_with_usage():
    found, error = await run(FAST)
    assert error is None
    assert len(contents(found)) == 8
    assert json.loads(found[-1])["choices"] == []
    assert {json.loads(payload)["model"] for payload in found} == {FAST}


async def test_a_status_fault_refuses_before_the_first_payload():
    found, error = await run(f"{FAST}-fstatus429-fafter7")
    assert found == []
    assert (error.status, error.retry_after, error.body()["error"]["type"]) == (429, "7", "requests")
    _, error = await run(f"{FAST}-fstatus")
    assert (error.status, error.retry_after, error.body()["error"]["type"]) == (500, None, "server_error")


@pytest.mark.parametrize(("after", "expected"), [(0, 0), (3, 3), (8, 8), (99, 8)])
async def test_a_truncated_stream_is_unreachable_after_so_many_tokens(after, expected):
    found, error = await run(f"{FAST}-ftruncate{after}")
    assert isinstance(error, UpstreamUnreachable)
    assert len(contents(found)) == expected


async def test_an_end_without_done_is_an_end():
    found, error = await run(f"{FAST}-fnodone")
    assert error is None
    assert len(contents(found)) == 8


async def test_an_error_event_is_an_event():
    found, error = await run(f"{FAST}-ferrorevent3")
    assert error is None
    assert json.loads(found.pop())["error"]["code"] == "simulated_error"
    assert len(contents(found)) == 3


@pytest.mark.parametrize("endpoint", ["responses", "messages"])
async def test_an_error_event_is_one_of_its_dialect(endpoint):
    call = Call(endpoint, f"{FAST}-ferrorevent3", chat(input="hello", max_tokens=9), form="stream")
    stream = await build(Settings()).ask(call)
    *_, last = [chunk async for chunk in chunks_of(stream)]
    assert (last.name, json.loads(last.data)["type"]) == (b"error", "error")


async def test_a_malformed_event_arrives_as_it_is():
    found, error = await run(f"{FAST}-fmalformed3")
    assert error is None
    broken = found.pop(4)
    with pytest.raises(json.JSONDecodeError):
        json.loads(broken)
    assert len(contents(found)) == 8


async def test_a_stall_meets_the_time_limits():
    found, error = await run(f"{FAST}-fstall3", Settings(idle_timeout=0.3))
    assert isinstance(error, UpstreamTimeout)
    assert len(contents(found)) == 3
    found, error = await run("sim-t9000-i0-n8", Settings(first_token_timeout=0.02))
    assert isinstance(error, UpstreamTimeout)
    assert found == []
    _, error = await run(f"{FAST}-fstall3", Settings(total_timeout=0.02))
    assert isinstance(error, UpstreamTimeout)


async def test_the_deadline_ends_a_stream():
    _, error = await run(f"{FAST}-fstall3", deadline=monotonic() + 0.02)
    assert isinstance(error, DeadlineExceeded)


async def test_once_fails_the_first_requests_of_a_model_only():
    upstream = build(Settings())

    async def ask(model):
        return (await collected(upstream, Call("chat", model, chat(), form="stream")))[1]

    assert (await ask(f"{FAST}-fstatus503-fonce")).status == 503
    assert await ask(f"{FAST}-fstatus503-fonce") is None
    assert isinstance(await ask(f"{FAST}-ftruncate1-fonce2"), UpstreamUnreachable)
    assert isinstance(await ask(f"{FAST}-ftruncate1-fonce2"), UpstreamUnreachable)
    assert await ask(f"{FAST}-ftruncate1-fonce2") is None


async def test_fetch_serves_the_models():
    reply = await build(Settings()).fetch("/models", None, None)
    assert (reply.status, reply.content_type) == (200, "application/json")
    listed = json.loads(reply.body)
    assert listed["object"] == "list"
    assert all(profile(model["id"]) for model in listed["data"])


async def test_embeddings_are_unit_vectors_and_base64_says_the_same():
    async def ask(**more):
        body = {"model": f"{FAST}-d16", "input": ["one", "two", "one"]} | more
        reply = await build(Settings()).fetch("/embeddings", body, None)
        return json.loads(reply.body)["data"]

    floats = [item["embedding"] for item in await ask()]
    assert [len(vector) for vector in floats] == [16] * 3
    assert all(math.isclose(math.hypot(*vector), 1) for vector in floats)
    assert floats[0] == floats[2] != floats[1]
    packed = [base64.b64decode(item["embedding"]) for item in await ask(encoding_format="base64")]
    assert [struct.unpack("<16f", data) for data in packed] == [
        pytest.approx(tuple(vector), rel=1e-6) for vector in floats
    ]
    assert len((await ask(dimensions=8))[0]["embedding"]) == 8
    assert len(await ask(input="one")) == 1
    assert len(await ask(input=[1, 2, 3])) == 1
    assert len(await ask(input=[[1, 2], [3]])) == 2


@pytest.mark.parametrize("more", [{"dimensions": 10_000}, {"dimensions": "8"}, {"input": ["a"] * 2_049}])
async def test_embeddings_without_bounds_are_refused(more):
    with pytest.raises(UpstreamError) as caught:
        await build(Settings()).fetch("/embeddings", {"model": FAST, "input": "a"} | more, None)
    assert caught.value.status == 400


async def test_fetch_refuses_what_is_not_served():
    with pytest.raises(UpstreamError) as caught:
        await build(Settings()).fetch("/files", None, None)
    assert caught.value.status == 404
    with pytest.raises(UpstreamError) as caught:
        await build(Settings()).fetch("/embeddings", {"model": "ada", "input": "one"}, None)
    assert caught.value.status == 404
