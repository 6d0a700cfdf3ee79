"""The wire, byte by byte, as curl shows it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MODEL = "sim-t5-i1-n24"
STREAMS = ["/chat/completions", "/completions"]
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="There is no curl here.")


@pytest.fixture(scope="module")
def program(start):
    with start("curl", sys.executable, Path(__file__).parent / "clients" / "curl.py") as found:
        yield found


@pytest.fixture
def curl(program, target):
    """`curl(path, body?, key?)`: its status, headers and body."""

    def ask(path, body=None, **more):
        return program.do(target, "raw", path=path, body=body, **more)

    return ask


@pytest.fixture
def body(request):
    """A body for either way to ask, that no other test sends."""
    text = request.node.name
    return {
        "/chat/completions": {"model": MODEL, "messages": [{"role": "user", "content": text}]},
        "/completions": {"model": MODEL, "prompt": text},
    }


def payloads(seen):
    """What the `data:` lines carry. Nothing else may stand in a stream: no comment, event name, or other line end."""
    assert seen["status"] == 200
    assert seen["headers"]["content-type"].startswith("text/event-stream")
    assert "content-length" not in seen["headers"]
    *events, rest = seen["body"].split("\n\n")
    assert rest == ""
    assert all(event.startswith("data: ") and "\n" not in event and "\r" not in event for event in events)
    *chunks, last = [event.removeprefix("data: ") for event in events]
    assert last == "[DONE]"
    assert "[DONE]" not in chunks
    return [json.loads(chunk) for chunk in chunks]


@pytest.mark.parametrize("path", STREAMS)
def test_a_stream_is_data_lines_with_done_last_and_no_usage_unasked(curl, body, path):
    # The second time it is a replay, where there is a cache.
    for _ in range(2):
        chunks = payloads(curl(path, body[path] | {"stream": True}))
        assert not [chunk for chunk in chunks if chunk.get("usage") or not chunk["choices"]]
        assert len({(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in chunks}) == 1
        finishes = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
        assert finishes == [None] * (len(chunks) - 1) + ["stop"]


@pytest.mark.parametrize("path", STREAMS)
def test_usage_comes_once_and_last_and_without_choices_when_asked(curl, body, path):
    asked = body[path] | {"stream": True, "stream_options": {"include_usage": True}}
    for _ in range(2):
        *chunks, last = payloads(curl(path, asked))
        assert not [chunk for chunk in chunks if chunk.get("usage") or not chunk["choices"]]
        assert last["choices"] == []
        assert last["usage"]["completion_tokens"] == 24


def test_the_first_delta_has_the_role_and_only_the_first(curl, body):
    for _ in range(2):
        first, *others = payloads(curl("/chat/completions", body["/chat/completions"] | {"stream": True}))
        assert first["choices"][0]["delta"]["role"] == "assistant"
        assert not [chunk for chunk in others if "role" in chunk["choices"][0]["delta"]]


def test_every_delta_of_a_tool_call_has_its_index_and_the_first_its_id(curl, body):
    function = {"name": "now", "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}}}
    more = {"tools": [{"type": "function", "function": function}], "tool_choice": "required", "stream": True}
    for _ in range(2):
        chunks = payloads(curl("/chat/completions", body["/chat/completions"] | more))
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        calls = [call for delta in deltas for call in delta.get("tool_calls") or []]
        assert {call["index"] for call in calls} == {0}
        assert calls[0]["id"]
        assert (calls[0]["type"], calls[0]["function"]["name"]) == ("function", "now")
        assert not [call for call in calls[1:] if call.get("id") or call["function"].get("name")]
        assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_whole_answer_has_every_field_that_openai_names(curl, body):
    for _ in range(2):
        seen = curl("/chat/completions", body["/chat/completions"])
        found = json.loads(seen["body"])
        assert seen["headers"]["content-type"].startswith("application/json")
        assert int(seen["headers"]["content-length"]) == len(seen["body"].encode())
        assert found["object"] == "chat.completion"
        assert {"id", "created", "model", "choices", "usage"} <= found.keys()
        assert {"index", "message", "finish_reason", "logprobs"} <= found["choices"][0].keys()
        assert found["choices"][0]["message"]["role"] == "assistant"


def test_the_list_of_models_is_a_list_object(curl):
    found = json.loads(curl("/models")["body"])
    assert found["object"] == "list"
    assert all(model["object"] == "model" and {"id", "created", "owned_by"} <= model.keys() for model in found["data"])


def test_an_error_in_mid_stream_is_a_data_line_and_no_done_follows(curl, body):
    asked = body["/chat/completions"] | {"model": "sim-t0-i0-n8-ferrorevent3", "stream": True}
    seen = curl("/chat/completions", asked)
    *chunks, last = [json.loads(event.removeprefix("data: ")) for event in seen["body"].split("\n\n") if event]
    assert len([chunk for chunk in chunks if chunk["choices"][0]["delta"].get("content")]) == 3
    assert last.keys() == {"error"}


REFUSED = {
    "no key": ("/models", None, {"key": ""}, 401),
    "wrong key": ("/chat/completions", {"model": MODEL, "messages": []}, {"key": "wrong"}, 401),
    "no messages": ("/chat/completions", {"model": MODEL}, {}, 400),
    "wrong type": ("/chat/completions", {"model": MODEL, "messages": "Hello?"}, {}, 400),
    "no object": ("/chat/completions", [1, 2], {}, 400),
    "no prompt": ("/completions", {"model": MODEL}, {}, 400),
    "no input": ("/embeddings", {"model": MODEL}, {}, 400),
    "unknown model": ("/chat/completions", {"model": "x", "messages": [{"role": "user", "content": "?"}]}, {}, 404),
    "unknown model, streamed": (
        "/chat/completions",
        {"model": "x", "messages": [{"role": "user", "content": "?"}], "stream": True},
        {},
        404,
    ),
    "unknown path": ("/conversations", {"model": MODEL, "input": "?"}, {}, 404),
    "wrong method": ("/chat/completions", None, {}, 405),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_openais_error_object(curl, name):
    path, sent, more, status = REFUSED[name]
    seen = curl(path, sent, **more)
    assert seen["status"] == status
    assert seen["headers"]["content-type"].startswith("application/json")
    found = json.loads(seen["body"])
    assert found.keys() == {"error"}
    assert found["error"].keys() == {"message", "type", "param", "code"}
    assert found["error"]["message"]


def test_a_refusal_is_sent_before_a_stream_begins(curl, body):
    seen = curl("/chat/completions", body["/chat/completions"] | {"stream": True, "max_tokens": -1})
    assert seen["status"] == 400
    assert json.loads(seen["body"])["error"]["param"] == "max_tokens"


def test_a_hit_tells_its_age_and_a_miss_does_not(program, subsecond, body):
    def told(sent):
        return program.do(subsecond, "raw", path="/chat/completions", body=sent)["headers"]

    miss, hit, replay = (told(body["/chat/completions"] | more) for more in ({}, {}, {"stream": True}))
    assert miss["cache-status"] == "subsecond; fwd=miss"
    assert "age" not in miss
    for headers in (hit, replay):
        assert headers["cache-status"].startswith("subsecond; hit; ttl=")
        assert int(headers["age"]) >= 0
    assert len({headers["x-request-id"] for headers in (miss, hit, replay)}) == 3
    assert all(headers["server-timing"] for headers in (miss, hit, replay))


def test_a_stream_reaches_the_terminal_piece_by_piece(target):
    """Four tokens are there although the model server never sends the fifth."""
    body = {"model": "sim-t0-i0-n24-fstall4", "messages": [{"role": "user", "content": "Hello?"}], "stream": True}
    command = [
        "curl",
        "-sN",
        "--max-time",
        "30",
        f"{target.base_url}/chat/completions",
        "-H",
        f"Authorization: Bearer {target.key}",
    ]
    command += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    pieces = []
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        while len(pieces) < 4 and (line := child.stdout.readline()):
            delta = json.loads(line.removeprefix(b"data: "))["choices"][0]["delta"] if line.strip() else {}
            pieces += [delta["content"]] if delta.get("content") else []
        child.terminate()
    assert len(pieces) == 4
