from __future__ import annotations

import json

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from subsecond.errors import UpstreamError
from subsecond_local.simulator.dialects import DIALECTS
from subsecond_local.simulator.engine import Simulation
from subsecond_local.simulator.names import refusal
from subsecond_local.simulator.objects import found as found_object
from tests.support.dialects import FAST, TOOLS, asked, events, whole, words

TWO = "The weather in Rome, and the weather in Oslo?"
EVENT = TypeAdapter(ResponseStreamEvent)
THINKING = {"reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"]}
BODIES = [
    asked("responses"),
    asked("responses", TWO, tools=TOOLS["responses"]),
    asked("responses", **THINKING),
    asked("responses", TWO, tools=TOOLS["responses"], **THINKING),
    asked("responses", max_output_tokens=3),
    asked("responses", model=f"{FAST}-ffilter"),
    asked("responses", model=f"{FAST}-fempty"),
]


@pytest.mark.parametrize("body", BODIES)
def test_a_stream_says_what_the_whole_response_says(body):
    told = events("responses", body)
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert [event["type"] for event in told[:2]] == ["response.created", "response.in_progress"]
    last = told[-1]
    expected = whole("responses", body)
    assert last["type"] == f"response.{expected['status']}"
    assert last["response"] == expected | {"created_at": last["response"]["created_at"]}
    done = [event["item"] for event in told if event["type"] == "response.output_item.done"]
    assert done == expected["output"]
    begun = [event["item"] for event in told if event["type"] == "response.output_item.added"]
    assert [item["id"] for item in begun] == [item["id"] for item in done]
    assert not any(item.get(name) for item in begun for name in ("summary", "content", "arguments"))
    pieces = [event["delta"] for event in told if event["type"] == "response.output_text.delta"]
    assert "".join(pieces) == words("responses", expected)
    for item in expected["output"]:
        said = [event for event in told if event.get("item_id") == item["id"]]
        if item["type"] == "function_call":
            assert "".join(one["delta"] for one in said if "delta" in one) == item["arguments"]


@pytest.mark.parametrize("body", BODIES)
def test_openais_own_types_know_the_response_and_its_events(body):
    Response.model_validate(whole("responses", body), strict=True)
    for event in events("responses", body):
        assert EVENT.validate_python(event).type == event["type"]


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (BODIES[0], "completed", None),
        (BODIES[4], "incomplete", "max_output_tokens"),
        (BODIES[5], "incomplete", "content_filter"),
    ],
)
def test_a_response_says_how_it_ended(body, status, reason):
    found = whole("responses", body)
    assert (found["status"], (found["incomplete_details"] or {}).get("reason")) == (status, reason)


def test_a_thought_is_shown_sealed_or_neither():
    shown = whole("responses", BODIES[2])
    assert [item["type"] for item in shown["output"]] == ["reasoning", "message"]
    assert shown["output"][0]["summary"][0]["text"]
    assert shown["output"][0]["encrypted_content"]
    assert shown["usage"]["output_tokens_details"]["reasoning_tokens"] == shown["usage"]["output_tokens"] - 8
    (hidden, _) = whole("responses", asked("responses", reasoning={"effort": "low"}))["output"]
    assert hidden["summary"] == []
    assert "encrypted_content" not in hidden
    assert len(whole("responses", asked("responses", reasoning={"effort": "none"}))["output"]) == 1


def test_a_response_is_kept_until_it_is_deleted():
    simulation = Simulation()
    made = whole("responses", asked("responses", "hello"), simulation)

    def ask(method, path):
        return found_object(simulation.memory, method, f"/responses/{made['id']}{path}")

    assert ask("GET", "") == made
    (item,) = ask("GET", "/input_items")["data"]
    assert item["content"] == [{"type": "input_text", "text": "hello"}]
    assert ask("DELETE", "")["deleted"] is True
    for method, path in (("GET", ""), ("GET", "/input_items"), ("DELETE", "")):
        with pytest.raises(UpstreamError) as caught:
            ask(method, path)
        assert caught.value.status == 404
    with pytest.raises(UpstreamError, match="Item with id"):
        whole("responses", asked("responses", [{"type": "item_reference", "id": made["output"][0]["id"]}]), simulation)
    with pytest.raises(UpstreamError) as caught:
        whole("responses", asked("responses", previous_response_id=made["id"]), simulation)
    assert caught.value.code == "previous_response_not_found"


def test_a_response_that_is_not_to_be_stored_is_not():
    simulation = Simulation()
    made = whole("responses", asked("responses", store=False), simulation)
    with pytest.raises(UpstreamError):
        found_object(simulation.memory, "GET", f"/responses/{made['id']}")
    with pytest.raises(UpstreamError) as caught:
        whole("responses", asked("responses", [{"type": "item_reference", "id": made["output"][0]["id"]}]), simulation)
    assert caught.value.status == 404


def test_what_went_before_is_part_of_what_is_asked():
    simulation = Simulation()
    one, other = (whole("responses", asked("responses", text), simulation) for text in ("a", "b"))
    said = [
        whole("responses", asked("responses", "and?", previous_response_id=made["id"]), simulation)
        for made in (one, one, other)
    ]
    assert words("responses", said[0]) == words("responses", said[1]) != words("responses", said[2])
    assert said[0]["usage"]["input_tokens"] > one["usage"]["input_tokens"]


def test_results_of_calls_are_answered_in_words_by_id_and_by_item():
    simulation = Simulation()
    tools = TOOLS["responses"]
    first = whole("responses", asked("responses", TWO, tools=tools), simulation)
    results = [{"type": "function_call_output", "call_id": one["call_id"], "output": "rain"} for one in first["output"]]
    by_id = asked("responses", results, tools=tools, previous_response_id=first["id"])
    items = [
        {"role": "user", "content": TWO},
        *({"type": "item_reference", "id": one["id"]} for one in first["output"]),
    ]
    by_item = asked("responses", [*items, *results], tools=tools)
    for body in (by_id, by_item):
        assert words("responses", whole("responses", body, simulation))
    with pytest.raises(UpstreamError, match="No tool output found"):
        whole("responses", by_id | {"input": results[:1]}, simulation)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": 5}, "input"),
        ({"input": [5]}, "input[0]"),
        ({"input": [{"role": "robot", "content": "hi"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}, "input[0].content[0]"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"store": "yes"}, "store"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format"),
        ({"conversation": "conv_1"}, "conversation"),
    ],
)
def test_a_bad_request_is_refused_with_the_fields_name(fields, param):
    with pytest.raises(UpstreamError) as caught:
        whole("responses", asked("responses") | fields)
    assert caught.value.body()["error"]["param"] == param


def test_an_image_is_part_of_what_is_asked():
    def said(url):
        content = [{"type": "input_text", "text": "What?"}, {"type": "input_image", "image_url": url}]
        return words("responses", whole("responses", asked("responses", [{"role": "user", "content": content}])))

    assert said("data:image/png;base64,AA==") != said("data:image/png;base64,AQ==")


def test_an_error_in_mid_stream_is_an_event():
    event = DIALECTS["responses"].error_event(refusal("Gone.", code="gone"), 4)
    told = json.loads(event.data)
    assert EVENT.validate_python(told).type == event.name.decode() == "error"
    assert (told["sequence_number"], told["message"]) == (4, "Gone.")


def test_an_end_without_the_last_event():
    assert events("responses", asked("responses", model=f"{FAST}-fnodone"))[-1]["type"] == "response.output_item.done"
