"""Words that must turn up nowhere, and addresses that must not be called."""

import asyncio
import logging

import pytest

from tests.support.wires import chunk, reply, stream, whole

WORD = "canary-4711-of-a-private-question"
SAID = "canary-4712-of-a-private-answer"
TOKEN = "sk-ss-canary-4713"


def answers(body, _):
    if body.get("stream"):
        return [stream(chunk(content=SAID), chunk("stop"))]
    return [whole(reply(SAID))]


def everything(records):
    return "\n".join(f"{record.getMessage()} {vars(record)} {record.exc_text}" for record in records)


async def asked(client, server):
    yield await client.chat(WORD)
    yield await client.chat(WORD)
    yield await client.chat(WORD, stream=True)
    yield await client.chat(f"{WORD}?")
    yield await client.chat(WORD, key=TOKEN)
    yield await client.post("/v1/chat/completions", f'{{"model": "{WORD}", '.encode())
    yield await client.post("/v1/chat/completions", {"model": 1, "messages": WORD})
    yield await client.post("/v1/completions/batch", {"model": "m", "prompts": [WORD, f"{WORD}!"]})
    yield await client.post("/v1/cache/explain", {"model": "m", "messages": [{"role": "user", "content": WORD}]})
    server.answer = lambda *_: [stream(chunk(content=SAID), end=b'data: {"choi')]
    yield await client.chat(f"{WORD} broken", stream=True)
    server.answer = lambda *_: [whole({"error": {"message": f"bad: {WORD}", "type": "invalid_request_error"}}, 400)]
    yield await client.chat(f"{WORD} refused")


async def test_no_word_of_a_request_is_in_a_log_line(relaying, caplog):
    client, server = await relaying(answers, semantic="guarded")
    with caplog.at_level(logging.DEBUG, "subsecond"):
        statuses = [seen.status async for seen in asked(client, server)]
    assert {200, 400, 401} <= set(statuses)
    logged = everything(record for record in caplog.records if record.name.startswith("subsecond"))
    for secret in (WORD, SAID, TOKEN, "sk-test"):
        assert secret not in logged


@pytest.mark.parametrize("stranger", ["header", "body", "query"])
async def test_nothing_in_a_request_chooses_the_upstream(relaying, stranger):
    called = []
    listener = await asyncio.start_server(lambda *_: called.append(1), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    names = ("base_url", "api_base", "upstream", "upstream_url", "endpoint", "server", "url", "x_upstream_url")
    client, server = await relaying(answers)
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello?"}]}
    path, headers = "/v1/chat/completions", {}
    match stranger:
        case "header":
            headers = dict.fromkeys((*names, "x_forwarded_host", "forwarded", "x_original_url", "host"), url)
        case "body":
            body |= dict.fromkeys(names, url) | {"subsecond": {}}
        case "query":
            path += "?" + "&".join(f"{name}={url}" for name in names)
    seen = await client.post(path, body, **headers)
    listener.close()
    assert (called, seen.status, len(server.requests)) == ([], 200, 1)
