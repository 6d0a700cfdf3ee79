"""`POST /v1/messages` through the face: as asked, as answered, and what the caches make of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from subsecond.bootstrap import gateway
from tests.support.faults import Held

MODEL = "sim-t0-i0-n8"
VERSION = {"anthropic-version": "2023-06-01"}
TOOL = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


def body(text="hello", **given):
    return {"model": MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": text}], **given}


async def ask(client, asked=None, **headers):
    return await client.post("/v1/messages", asked or body(), **(VERSION | headers))


def events(reply):
    """(name, data) of each event of a stream."""
    found = []
    for block in reply.body.decode().strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            found.append((fields.get("event"), json.loads(fields["data"])))
    return found


def detail(reply):
    return reply.headers["cache-status"]


async def test_a_message_is_passed_as_it_was_said_and_then_comes_from_the_cache(served):
    client = await served()
    first, second = await ask(client), await ask(client)
    assert first.status == 200
    assert (first.json["type"], first.json["role"], first.json["stop_reason"]) == ("message", "assistant", "end_turn")
    assert second.body == first.body
    assert "fwd=miss" in detail(first)
    assert "detail=exact" in detail(second)


async def test_a_stream_has_named_events_and_is_replayed_byte_for_byte(served):
    client = await served()
    asked = body("stream", stream=True)
    first, second = await ask(client, asked), await ask(client, asked)
    names = [name for name, _ in events(first)]
    assert names[0] == "message_start"
    assert names[-1] == "message_stop"
    assert all(name == data["type"] for name, data in events(first))
    assert b"[DONE]" not in first.body
    assert "detail=exact" in detail(second)
    assert [one for one in events(second) if one[0] != "ping"] == [one for one in events(first) if one[0] != "ping"]


async def test_one_form_is_told_from_the_other(served):
    client = await served()
    streamed = await ask(client, body("forms", stream=True))
    whole = await ask(client, body("forms"))
    assert "detail=exact" in detail(whole)
    said = "".join(data["delta"]["text"] for name, data in events(streamed) if name == "content_block_delta")
    assert [block["text"] for block in whole.json["content"]] == [said]


async def test_the_headers_that_choose_a_version_part_answers(served):
    client = await served()
    await ask(client)
    assert "fwd=miss" in detail(await ask(client, **{"anthropic-beta": "context-1m-2025-08-07"}))
    assert "detail=exact" in detail(await ask(client))


async def test_chat_and_messages_share_no_answer(served):
    client = await served()
    await ask(client)
    reply = await client.post("/v1/chat/completions", body())
    assert "fwd=miss" in detail(reply)


async def test_parallel_calls_of_tools_pass_and_hit_in_equal_words_alone(served):
    client = await served()
    asked = body("weather in Rome and Oslo", tools=[TOOL], tool_choice={"type": "any"})
    first, again = await ask(client, asked), await ask(client, asked)
    calls = [block for block in first.json["content"] if block["type"] == "tool_use"]
    assert calls
    assert first.json["stop_reason"] == "tool_use"
    assert "detail=exact" in detail(again)


async def test_equal_messages_at_once_are_one_call(served):
    client = await served()
    asked = body("at once", model="sim-t100-i0-n8")
    replies = await asyncio.gather(*(ask(client, asked) for _ in range(4)))
    assert len({reply.body for reply in replies}) == 1
    assert sum("fwd=miss" in detail(reply) and "collapsed" not in detail(reply) for reply in replies) == 1


async def test_a_similar_question_is_answered_in_the_same_dialect_alone(served, settings):
    client = await served(replace(settings, semantic="threshold", similarity=0.5, embedder="hashing"))
    await ask(client, body("Does anybody load the stage?"))
    await ask(client, body("How do I reset my password?"))
    near = await ask(client, body("How can I reset my password?"))
    other = await client.post("/v1/chat/completions", body("How can I reset my password now?"))
    assert "detail=semantic" in detail(near)
    assert near.json["type"] == "message"
    assert "detail=semantic" not in detail(other)


@pytest.mark.parametrize(
    ("asked", "status", "kind"),
    [
        (body(model="nobody"), 404, "not_found_error"),
        ({"model": MODEL, "max_tokens": 5}, 400, "invalid_request_error"),
        ({"model": MODEL, "messages": "x"}, 400, "invalid_request_error"),
        (body(model="sim-t0-i0-n8-fstatus429"), 429, "rate_limit_error"),
    ],
)
async def test_errors_are_anthropics_own(served, settings, asked, status, kind):
    client = await served(replace(settings, upstream_retries=0))
    reply = await ask(client, asked)
    assert (reply.status, reply.json["type"], reply.json["error"]["type"]) == (status, "error", kind)
    assert reply.json["error"]["message"]
    assert reply.json["request_id"] == reply.headers["x-request-id"]


async def test_a_key_may_stand_where_anthropics_clients_put_it(served):
    client = await served()
    bare = {"content-type": "application/json", **VERSION}
    sent = json.dumps(body())
    found = {}
    for name, value in {"right": client.key, "wrong": "sk-wrong", "none": ""}.items():
        reply = await client.http.post("/v1/messages", content=sent, headers={**bare, "x-api-key": value})
        found[name] = (reply.status_code, reply.json()["type"])
    assert found == {"right": (200, "message"), "wrong": (401, "error"), "none": (401, "error")}


@pytest.mark.parametrize(
    "given",
    [
        {"thread": {"type": "create"}},
        {"container": {"skills": [{"type": "anthropic", "skill_id": "xlsx"}]}},
        {"mcp_servers": [{"type": "url", "url": "https://example.com", "name": "one"}]},
    ],
)
async def test_what_an_upstream_keeps_or_does_is_not_read_from_the_cache(served, given):
    client = await served()
    asked = body("private", **given)
    await ask(client, asked)
    assert "detail=exact" not in detail(await ask(client, asked))


@pytest.mark.parametrize("fault", ["truncate4", "nodone", "malformed3"])
async def test_an_error_behind_the_first_byte_is_an_event(served, settings, fault):
    client = await served(replace(settings, upstream_retries=0))
    asked = body(model=f"sim-t0-i0-n8-f{fault}", stream=True)
    for _ in range(2):
        reply = await ask(client, asked)
        name, data = events(reply)[-1]
        assert (name, data["type"], data["error"]["type"]) == ("error", "error", "api_error")
        assert "fwd=miss" in detail(reply)


async def test_an_event_that_cannot_be_read_before_the_first_one_is_a_502(served, settings):
    client = await served(replace(settings, upstream_retries=0))
    reply = await ask(client, body(model="sim-t0-i0-n8-fmalformed", stream=True))
    assert (reply.status, reply.json["type"]) == (502, "error")


@pytest.mark.parametrize(("fault", "status"), [("nodone", 200), ("malformed3", 502)])
async def test_all_who_share_a_stream_are_told_of_its_failure(served, settings, fault, status):
    """Who waits for a whole reply has been given nothing, and asks again: for a whole one, which `nodone` spares."""
    made = gateway(replace(settings, upstream_retries=0))
    held = Held(made.models.upstream)
    client = await served(gateway=replace(made, models=replace(made.models, upstream=held)))
    asked = body("shared", model=f"sim-t0-i0-n8-f{fault}", stream=True)
    first = asyncio.create_task(ask(client, asked))
    await client.watched(1)
    others = [asyncio.create_task(ask(client, {**asked, "stream": form})) for form in (True, False)]
    await client.watched(3)
    held.open.set()
    streamed, whole, led = await asyncio.gather(*others, first)
    assert [events(reply)[-1][0] for reply in (streamed, led)] == ["error", "error"]
    assert "collapsed" in detail(streamed)
    assert whole.status == status


@pytest.mark.parametrize(("query", "headers"), [("?dialect=messages", {}), ("", VERSION)])
async def test_what_would_answer_a_message_is_explained(served, query, headers):
    client = await served()
    path = f"/v1/cache/explain{query}"
    before = (await client.post(path, body(), **headers)).json
    # The version counts in the key: who names the dialect alone asks without one.
    await client.post("/v1/messages", body(), **headers)
    after = (await client.post(path, body(), **headers)).json
    assert (before["source"], after["source"]) == ("upstream", "exact")
    assert (await client.post("/v1/cache/explain", body())).json["source"] == "upstream"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/messages", 405),
        ("DELETE", "/v1/messages/count_tokens", 405),
        ("POST", "/v1/messages/batches", 404),
        ("GET", "/v1/files", 404),
        ("POST", "/elsewhere", 404),
    ],
)
async def test_what_is_not_served_is_told_in_anthropics_shape(served, method, path, status):
    client = await served()
    reply = await client.send(method, path, **VERSION)
    assert (reply.status, reply.json["type"]) == (status, "error")
    assert reply.headers["request-id"] == reply.json["request_id"]


async def test_a_base_url_with_v1_is_told_to_leave_it_out(served):
    client = await served()
    reply = await client.post("/v1/v1/messages", body(), **VERSION)
    assert "end before /v1" in reply.json["error"]["message"]
    chat = await client.post("/v1/v1/chat/completions", body())
    assert "end in /v1, once" in chat.json["error"]["message"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_requests_id_stands_where_anthropics_clients_look(served, streamed):
    client = await served()
    reply = await ask(client, body(stream=streamed))
    assert reply.headers["request-id"] == reply.headers["x-request-id"]
    assert "request-id" not in (await client.post("/v1/chat/completions", body())).headers


@pytest.mark.parametrize("system", [[7], [None], [[]], {}, 7])
async def test_a_malformed_system_text_is_a_400(served, system):
    client = await served()
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        assert (await client.post(path, body(system=system), **VERSION)).status == 400


async def test_several_lines_of_cache_control_are_one_list(served):
    client = await served()
    token = {"authorization": f"Bearer {client.key}", "content-type": "application/json"}
    lines = [*token.items(), ("cache-control", "max-age=60"), ("cache-control", "no-store")]
    for _ in range(2):
        reply = await client.http.post("/v1/chat/completions", content=json.dumps(body("lines")), headers=lines)
        assert "fwd=miss" in reply.headers["cache-status"]
