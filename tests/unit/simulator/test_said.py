"""What is said is the same in every dialect: calls, JSON, thoughts, stops."""

from __future__ import annotations

import json

import pytest

from subsecond.errors import UpstreamError
from subsecond_local.simulator.engine import Simulation
from tests.support.dialects import FAST, TOOLS, asked, calls, events, whole, words

SPOKEN = ("chat", "responses", "messages")
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "people": {"type": "integer", "minimum": 1000}},
    "required": ["name", "people"],
    "additionalProperties": False,
}
TWO = "The weather in Rome, and the weather in Oslo?"
every = pytest.mark.parametrize("dialect", SPOKEN)


def choice(dialect, name):
    """`tool_choice` in the dialect's words; name: `required`, or a function's."""
    if name == "required":
        return {"type": "any"} if dialect == "messages" else "required"
    named = {"chat": {"type": "function", "function": {"name": name}}, "messages": {"type": "tool", "name": name}}
    return named.get(dialect, {"type": "function", "name": name})


def form(dialect, schema):
    """The fields by which a request asks for JSON."""
    told = {"type": "json_schema", "name": "city", "schema": schema}
    return {
        "chat": {"response_format": {"type": "json_schema", "json_schema": told}},
        "responses": {"text": {"format": told}},
        "messages": {"output_config": {"format": told}},
    }[dialect]


@every
def test_a_function_is_called_once_for_each_time_that_it_is_named(dialect):
    found = whole(dialect, asked(dialect, TWO, tools=TOOLS[dialect]))
    (first, one), (second, other) = calls(dialect, found)
    assert first == second == "weather"
    assert {type(one["city"]), type(other["city"])} == {str}
    assert words(dialect, found) == ""
    assert len(calls(dialect, whole(dialect, asked(dialect, "Weather?", tools=TOOLS[dialect])))) == 1
    assert calls(dialect, whole(dialect, asked(dialect, "The weathers?", tools=TOOLS[dialect]))) == []


@every
def test_several_functions_are_called_in_the_order_of_their_names(dialect):
    found = whole(dialect, asked(dialect, "What time is it, and how is the weather?", tools=TOOLS[dialect]))
    assert [name for name, _ in calls(dialect, found)] == ["time", "weather"]


@every
def test_a_request_may_forbid_parallel_calls(dialect):
    body = asked(dialect, TWO, tools=TOOLS[dialect], parallel_tool_calls=False)
    if dialect == "messages":
        body["tool_choice"] = {"type": "auto", "disable_parallel_tool_use": True}
    assert len(calls(dialect, whole(dialect, body))) == 1


@every
@pytest.mark.parametrize(
    ("text", "wanted", "named"),
    [("hello", "required", ["weather"]), ("the time?", "required", ["time"]), (TWO, "time", ["time"])],
)
def test_a_demanded_call_is_made(dialect, text, wanted, named):
    body = asked(dialect, text, tools=TOOLS[dialect], tool_choice=choice(dialect, wanted))
    assert [name for name, _ in calls(dialect, whole(dialect, body))] == named


@every
def test_no_call_is_made_where_the_request_says_none(dialect):
    none = {"type": "none"} if dialect == "messages" else "none"
    found = whole(dialect, asked(dialect, TWO, tools=TOOLS[dialect], tool_choice=none))
    assert calls(dialect, found) == []
    assert words(dialect, found)


@every
def test_a_function_that_is_not_there_cannot_be_demanded(dialect):
    for tools, wanted in ((TOOLS[dialect], "news"), ([], "required")):
        with pytest.raises(UpstreamError) as caught:
            whole(dialect, asked(dialect, tools=tools, tool_choice=choice(dialect, wanted)))
        assert caught.value.status == 400


@every
def test_json_is_what_the_schema_allows(dialect):
    body = asked(dialect, **form(dialect, SCHEMA))
    found = json.loads(words(dialect, whole(dialect, body)))
    assert set(found) == {"name", "people"}
    assert found["people"] >= 1000
    assert words(dialect, whole(dialect, body)) == json.dumps(found)


@every
def test_a_schema_that_cannot_be_met_is_a_400(dialect):
    for schema in ({"type": "string", "pattern": "^[A-Z]{9}$"}, {"$ref": "#/none"}, {"type": "text"}):
        with pytest.raises(UpstreamError, match="cannot meet the schema") as caught:
            whole(dialect, asked(dialect, **form(dialect, schema)))
        assert caught.value.status == 400


def test_a_json_object_is_one():
    bodies = {
        "chat": {"response_format": {"type": "json_object"}},
        "responses": {"text": {"format": {"type": "json_object"}}},
    }
    for dialect, fields in bodies.items():
        assert isinstance(json.loads(words(dialect, whole(dialect, asked(dialect, **fields)))), dict)


@pytest.mark.parametrize(
    ("dialect", "fields"), [("chat", {"stop": ["."]}), ("messages", {"stop_sequences": ["old", "."]})]
)
def test_a_text_that_stops_the_answer_is_no_part_of_it(dialect, fields):
    body = asked(dialect, model="sim-t0-i0-n24")
    found = whole(dialect, body | fields)
    said = words(dialect, found)
    assert said
    assert not any(stop in said for stop in next(iter(fields.values())))
    if dialect == "messages":
        assert found["stop_reason"] == "stop_sequence"
        assert found["stop_sequence"] in fields["stop_sequences"]


def test_chat_streams_parallel_calls_with_indexes_of_their_own():
    body = asked("chat", TWO, tools=TOOLS["chat"])
    said = {}
    for chunk in events("chat", body):
        for piece in chunk["choices"][0]["delta"].get("tool_calls", ()) if chunk["choices"] else ():
            call = said.setdefault(piece["index"], {"id": piece.get("id"), "arguments": ""})
            call["arguments"] += piece["function"]["arguments"]
    told = whole("chat", body)["choices"][0]["message"]["tool_calls"]
    assert [one["arguments"] for one in said.values()] == [one["function"]["arguments"] for one in told]
    assert [one["id"] for one in said.values()] == [one["id"] for one in told]
    assert len({one["id"] for one in told}) == 2


def test_thoughts_are_counted_in_chat():
    found = whole("chat", asked("chat", reasoning_effort="low"))["usage"]
    assert 0 < found["completion_tokens_details"]["reasoning_tokens"] == found["completion_tokens"] - 8
    assert "completion_tokens_details" not in whole("chat", asked("chat"))["usage"]


def test_a_result_that_belongs_to_no_call_is_refused():
    bodies = {
        "chat": {"messages": [{"role": "tool", "tool_call_id": "call_1", "content": "rain"}]},
        "responses": {"input": [{"type": "function_call_output", "call_id": "call_1", "output": "rain"}]},
        "messages": {
            "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": ""}]}]
        },
    }
    for dialect, fields in bodies.items():
        with pytest.raises(UpstreamError) as caught:
            whole(dialect, asked(dialect) | fields)
        assert caught.value.status == 400


@every
@pytest.mark.parametrize("fault", ["status529", "status"])
def test_a_status_is_refused_in_every_dialect(dialect, fault):
    with pytest.raises(UpstreamError) as caught:
        whole(dialect, asked(dialect, model=f"{FAST}-f{fault}"))
    assert caught.value.status == int(fault.removeprefix("status") or 500)


@every
def test_faults_of_what_is_said_are_those_of_every_dialect(dialect):
    assert words(dialect, whole(dialect, asked(dialect, model=f"{FAST}-fempty"))) == ""
    assert not words(dialect, whole(dialect, asked(dialect, model=f"{FAST}-funicode"))).isascii()
    with pytest.raises(UpstreamError, match="a prompt is refused"):
        whole(dialect, asked(dialect, "poison", model=f"{FAST}-fpoison"))


@every
def test_the_same_request_has_the_same_words_and_another_one_has_others(dialect):
    simulation = Simulation()
    said = [words(dialect, whole(dialect, asked(dialect, text), simulation)) for text in ("a", "a", "b")]
    assert said[0] == said[1] != said[2]
