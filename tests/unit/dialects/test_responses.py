"""What the gateway knows of a request and of an answer in Responses."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.cache.cacheability import may_compare, may_read, may_store
from subsecond.cache.end_user import end_user
from subsecond.cache.key import KeyTerms, prepare
from subsecond.dialects.responses import DIALECT
from subsecond.model import CacheRules, Call, Recording, Tenant
from subsecond.routing.router import needs_of, output_of, tokens_of, user_texts
from tests.support.responses import events, function_call, message, payloads, reasoning, refusal, response

ACME = Tenant("acme", "prod", "laptop")
LENGTH = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}


def call(**body):
    return Call("responses", "m", {"model": "m", "input": "Who?", "store": False, **body})


def key(**body):
    return prepare(call(**body), ACME)


def as_bytes(value):
    return json.dumps(value).encode()


# What is equal, and what is similar


def test_only_the_text_of_the_last_turn_is_compared():
    one, other = key(input="Who?"), key(input="What?")
    assert one.scope == other.scope
    assert one.key != other.key
    assert (one.text, other.text) == ("Who?", "What?")


def test_items_are_told_apart_by_all_but_the_last_turns_text():
    def asked(*items, **more):
        return key(input=list(items), **more)

    last = {"role": "user", "content": [{"type": "input_text", "text": "Who?"}]}
    assert asked(last).text == "Who?"
    assert asked(last).scope == asked({**last, "content": [{"type": "input_text", "text": "Why?"}]}).scope
    picture = {"type": "input_image", "image_url": "data:x"}
    others = [
        asked({"role": "developer", "content": "Be brief."}, last),
        asked({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}, last),
        asked({**last, "content": [*last["content"], picture]}),
        asked(last, instructions="Be brief."),
        asked(last, tools=[{"type": "function", "name": "f", "parameters": {}}]),
        asked(last, text={"format": {"type": "json_object"}}),
        asked(last, reasoning={"effort": "low"}),
        asked(last, temperature=0.5),
    ]
    assert len({one.scope for one in others} | {asked(last).scope}) == len(others) + 1


def test_a_call_that_ends_in_a_result_has_no_text_to_compare():
    items = [{"role": "user", "content": "Who?"}, {"type": "function_call_output", "call_id": "c", "output": "Ann"}]
    found = key(input=items)
    assert (found.text, found.key) == ("", found.scope)


def test_another_dialect_or_header_is_another_key():
    body = {"model": "m", "input": "Who?", "messages": [], "prompt": "Who?"}
    keys = {prepare(Call(name, "m", body), ACME).key for name in ("chat", "text", "responses")}
    keys.add(prepare(Call("responses", "m", body, headers=((b"openai-beta", b"x=v1"),)), ACME).key)
    assert len(keys) == 4


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["input", "instructions", "tools", "text", "x"]), JSON), JSON)
def test_any_body_has_a_key_and_any_field_counts(body, more):
    whole = Call("responses", "m", body)
    assert prepare(whole, ACME) == prepare(whole, ACME)
    assert prepare(Call("responses", "m", {**body, "y": [more]}), ACME).key != prepare(whole, ACME).key
    assert isinstance(user_texts(whole), list)
    assert tokens_of(whole) >= 0
    assert needs_of(whole) <= {"tools", "json_schema", "vision"}


def test_times_of_asking_are_found_in_instructions_and_in_items_of_the_system():
    said = "Now: 2026-11-29T12:00:00Z"
    body = {"model": "m", "instructions": said, "input": [{"role": "developer", "content": said}], "store": False}
    found = dict(DIALECT.system_texts(body))
    assert found == {"instructions": said, "input[0]": said}
    edited = DIALECT.with_system_texts(body, str.upper)
    assert (edited["instructions"], edited["input"][0]["content"]) == (said.upper(), said.upper())
    terms = KeyTerms(arrival=1795953600.0)
    later = {**body, "instructions": said.replace("12:00:00", "12:00:01")}
    assert (
        prepare(Call("responses", "m", body), ACME, terms).key
        == prepare(Call("responses", "m", later), ACME, terms).key
    )


def test_what_the_router_asks():
    image = {
        "role": "user",
        "content": [{"type": "input_image", "image_url": "x"}, {"type": "input_text", "text": "A"}],
    }
    asked = call(
        input=[image],
        tools=[{"type": "function"}],
        text={"format": {"type": "json_schema"}},
        max_output_tokens=7,
        user="ann",
    )
    assert needs_of(asked) == {"tools", "json_schema", "vision"}
    assert (output_of(asked), user_texts(asked), end_user(asked)) == (7, ["A"], "ann")


# State


@pytest.mark.parametrize(
    ("body", "state"),
    [
        ({"store": False}, ""),
        ({}, "makes"),
        ({"store": None}, "makes"),
        ({"store": True}, "makes"),
        ({"store": False, "background": True}, "makes"),
        ({"store": False, "previous_response_id": "resp_1"}, "names"),
        ({"store": False, "conversation": {"id": "conv_1"}}, "names"),
        ({"store": False, "prompt": {"id": "pmpt_1"}}, "names"),
        ({"store": False, "input": [{"type": "item_reference", "id": "msg_1"}]}, "names"),
        ({"store": False, "input": [{"id": "msg_1"}]}, "names"),
        ({"store": False, "input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}, "names"),
        ({"store": False, "input": [{"type": "reasoning", "id": "rs_1", "encrypted_content": "x"}]}, ""),
        ({"store": False, "tools": [{"type": "code_interpreter", "container": "cntr_1"}]}, "names"),
        ({"store": False, "tools": [{"type": "shell", "environment": {"container_id": "cntr_1"}}]}, "names"),
        ({"store": False, "tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, "makes"),
        ({"store": False, "tools": [{"type": "shell", "environment": {"type": "container_auto"}}]}, "makes"),
        ({"store": False, "tools": [{"type": "shell", "environment": {"type": "local"}}]}, ""),
        ({"store": False, "tools": [{"type": "mcp", "server_label": "shop"}]}, "acts"),
        ({"store": True, "tools": [{"type": "mcp", "server_label": "shop"}]}, "acts"),
        ({"store": False, "tools": [{"type": "namespace", "tools": [{"type": "mcp"}]}]}, "acts"),
        (
            {"store": False, "input": [{"type": "mcp_approval_response", "approval_request_id": "m", "approve": True}]},
            "acts",
        ),
    ],
)
def test_what_names_or_makes_state_takes_no_part_in_the_cache(body, state):
    asked = Call("responses", "m", {"model": "m", "input": "Who?", **body})
    answer = Recording("whole", (b"{}",), "stop")
    free = Call("responses", "m", asked.body, CacheRules(objects=False))
    assert DIALECT.state(asked.body) == state
    assert (may_read(asked), may_store(asked, answer)) == (not state, not state)
    assert not (state and may_compare(asked, "Who?"))
    # Whoever needs no objects may be answered, but never from what the request does not say, nor in an act's place.
    assert may_read(free) == may_store(free, answer) == (state in ("", "makes"))


@pytest.mark.parametrize(
    "item",
    [
        {"type": "item_reference", "id": "x", "x": 1},
        {"type": "item_reference", "id": "x", "role": "user", "content": "Hi"},
        {"id": "x"},
        {"id": "x", "x": 1},
        {"id": "x", "type": None, "content": "Hi"},
        {"id": "x", "role": "user"},
        {"id": "x", "type": "message", "role": "assistant", "content": []},
        {"id": "x", "type": "reasoning", "summary": [{"type": "summary_text", "text": "x"}]},
        {"id": "x", "type": "reasoning", "summary": [], "encrypted_content": None},
        {"id": "x", "type": "image_generation_call", "x": 1, "result": ""},
        {"id": "x", "type": "image_generation_call", "content": "no picture"},
        {"id": "x", "type": "function_call", "arguments": ""},
        {"id": "x", "type": "new", "new": 1},
        {"id": "y", "type": "code_interpreter_call", "code": "1", "container_id": "x"},
        {"type": "shell_call", "action": {"commands": []}, "environment": {"container_id": "x"}},
    ],
)
def test_an_item_that_a_server_could_look_up_is_named(item):
    assert DIALECT.objects_named({"input": [item, item]}) == ["x"]
    assert DIALECT.state({"input": [item], "store": False}) == "names"


@pytest.mark.parametrize(
    "item",
    [
        {**message(), "phase": "final_answer"},
        {"id": "x", "role": "user", "content": "Hi"},
        {"id": "x", "type": "reasoning", "summary": [], "encrypted_content": "gAAA"},
        {"id": "x", "type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
        {"type": "reasoning", "summary": []},
        function_call(),
        {"id": "x", "type": "function_call", "call_id": "c", "name": "f", "arguments": ""},
        {"id": "x", "type": "function_call_output", "call_id": "c", "output": ""},
        {"id": "x", "type": "web_search_call", "status": "completed", "action": {"type": "search"}},
        {"id": "x", "type": "image_generation_call", "result": "iVBO"},
        {"id": "x", "type": "new_output", "output": "1"},
        {"call_id": "c", "type": "new"},
    ],
)
def test_an_item_that_says_all_itself_is_not_looked_up(item):
    """Clients send back what an output had, ids and all: it is answered from the cache as before."""
    assert DIALECT.objects_named({"input": [item]}) == []
    assert DIALECT.state({"input": [item], "store": False}) == ""


def test_an_id_that_is_no_text_is_nobodys():
    assert DIALECT.objects_named({"previous_response_id": 5, "input": [{"type": "item_reference", "id": None}]}) == [""]


@pytest.mark.parametrize(
    ("fields", "compared"),
    [
        ({}, True),
        ({"tools": [{"type": "web_search"}]}, False),
        ({"tool_choice": "required"}, False),
        ({"tool_choice": "auto"}, True),
        ({"include": ["message.output_text.logprobs"]}, False),
        ({"include": ["reasoning.encrypted_content"]}, True),
    ],
)
def test_what_is_no_text_for_a_reader_is_not_compared(fields, compared):
    assert may_compare(call(**fields), "Who?") == compared


# Answers


@pytest.mark.parametrize(
    ("whole", "finish", "acts"),
    [
        (response(), "stop", False),
        (response(reasoning("Hm."), message()), "stop", False),
        (response(function_call()), "tool_calls", True),
        (response(message(), function_call()), "tool_calls", True),
        (response(message(), {"type": "web_search_call", "id": "ws_1"}), "stop", True),
        (response(**LENGTH), "length", False),
        (response(message(" "), **LENGTH), "empty", False),
        (response(status="incomplete", incomplete_details={"reason": "content_filter"}), "content_filter", False),
        (response(status="incomplete", incomplete_details={"reason": "new"}), "unknown", False),
        (response(refusal()), "refusal", False),
        (response(message("")), "empty", False),
        (response(reasoning("Hm.")), "empty", False),
        (response(status="in_progress"), "unknown", False),
        (response(status="queued"), "unknown", False),
        (response(status="failed"), "unknown", False),
        ({"id": "resp_1"}, "unknown", False),
    ],
)
def test_why_an_answer_ended(whole, finish, acts):
    found = DIALECT.recorded("whole", [as_bytes(whole)])
    assert (found.finish, found.acts) == (finish, acts)
    if DIALECT.to_stream(as_bytes(whole)):
        told = DIALECT.recorded("stream", DIALECT.to_stream(as_bytes(whole)))
        assert (told.finish, told.acts, told.text, told.usage) == (finish, acts, found.text, found.usage)


@pytest.mark.parametrize("form", ["whole", "stream"])
def test_text_model_and_usage_in_the_words_of_statistics(form):
    said = [as_bytes(response())] if form == "whole" else payloads(response())
    found = DIALECT.recorded(form, said)
    assert (found.text, found.model, found.finish) == ("Good.", "m-1", "stop")
    assert found.usage["prompt_tokens"] == 9
    assert found.usage["completion_tokens"] == 3
    assert found.usage["total_tokens"] == 12
    assert found.usage["prompt_tokens_details"] == {"cached_tokens": 4}


def test_what_did_not_end_or_cannot_be_read_is_unknown():
    told = payloads(response())
    for broken in (
        told[:-1],
        [*told[:-1], b"{"],
        [b"[]", *told],
        [*told[:2], b'{"type":"x","n":NaN}', *told[2:]],
        told * 2,
    ):
        assert DIALECT.recorded("stream", broken).finish == "unknown"
    assert DIALECT.recorded("stream", told, ended=False).finish == "unknown"


def test_items_that_the_last_event_leaves_out_were_said_all_the_same():
    whole = response()
    told = [*payloads(whole)[:-1], as_bytes({"type": "response.completed", "response": {**whole, "output": []}})]
    found = DIALECT.recorded("stream", told)
    assert (found.text, found.finish) == ("Good.", "stop")
    assert DIALECT.to_whole(told) is None
    assert json.loads(DIALECT.joined_loosely(told))["output"] == whole["output"]


@given(st.lists(st.binary(max_size=20) | JSON.map(lambda one: json.dumps(one).encode()), max_size=4))
def test_nothing_that_comes_raises(said):
    DIALECT.recorded("stream", said)
    DIALECT.recorded("whole", said[:1])
    DIALECT.to_whole(said)
    for one in said:
        DIALECT.to_stream(one)
        DIALECT.not_an_answer(one)
        DIALECT.error_in_event(one, b"")
        for asked in (DIALECT.begins, DIALECT.speaks, DIALECT.tells, DIALECT.converts):
            assert asked(one) in (True, False)
        DIALECT.object_ids(one, {})
        DIALECT.renamer()(one)


# One form and the other

TEXTS = st.text(alphabet="ab \n\u00e9\U0001f600", max_size=40)
ITEMS = st.lists(
    st.builds(message, TEXTS, st.sampled_from(["msg_1", "msg_2"]), annotations=st.just([{"type": "url_citation"}]))
    | st.builds(message, TEXTS)
    | st.builds(refusal, TEXTS)
    | st.builds(function_call, st.just("f"), TEXTS)
    | st.builds(reasoning, TEXTS, TEXTS),
    min_size=1,
    max_size=4,
)


@given(ITEMS)
def test_a_stream_that_is_made_of_a_reply_says_all_of_it_and_comes_back(items):
    whole = response(*items)
    told = DIALECT.to_stream(as_bytes(whole))
    found = [json.loads(one) for one in told]
    assert json.loads(DIALECT.to_whole(told)) == whole
    assert [one["sequence_number"] for one in found] == list(range(len(found)))
    assert all(map(DIALECT.converts, told))
    assert [one["item"] for one in found if one["type"] == "response.output_item.done"] == items
    spoken = {"output_text", "refusal", "function_call_arguments", "reasoning_summary_text"}
    assert {one["type"].split(".")[1] for one in found if one["type"].endswith(".delta")} <= spoken
    texts = [one["delta"] for one in found if one["type"] == "response.output_text.delta"]
    assert "".join(texts) == DIALECT.recorded("whole", [as_bytes(whole)]).text
    before = [one for one in found if one["type"] == "response.created"]
    assert [one["response"]["status"] for one in before] == ["in_progress"]


@pytest.mark.parametrize(
    "item",
    [
        {"type": "image_generation_call", "id": "ig_1", "result": "x"},
        {**message(), "new": 1},
        message(logprobs=[{"token": "a", "logprob": -1}]),
        {**reasoning(), "content": [{"type": "reasoning_text", "text": "Hm"}]},
        {"type": "message", "id": "msg_1"},
    ],
)
def test_what_is_in_no_table_does_not_go_over(item):
    assert DIALECT.to_stream(as_bytes(response(item))) is None
    told = [json.loads(one) for one in DIALECT.lone_event(as_bytes(response(item)))]
    assert [one["type"] for one in told] == ["response.created", "response.in_progress", "response.completed"]


def test_an_event_that_is_told_again_has_its_type_for_a_name():
    assert DIALECT.event_name(b'{"type":"response.created","response":{}}') == b"response.created"
    assert DIALECT.event_name(b'{"response":{"type":"x"}, "type": "response.completed"}') == b"response.completed"
    assert DIALECT.event_name(b"[]") == b""


# Errors


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({"type": "error", "code": "rate_limit_exceeded", "message": "Slow down.", "sequence_number": 1}, 429),
        ({"type": "response.error", "error": {"code": "server_error", "message": "Oh."}}, 500),
        ({"type": "response.failed", "response": {"error": {"code": "server_error", "message": "Oh."}}}, 500),
        ({"type": "response.failed", "response": {"status": "failed"}}, 502),
        ({"error": {"message": "Oh.", "code": 503}}, 503),
    ],
)
def test_an_error_in_an_event_has_its_status_and_is_told_as_it_came(event, status):
    error = DIALECT.error_in_event(as_bytes(event), b"")
    assert error.status == status
    assert (error.said.data if error.said else None) == (as_bytes(event) if "type" in event else None)


def test_what_speaks_of_our_key_is_not_told_as_it_came():
    event = {"type": "error", "code": "invalid_api_key", "message": "Incorrect API key: sk-1"}
    error = DIALECT.error_in_event(as_bytes(event), b"error")
    assert (error.code, error.said) == ("upstream_auth", None)


def test_a_failure_of_ours_is_an_event_of_the_dialect():
    told = DIALECT.error_event({"error": {"message": "Oh.", "type": "api_error", "param": None, "code": "x"}}, 4)
    assert told.name == b"error"
    assert json.loads(told.data) == {
        "type": "error",
        "code": "x",
        "message": "Oh.",
        "param": None,
        "sequence_number": 4,
    }


@pytest.mark.parametrize("form", ["whole", "stream"])
def test_only_the_responses_id_is_another_one_for_another_request(form):
    whole = response(message('He said "resp_1" twice: resp_1'), metadata={"trace": "resp_10"})
    said = [as_bytes(whole)] if form == "whole" else payloads(whole)
    rename = DIALECT.renamer()
    told = [rename(one) for one in said]
    new = json.loads(told[0]).get("response", json.loads(told[0]))["id"]
    assert new != "resp_1"
    assert [one.replace(f'"{new}"'.encode(), b'"resp_1"') for one in told] == said
    assert sum(one.count(new.encode()) for one in told) == (1 if form == "whole" else 2)
    assert DIALECT.renamer()(said[0]) != told[0]


def test_the_objects_that_an_answer_makes_and_a_request_names():
    told = [json.dumps(one).encode() for one in events(response())]
    found = [one for payload in told for one in DIALECT.object_ids(payload, {})]
    assert (found[:2], set(found)) == (["resp_1", "msg_1"], {"resp_1", "msg_1"})
    late = {"type": "response.output_item.done", "item": {"type": "shell_call", "id": "sh_1", "environment": {}}}
    late["item"]["environment"]["container_id"] = "cntr_2"
    assert DIALECT.object_ids(as_bytes(late), {}) == ["sh_1", "cntr_2"]
    assert DIALECT.object_ids(as_bytes({"type": "response.completed", "response": response()}), {}) == [
        "resp_1",
        "msg_1",
    ]
    assert DIALECT.object_ids(as_bytes(response()), {}) == ["resp_1", "msg_1"]
    run = {"type": "code_interpreter_call", "id": "ci_1", "container_id": "cntr_1"}
    shell = {"type": "shell_call", "id": "sh_1", "environment": {"container_id": "cntr_2"}}
    assert DIALECT.object_ids(as_bytes(response(run, shell)), {}) == ["resp_1", "ci_1", "cntr_1", "sh_1", "cntr_2"]
    items = [{"type": "item_reference", "id": "msg_1"}, {"role": "user", "content": "Go on."}]
    tools = [{"type": "code_interpreter", "container": "cntr_1"}, {"type": "code_interpreter", "container": {}}]
    body = {"previous_response_id": "resp_1", "input": items, "tools": tools}
    assert DIALECT.objects_named(body) == ["resp_1", "msg_1", "cntr_1"]
