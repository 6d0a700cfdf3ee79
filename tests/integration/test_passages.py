"""What passes unread: pictures, speech, moderation, a count of tokens."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from subsecond.api.app import UNREAD
from tests.support.http import listening

FORM = "multipart/form-data; boundary=xYzZY"
PART = 'content-disposition: form-data; name="{}"'
SOUND = bytes(range(256)) * 300


def form(model="whisper-1", *, boundary="xYzZY"):
    parts = [(PART.format("file") + '; filename="model"', SOUND), (PART.format("model"), model.encode())]
    return b"".join(f"--{boundary}\r\n{head}\r\n\r\n".encode() + body + b"\r\n" for head, body in parts) + (
        f"--{boundary}--\r\n".encode()
    )


@pytest.fixture
async def upstream():
    """A server that says what it was sent, or sends a sound back in pieces."""
    seen = []

    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        seen.append({"path": scope["path"], "headers": headers, "body": body})
        sound = scope["path"].endswith("/speech")
        status = 418 if b"refuse" in body else 200
        kind = b"audio/mpeg" if sound else b"application/json"
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
        for piece in (SOUND[:100], SOUND[100:]) if sound else (b'{"said": "sk-upstream-0123456789"}',):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async with listening(_without_lifespan(app)) as base:
        yield f"{base}/v1", seen


def _without_lifespan(app):
    async def served(scope, receive, send):
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})

    return served


@pytest.fixture
async def client(served, settings, upstream):
    chosen = replace(settings, upstream="openai", upstream_url=upstream[0], upstream_key="sk-upstream-0123456789")
    return await served(replace(chosen, upstream_retries=0))


async def test_no_server_reads_another_model_than_was_looked_at(client, upstream):
    """Some take the first of two fields of one name, and some the last."""
    await client.post("/v1/moderations", b'{"model": "one", "x": 1.5, "model": "two"}')
    assert upstream[1][0]["body"] == b'{"model":"two","x":1.5}'
    twice = form("one")[: -len("--xYzZY--\r\n")] + form("two")
    reply = await client.post("/v1/audio/transcriptions", twice, content_type=FORM)
    assert (reply.status, reply.json["error"]["param"], len(upstream[1])) == (400, "model", 1)


@pytest.mark.parametrize("path", UNREAD)
async def test_it_passes_as_it_came_each_time(client, upstream, path):
    body = b'{ "model":"m",  "input" : "\xc3\xa9 1e3 1.0" }'
    for _ in range(2):
        reply = await client.post(f"/v1{path}", body)
        assert reply.status == 200
    assert [one["body"] for one in upstream[1]] == [body, body]
    assert upstream[1][0]["path"] == f"/v1{path}"
    assert upstream[1][0]["headers"]["authorization"] == "Bearer sk-upstream-0123456789"
    assert reply.headers["x-request-id"]


async def test_our_own_key_is_not_told(client):
    assert "sk-upstream-0123456789" not in (await client.post("/v1/moderations", {"input": "x"})).body.decode()


async def test_a_form_with_a_file_passes_as_it_came(client, upstream):
    reply = await client.post("/v1/audio/transcriptions", form(), content_type=FORM)
    assert reply.status == 200
    [seen] = upstream[1]
    assert seen["body"] == form()
    assert seen["headers"]["content-type"] == FORM


async def test_a_sound_comes_back_as_it_is(client):
    reply = await client.post("/v1/audio/speech", {"model": "tts-1", "input": "hello"})
    assert (reply.headers["content-type"], reply.body) == ("audio/mpeg", SOUND)


async def test_it_is_counted_and_never_cached(client):
    await client.post("/v1/moderations", {"model": "omni", "input": "x"})
    found = (await client.send("GET", "/v1/cache/stats")).json
    assert (found["bypassed"], found["upstream_calls"], found["misses"]) == (1, 1, 0)
    assert found["recent_requests"][-1]["model"] == "omni"


async def test_an_error_keeps_its_status(client):
    reply = await client.post("/v1/moderations", {"input": "refuse"})
    assert reply.status == 418


CATALOGUE = {
    "upstreams": {"one": {"url": "", "key": "sk-one"}},
    "models": [{"name": "mine", "model": "theirs", "upstream": "one", "tier": "fast"}],
}


@pytest.fixture
async def routed(served, settings, upstream):
    catalogue = {**CATALOGUE, "upstreams": {"one": {"url": upstream[0], "key": "sk-one"}}}
    return await served(replace(settings, upstream="openai", catalogue=json.dumps(catalogue), upstream_retries=0))


async def test_with_a_catalogue_it_goes_to_its_models_server_under_its_name_there(routed, upstream):
    await routed.post("/v1/moderations", {"model": "mine", "input": "x"})
    await routed.post("/v1/audio/transcriptions", form("mine"), content_type=FORM)
    assert [one["headers"]["authorization"] for one in upstream[1]] == ["Bearer sk-one"] * 2
    assert json.loads(upstream[1][0]["body"]) == {"model": "theirs", "input": "x"}
    assert upstream[1][1]["body"] == form("theirs")


@pytest.mark.parametrize(("body", "status"), [({"input": "x"}, 400), ({"model": "nobody", "input": "x"}, 404)])
async def test_with_a_catalogue_a_model_of_it_is_named(routed, body, status):
    reply = await routed.post("/v1/moderations", body)
    assert (reply.status, reply.json["error"]["param"]) == (status, "model")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"x", "application/json"),
        (b'{"model": 7}', "application/json"),
        (b'{"model": ""}', "application/json"),
        (form("\x00"), FORM),
        (form(""), FORM),
        (form(), "multipart/form-data"),
        (form().replace(b"whisper-1", b"\xff"), FORM),
    ],
)
async def test_a_malformed_body_is_a_400(client, body, kind):
    assert (await client.post("/v1/audio/transcriptions", body, content_type=kind)).status == 400


async def test_a_model_is_named_by_a_parts_own_head_alone(routed, upstream):
    odd = b'--xYzZY\r\nx-odd: content-disposition: form-data; name="model"\r\n\r\nnobody\r\n' + form("mine")
    await routed.post("/v1/audio/transcriptions", odd, content_type=FORM)
    assert upstream[1][0]["body"] == odd.replace(b"mine", b"theirs")


@pytest.mark.parametrize(
    "body", [b"", b"--xYzZY", b"--xYzZY\r\n\r\n", b"--xYzZY\r\n\r\nx\r\n--xYzZY" * 3, form()[:-40]]
)
async def test_a_form_that_breaks_off_passes_for_the_upstream_to_refuse(client, upstream, body):
    await client.post("/v1/audio/transcriptions", body, content_type=FORM)
    assert upstream[1][0]["body"] == body


async def test_tokens_of_a_message_are_counted_by_the_upstream(served):
    client = await served()
    body = {"model": "sim-t0-i0-n8", "messages": [{"role": "user", "content": "one two"}]}
    reply = await client.post("/v1/messages/count_tokens", body, anthropic_version="2023-06-01")
    assert reply.json["input_tokens"] > 1
    wrong = await client.post("/v1/messages/count_tokens", [], anthropic_version="2023-06-01")
    assert (wrong.status, wrong.json["type"]) == (400, "error")


@pytest.mark.parametrize(
    "path", ["files", "batches", "files/file-1/content", "uploads", "vector_stores", "conversations"]
)
async def test_what_all_tenants_of_an_upstream_share_is_refused(client, upstream, path):
    for method in ("GET", "POST", "DELETE"):
        reply = await client.send(method, f"/v1/{path}")
        assert (reply.status, reply.json["error"]["code"]) == (404, "shared_objects")
    assert upstream[1] == []


async def test_nobody_without_a_key_passes(client, upstream):
    reply = await client.post("/v1/moderations", {"input": "x"}, key="sk-wrong")
    assert (reply.status, upstream[1]) == (401, [])
