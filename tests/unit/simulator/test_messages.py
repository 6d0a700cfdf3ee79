from __future__ import annotations

import json

import pytest

from subsecond.errors import UpstreamError
from subsecond_local.simulator.dialects import DIALECTS
from subsecond_local.simulator.engine import Simulation
from subsecond_local.simulator.names import refusal
from tests.support.dialects import FAST, TOOLS, asked, events, whole, words

TWO = "The weather in Rome, and the weather in Oslo?"
THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}
PIXEL = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
BODIES = [
    asked("messages"),
    asked("messages", TWO, tools=TOOLS["messages"]),
    asked("messages") | THINKING,
    asked("messages", TWO, tools=TOOLS["messages"]) | THINKING,
    asked("messages") | THINKING | {"thinking": {"type": "adaptive", "display": "omitted"}},
    asked("messages", max_tokens=3),
    asked("messages", model=f"{FAST}-fempty"),
]


def rebuilt(told):
    """The message that a client makes of the events."""
    message, texts = {}, {}
    for event in told:
        if event["type"] == "message_start":
            message = event["message"]
        elif event["type"] == "content_block_start":
            assert event["index"] == len(message["content"])
            message["content"].append(event["content_block"])
        elif event["type"] == "content_block_delta":
            kind, said = list(event["delta"].values())
            name = "input" if kind == "input_json_delta" else kind.removesuffix("_delta")
            texts[event["index"], name] = texts.get((event["index"], name), "") + said
        elif event["type"] == "message_delta":
            message |= event["delta"] | {"usage": event["usage"]}
    for (at, name), text in texts.items():
        message["content"][at][name] = json.loads(text) if name == "input" else text
    return message


@pytest.mark.parametrize("body", BODIES)
def test_a_stream_says_what_the_whole_message_says(body):
    told = events("messages", body)
    assert told[0]["type"] == "message_start"
    assert told[-1]["type"] == "message_stop"
    assert {"type": "ping"} in told or not whole("messages", body)["content"]
    assert rebuilt(told) == whole("messages", body)
    opened = [event["index"] for event in told if event["type"] == "content_block_start"]
    assert [event["index"] for event in told if event["type"] == "content_block_stop"] == opened


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (BODIES[0], "end_turn"),
        (BODIES[1], "tool_use"),
        (BODIES[5], "max_tokens"),
        (asked("messages", model=f"{FAST}-ffilter"), "refusal"),
    ],
)
def test_a_message_says_why_it_ended(body, reason):
    assert whole("messages", body)["stop_reason"] == reason


def test_a_thought_comes_first_and_only_its_own_signature_is_believed():
    first = whole("messages", BODIES[2])
    assert [block["type"] for block in first["content"]] == ["thinking", "text"]
    omitted = whole("messages", BODIES[4])["content"]
    assert omitted[0]["thinking"] == ""
    for content in (first["content"], omitted):
        said = [{"role": "assistant", "content": content}, {"role": "user", "content": "And?"}]
        body = BODIES[2] | {"messages": BODIES[2]["messages"] + said}
        assert words("messages", whole("messages", body))
        content[0]["signature"] += "x"
        with pytest.raises(UpstreamError, match="Invalid `signature`"):
            whole("messages", body)


def test_results_of_calls_are_answered_in_words():
    body = asked("messages", TWO, tools=TOOLS["messages"])
    calls = whole("messages", body)["content"]
    results = [{"type": "tool_result", "tool_use_id": one["id"], "content": "rain"} for one in calls]

    def then(results):
        said = [{"role": "assistant", "content": calls}, {"role": "user", "content": results}]
        return whole("messages", body | {"messages": body["messages"] + said})

    assert words("messages", then(results))
    with pytest.raises(UpstreamError, match="without `tool_result`"):
        then(results[:1])
    with pytest.raises(UpstreamError, match="unexpected `tool_use_id`"):
        then([*results, results[0] | {"tool_use_id": "toolu_none"}])


def test_a_prefix_is_written_once_and_read_from_then_on():
    simulation = Simulation()
    system = [{"type": "text", "text": "Be brief. " * 40, "cache_control": {"type": "ephemeral"}}]

    def used(*more):
        messages = [{"role": "user", "content": [{"type": "text", "text": "hello"}, *more]}]
        found = whole("messages", asked("messages", system=system, messages=messages), simulation)["usage"]
        return found["cache_creation_input_tokens"], found["cache_read_input_tokens"]

    longer = {"type": "text", "text": "again " * 40, "cache_control": {"type": "ephemeral"}}
    written, read = used()
    assert written > 100
    assert read == 0
    assert used() == (0, written)
    grown, read = used(longer)
    assert (grown > 0, read) == (True, written)
    assert used(longer) == (0, written + grown)
    assert whole("messages", asked("messages"), simulation)["usage"]["cache_read_input_tokens"] == 0


def test_a_count_is_what_a_message_would_take():
    body = asked("messages", TWO, tools=TOOLS["messages"], system="Be brief.")
    counted = json.loads(Simulation().tokens({name: value for name, value in body.items() if name != "max_tokens"}))
    assert counted == {"input_tokens": whole("messages", body)["usage"]["input_tokens"]}


def test_an_image_is_part_of_what_is_asked():
    def said(**source):
        content = [{"type": "image", "source": PIXEL | source}, {"type": "text", "text": "What?"}]
        return words("messages", whole("messages", asked("messages", content)))

    assert said() != said(data="iVBORw0KGgoA")
    for source in ({"data": "?"}, {"media_type": "image/tiff"}, {"type": "picture"}):
        with pytest.raises(UpstreamError) as caught:
            said(**source)
        assert caught.value.status == 400


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": None},
        {"max_tokens": 0},
        {"messages": []},
        {"messages": [{"role": "robot", "content": "hi"}]},
        {"messages": [{"role": "user", "content": None}]},
        {"messages": [{"role": "user", "content": [{"text": "hi"}]}]},
        {"tools": [{"name": "weather"}]},
        {"thinking": {"type": "enabled", "budget_tokens": 10}},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"output_config": {"format": {"type": "json_object"}}},
        {"stop_sequences": [""]},
    ],
)
def test_a_bad_request_is_a_400(fields):
    with pytest.raises(UpstreamError) as caught:
        whole("messages", asked("messages") | fields)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "not_found_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (529, "overloaded_error"),
    ],
)
def test_errors_have_anthropics_shape(status, kind):
    found = DIALECTS["messages"].error_body(refusal("No.", status=status))
    assert (found["type"], found["error"]) == ("error", {"type": kind, "message": "No."})


def test_an_error_in_mid_stream_is_an_event():
    event = DIALECTS["messages"].error_event(refusal("Gone.", status=500), 4)
    assert (event.name, json.loads(event.data)["error"]["type"]) == (b"error", "api_error")


def test_an_end_without_the_last_event():
    assert events("messages", asked("messages", model=f"{FAST}-fnodone"))[-1]["type"] == "message_delta"
