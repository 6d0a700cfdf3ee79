"""What goes wrong, ends oddly or comes in odd bytes: told as it is, and kept only where it is an answer."""

import asyncio
import gzip
import json

import pytest

from tests.integration.relay.conftest import UPSTREAM_KEY
from tests.support.http import PATIENCE
from tests.support.wires import chunk, event, head, reply, stream, whole

GOOD = [chunk(content="Good."), chunk("stop")]


def hit(seen):
    return "; hit" in seen.headers["cache-status"]


# Errors


@pytest.mark.parametrize("form", [False, True])
@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"object": "error", "message": "Too long.", "code": 400}, 400, "Too long."),
        ({"error": {"type": "overloaded_error", "message": "Busy."}}, 529, "Busy."),
        ([{"error": {"code": 429, "message": "Enough."}}], 429, "Enough."),
        ({"detail": "No such model."}, 502, "No such model."),
        ({"choices": [], "usage": {"total_tokens": 3}}, 502, "choice"),
    ],
)
async def test_an_error_in_a_200_is_told_with_its_status_and_words(relaying, body, status, words, form):
    client, _ = await relaying(lambda asked, _: [stream(body) if asked.get("stream") else whole(body)])
    seen = await client.chat(**({"stream": True} if form else {}))
    assert seen.status == status
    assert words in seen.json["error"]["message"]


async def test_an_error_keeps_its_status_words_and_the_headers_that_a_client_acts_on(relaying):
    error = {"message": "Slow down.", "type": "tokens", "code": "rate_limit_exceeded", "param": None}
    headers = ("retry-after: 7", "retry-after-ms: 6500", "x-ratelimit-remaining-tokens: 0", "x-request-id: req_1")
    client, _ = await relaying(lambda *_: [whole({"error": error}, 429, *headers)])
    seen = await client.chat()
    assert (seen.status, seen.json["error"]) == (429, error)
    named = ("retry-after", "retry-after-ms", "x-ratelimit-remaining-tokens", "x-upstream-request-id")
    assert [seen.headers[name] for name in named] == ["7", "6500", "0", "req_1"]


@pytest.mark.parametrize("form", [False, True])
@pytest.mark.parametrize("status", [401, 403])
async def test_nobody_hears_of_our_key(relaying, status, form):
    error = {"error": {"message": f"Incorrect API key provided: {UPSTREAM_KEY}."}}
    client, _ = await relaying(lambda *_: [whole(error, status)])
    seen = await client.chat(**({"stream": True} if form else {}))
    assert (seen.status, UPSTREAM_KEY.encode() in seen.body) == (502, False)


async def test_an_error_event_in_a_stream_quotes_no_key_either(relaying):
    late = b"event: error\n" + event({"error": {"message": f"invalid api key {UPSTREAM_KEY}", "code": 401}})
    client, _ = await relaying(lambda *_: [stream(chunk(content="Go"), end=late)])
    seen = await client.chat(stream=True)
    assert (seen.done, UPSTREAM_KEY.encode() in seen.body) == (False, False)
    assert seen.chunks[-1]["error"]["message"]


async def test_a_callers_own_mistake_stays_a_403(relaying):
    error = {"message": "Your input was flagged.", "type": "moderation", "code": "flagged", "param": None}
    client, _ = await relaying(lambda *_: [whole({"error": error}, 403)])
    seen = await client.chat()
    assert (seen.status, seen.json["error"]) == (403, error)


async def test_one_bad_prompt_of_a_batch_fails_alone(relaying):
    def answer(body, _):
        if body["prompt"] == "bad":
            return [whole(b"<html>oh</html>", kind="text/html")]
        choice = {"index": 0, "text": "Good.", "finish_reason": "stop"}
        return [whole({"id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]})]

    client, _ = await relaying(answer)
    seen = await client.post("/v1/completions/batch", {"model": "m", "prompts": ["a", "bad", "b"]})
    assert (seen.status, seen.json["responses"]) == (200, ["Good.", None, "Good."])


# Ends, and what is kept


@pytest.mark.parametrize(
    ("end", "kept"),
    [
        (b"data: [DONE] \n\n", True),
        (b"", True),
        (b"data: [DONE]", True),
        (b": bye\n\n", True),
        (b'data: {"choices": [{"ind', False),
    ],
)
async def test_a_clean_end_is_one_with_and_without_its_mark(relaying, end, kept):
    client, _ = await relaying(lambda *_: [stream(*GOOD, end=end)])
    first, again = await client.chat(stream=True), await client.chat(stream=True)
    assert (first.done, hit(again)) == (kept, kept)


@pytest.mark.parametrize("word", ["eos", "STOP", "end_turn", "max_tokens"])
@pytest.mark.parametrize("form", [False, True])
async def test_odd_words_for_the_end_are_kept_as_they_are(relaying, word, form):
    told = stream(chunk(content="Good."), chunk(word)) if form else whole(reply(finish=word))
    client, _ = await relaying(lambda *_: [told])
    asked = {"stream": True} if form else {}
    first, again = await client.chat(**asked), await client.chat(**asked)
    assert (hit(again), again.body) == (True, first.body)
    assert word.encode() in first.body


@pytest.mark.parametrize(
    "told",
    [
        stream(chunk(content="Go")),
        stream(chunk(content=""), chunk("stop")),
        stream(chunk(reasoning_content="hm"), chunk("length")),
        stream(chunk(content="Go"), chunk("content_filter")),
        stream(chunk(refusal="I will not."), chunk("stop")),
        stream(b'{"choices":[{"index":0,"delta":{"content":"G"},"finish_reason":"stop","score":NaN}]}'),
    ],
    ids=["unfinished", "empty", "thoughts", "filtered", "refused", "NaN"],
)
async def test_what_is_no_answer_for_others_is_told_and_not_kept(relaying, told):
    client, server = await relaying(lambda *_: [told])
    first, again = await client.chat(stream=True), await client.chat(stream=True)
    assert (first.status, first.done, again.body) == (200, True, first.body)
    assert len(server.requests) == 2


# Bytes and bounds


@pytest.mark.parametrize("form", [False, True])
async def test_an_answer_in_gzip_is_told_plain(relaying, form):
    def answer(*_):
        plain = (b"".join(map(event, GOOD)) + b"data: [DONE]\n\n") if form else json.dumps(reply()).encode()
        return [
            head(200, "text/event-stream" if form else "application/json", "content-encoding: gzip"),
            gzip.compress(plain),
        ]

    client, _ = await relaying(answer)
    seen = await client.chat(**({"stream": True} if form else {}))
    assert (seen.text if form else seen.json["choices"][0]["message"]["content"]) == "Good."
    assert "content-encoding" not in seen.headers


async def test_a_request_in_gzip_is_read_and_one_in_zstd_is_refused_clearly(relaying):
    client, server = await relaying(lambda *_: [whole(reply())])
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}]}).encode()
    assert (await client.post("/v1/chat/completions", gzip.compress(body), content_encoding="gzip")).status == 200
    assert server.requests == [body]
    refused = await client.post("/v1/chat/completions", b"\x28\xb5\x2f\xfd", content_encoding="zstd")
    assert (refused.status, refused.json["error"]["code"]) == (415, "unsupported_encoding")


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "TEXT/EVENT-STREAM;charset=UTF-8"])
async def test_a_stream_is_known_by_its_body(relaying, kind):
    client, _ = await relaying(lambda *_: [stream(*GOOD, kind=kind)])
    assert (await client.chat(stream=True)).text == "Good."


@pytest.mark.parametrize("kind", ["Application/JSON; charset=utf-8", "text/html", "text/event-stream"])
async def test_a_reply_is_known_by_its_body(relaying, kind):
    client, _ = await relaying(lambda *_: [whole(reply(), kind=kind)])
    assert (await client.chat()).json == reply()


async def test_a_huge_error_keeps_its_status(relaying):
    client, _ = await relaying(lambda *_: [whole(b"x" * 3_000_000, 503, kind="text/plain")])
    seen = await client.chat()
    assert seen.status == 503
    assert len(seen.body) < 10_000


async def test_an_event_without_an_end_is_an_error_and_no_memory(relaying):
    def answer(*_):
        yield head() + event(chunk(content="Go")) + b"data: "
        for _ in range(20):
            yield b"x" * 1024 * 1024

    client, _ = await relaying(answer)
    seen = await client.chat(stream=True)
    assert (seen.done, "line of more than" in seen.chunks[-1]["error"]["message"]) == (False, True)


# Signs of life


@pytest.mark.parametrize("sign", [b": processing\n\n", b"data:\n\n", b":\n\n"])
async def test_a_sign_of_life_reaches_the_client_at_once_and_no_replay(relaying, sign):
    opened = asyncio.Event()
    client, _ = await relaying(lambda *_: [head() + sign, opened, stream(*GOOD).partition(b"\r\n\r\n")[2]])
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    sent = {"authorization": f"Bearer {client.key}"}
    async with client.http.stream("POST", "/v1/chat/completions", json=body, headers=sent) as response:
        parts = response.aiter_raw()
        assert (await asyncio.wait_for(anext(parts), PATIENCE)).startswith(b":")
        opened.set()
        rest = b"".join([part async for part in parts])
    again = await client.post("/v1/chat/completions", body)
    assert (hit(again), again.body) == (True, rest)


async def test_silence_behind_the_first_event_ends_as_an_error(relaying):
    client, _ = await relaying(lambda *_: [head() + event(GOOD[0]), asyncio.Event()], idle_timeout=0.05)
    seen = await client.chat(stream=True)
    assert (seen.text, seen.chunks[-1]["error"]["code"]) == ("Good.", "upstream_timeout")


async def test_a_first_token_that_never_comes_is_a_504(relaying):
    client, _ = await relaying(lambda *_: [asyncio.Event()], first_token_timeout=0.05)
    seen = await client.chat(stream=True)
    assert (seen.status, seen.json["error"]["code"]) == (504, "upstream_timeout")
