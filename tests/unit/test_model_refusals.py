"""The small model's server refuses what a real one would."""

from __future__ import annotations

import json

import pytest

from subsecond_local.run.model_refusals import refusals

TOOL = {"type": "function", "function": {"name": "weather"}}
refuse = refusals("small")


def said(path, body):
    refused = refuse(path, json.dumps(body).encode())
    return None if refused is None else (refused[0], json.loads(refused[1]))


@pytest.mark.parametrize(
    "body",
    [
        {"model": "small"},
        {},
        {"model": "small", "tools": []},
        {"model": "small", "tools": [TOOL], "tool_choice": "none"},
        {"model": "small", "tools": [TOOL], "tool_choice": {"type": "none"}},
        ["small"],
        "small",
    ],
)
def test_what_it_can_answer_it_sees(body):
    assert said("/v1/chat/completions", body) is None


def test_what_is_no_json_is_its_own_to_refuse():
    assert refuse("/v1/chat/completions", b"{") is None
    assert refuse("/v1/models", b"") is None


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"])
def test_a_name_that_it_does_not_have_is_a_404(path):
    status, told = said(path, {"model": "gpt-4o"})
    assert (status, told["error"]["code"], told["error"]["param"]) == (404, "model_not_found", "model")
    assert "There is small." in told["error"]["message"]


@pytest.mark.parametrize("choice", [None, "auto", "required", {"type": "function", "name": "weather"}])
def test_tools_that_it_cannot_call_are_a_400(choice):
    status, told = said("/v1/responses", {"model": "small", "tools": [TOOL], "tool_choice": choice})
    assert (status, told["error"]["param"]) == (400, "tools")
    assert "UPSTREAM=simulator" in told["error"]["message"]


def test_messages_have_errors_of_their_own_shape():
    assert said("/v1/messages", {"model": "claude"})[1]["error"]["type"] == "not_found_error"
    status, told = said("/v1/messages", {"model": "small", "tools": [{"name": "weather", "input_schema": {}}]})
    assert (status, told["type"], told["error"]["type"]) == (400, "error", "invalid_request_error")
