"""What Claude Code and Codex send, in the shape in which they send it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from subsecond.bootstrap import gateway
from subsecond.config import Settings
from tests.support.raw_server import CLOSE, RawServer, reply
from tests.support.responses import message, payloads, response
from tests.support.wires import stream

CLAUDE = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,context-management-2025-06-27,effort-2025-11-24",
    "anthropic-dangerous-direct-browser-access": "true",
    "x-app": "cli",
    "x-claude-code-session-id": "5f1c",
    "user-agent": "claude-cli/2.1.177 (external, sdk-cli)",
    "accept-encoding": "gzip, deflate, br, zstd",
}
CODEX = {
    "originator": "codex_exec",
    "session_id": "0199",
    "openai-beta": "responses=experimental",
    "user-agent": "codex_exec/0.155.0 (Linux; x86_64)",
    "accept": "text/event-stream",
}
SAID = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "Done."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 9, "output_tokens": 1},
}


def claude(session="a", **more):
    """A turn of Claude Code."""
    tool = {"name": "Bash", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    words = {"type": "text", "text": "List the files.", "cache_control": {"type": "ephemeral"}}
    return {
        "model": "claude",
        "max_tokens": 32_000,
        "system": [{"type": "text", "text": "You are Claude Code.", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": [words]}],
        "tools": [tool],
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "metadata": {"user_id": json.dumps({"device_id": "d", "session_id": session})},
        **more,
    }


def codex(turn="1", **more):
    """A turn of Codex, the second: it gives back what was thought and called."""
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "content": None, "encrypted_content": "sealed"}
    called = {"type": "function_call", "name": "shell", "arguments": '{"command":["ls"]}', "call_id": "call_1"}
    told = {"type": "function_call_output", "call_id": "call_1", "output": "README.md"}
    asked = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "List the files."}]}
    return {
        "model": "gpt",
        "instructions": "You are Codex.",
        "input": [asked, thought, called, told],
        "tools": [
            {"type": "function", "name": "shell", "strict": False, "parameters": {"type": "object"}},
            {
                "type": "custom",
                "name": "apply_patch",
                "format": {"type": "grammar", "syntax": "lark", "definition": "x"},
            },
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": f"thread-{turn}",
        "text": {"verbosity": "low"},
        "client_metadata": {"x-codex-installation-id": "i", "turn_id": turn},
        **more,
    }


@pytest.fixture
async def before(served):
    """`client, server = await before(kind, *script)`: a gateway before a server of that kind, which says this."""
    open_listeners = []

    async def start(kind, *script):
        server = RawServer(script)
        listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        open_listeners.append(listener)
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
        chosen = Settings(upstream_url=url, upstream_kind=kind, semantic="off", upstream_retries=0, api_key="sk-x")
        return await served(chosen, gateway=gateway(chosen)), server

    yield start
    # Not waited for: since Python 3.12 that is until every connection has ended, and the gateway keeps its own.
    for listener in open_listeners:
        listener.close()


async def test_a_turn_of_claude_code_is_passed_as_it_came(before):
    client, server = await before("anthropic", reply(200, SAID))
    sent = json.dumps(claude()).encode()
    seen = await client.post("/v1/messages?beta=true", sent, **CLAUDE)
    assert (seen.status, seen.json) == (200, SAID)
    first, head, body = server.requests[0]
    assert (first, body) == ("POST /v1/messages HTTP/1.1", sent)
    lines = head.lower().split("\r\n")
    assert {f"{name}: {CLAUDE[name]}" for name in ("anthropic-version", "anthropic-beta")} <= set(lines)
    assert seen.headers["request-id"]


async def test_another_session_of_claude_code_has_the_same_turn_from_the_cache(before):
    client, server = await before("anthropic", reply(200, SAID))
    for session in "ab":
        assert (await client.post("/v1/messages?beta=true", claude(session), **CLAUDE)).json == SAID
    assert len(server.requests) == 1


async def test_what_claude_code_asks_beside_its_turns_is_served(served):
    client = await served()
    assert (await client.send("HEAD", "/", **CLAUDE)).status == 307
    asked = claude(model="sim-t0-i0-n8")
    counted = await client.post("/v1/messages/count_tokens?beta=true", asked, **CLAUDE)
    assert counted.json["input_tokens"] > 0
    models = (await client.send("GET", "/v1/models?limit=1000", **CLAUDE)).json
    assert (models["has_more"], {one["type"] for one in models["data"]}) == (False, {"model"})
    seen = await client.post("/v1/messages?beta=true", claude(model="nobody"), **CLAUDE)
    assert (seen.status, seen.json["type"], seen.json["error"]["type"]) == (404, "error", "not_found_error")


PAGE = {"data": [{"type": "model", "id": "b"}], "has_more": False, "first_id": "b", "last_id": "b"}


@pytest.mark.parametrize(
    ("asked", "headers", "sent"),
    [
        ("?limit=1&after_id=a", CLAUDE, "?limit=1&after_id=a"),
        ("", CLAUDE, "?limit=1000"),
        ("?client_version=1", CODEX, "?limit=1000"),
    ],
)
async def test_a_list_that_has_pages_is_asked_for_the_page_that_is_wanted(before, asked, headers, sent):
    client, server = await before("anthropic", reply(200, PAGE))
    seen = await client.send("GET", f"/v1/models{asked}", **headers)
    assert [one["id"] for one in seen.json["data"]] == ["b"]
    assert server.requests[0][0] == f"GET /v1/models{sent} HTTP/1.1"


async def test_a_list_without_pages_is_asked_for_as_one(before):
    client, server = await before("openai", reply(200, {"object": "list", "data": []}))
    await client.send("GET", "/v1/models?limit=1000", **CLAUDE)
    assert server.requests[0][0] == "GET /v1/models HTTP/1.1"


async def test_the_next_turn_of_codex_is_passed_as_it_came_and_then_comes_from_the_cache(before):
    told = payloads(response(message("Done.")))
    client, server = await before("openai", [stream(*told, end=b""), CLOSE])
    sent = json.dumps(codex()).encode()
    first = await client.post("/v1/responses", sent, **CODEX)
    assert (first.status, first.lines) == (200, told)
    assert server.requests[0][2] == sent
    again = await client.post("/v1/responses", codex("2"), **CODEX)
    assert "detail=exact" in again.headers["cache-status"]
    assert [json.loads(line)["type"] for line in again.lines] == [json.loads(line)["type"] for line in told]
    assert len(server.requests) == 1


@pytest.mark.parametrize("fault", ["errorevent3", "truncate3"])
async def test_codex_hears_why_a_stream_has_failed(served, fault):
    """It passes over `error`."""
    client = await served()
    seen = await client.post("/v1/responses", codex(model=f"sim-t0-i0-n8-f{fault}", tools=[]), **CODEX)
    begun, *_, error, failed = (json.loads(line) for line in seen.lines)
    assert (error["type"], failed["type"]) == ("error", "response.failed")
    assert failed["sequence_number"] == error["sequence_number"] + 1
    assert (failed["response"]["status"], failed["response"]["error"]["message"]) == ("failed", error["message"])
    assert failed["response"]["error"]["code"]
    assert failed["response"]["id"] == begun["response"]["id"]


async def test_codex_is_told_to_do_without_a_web_socket(served):
    client = await served()
    offer = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "eA==",
    }
    seen = await client.send("GET", "/v1/responses", **CODEX, **offer)
    assert (seen.status, seen.json["error"]["code"]) == (426, "websocket_not_served")
    assert "POST" in seen.json["error"]["message"]
    # Some fronts take `Upgrade` away.
    seen = await client.send("GET", "/v1/responses", **{"sec-websocket-key": "eA=="})
    assert seen.status == 426
    assert (await client.send("GET", "/v1/responses", **CODEX)).status == 405


async def test_codex_is_told_how_to_send_what_is_packed_as_nobody_reads_it(served):
    client = await served()
    seen = await client.post("/v1/responses", b"(\xb5/\xfd", content_encoding="zstd", **CODEX)
    assert (seen.status, seen.json["error"]["code"]) == (415, "unsupported_encoding")
    assert "the JSON itself" in seen.json["error"]["message"]


async def test_codex_is_not_sent_to_what_it_does_not_speak(served, settings):
    client = await served(replace(settings, upstream_dialects="chat"))
    told = (await client.post("/v1/responses", codex(), **CODEX)).json["error"]["message"]
    assert "wire_api" not in told
    assert "a model whose upstream speaks Responses" in told


HELD = SAID | {"container": {"id": "container_1", "expires_at": "2026-12-01T00:00:00Z"}}
EVENTS = [
    {"type": "message_start", "message": SAID | {"content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Done."}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "container": HELD["container"]}, "usage": {}},
    {"type": "message_stop"},
]


@pytest.mark.parametrize(
    ("made", "streamed", "named"),
    [
        ({}, False, {"container": "container_1"}),
        ({}, True, {"container": {"id": "container_1", "skills": []}}),
        ({"thread": {"type": "create"}}, False, {"thread": {"type": "continue", "previous_message_id": "msg_1"}}),
        ({"thread": {"type": "create"}}, True, {"thread": {"type": "continue", "previous_message_id": "msg_1"}}),
    ],
)
async def test_nobody_goes_on_from_a_container_or_a_thread_that_is_another_partitions(before, made, streamed, named):
    told = [stream(*EVENTS, end=b""), CLOSE] if streamed else reply(200, HELD)
    client, server = await before("anthropic", told, reply(200, SAID))
    unknown = await client.post("/v1/messages", claude(**named), **CLAUDE)
    assert (unknown.status, unknown.json["error"]["type"], server.requests) == (404, "not_found_error", [])
    assert (await client.post("/v1/messages", claude(stream=streamed, **made), **CLAUDE)).status == 200
    for _ in range(2):
        # Neither stored nor read.
        assert (await client.post("/v1/messages", claude(**named), **CLAUDE)).status == 200
    assert [server.body(number).items() >= named.items() for number in range(3)] == [False, True, True]
