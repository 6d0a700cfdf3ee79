"""What an upstream refuses: its status, words and headers for the client, and nothing of our key for anybody."""

import json
import logging

import pytest

from subsecond.aws import secrets
from subsecond.config import Settings
from subsecond.errors import UpstreamError, UpstreamUnreachable
from subsecond.upstreams.openai import build
from subsecond.upstreams.retrying import BACKOFF_CAP
from tests.integration.upstreams.conftest import KEY
from tests.support.asking import call, collect, refused, whole
from tests.support.raw_server import CLOSE, END, HEAD, answer, event, part, reply

THEIRS = {"message": "No such model", "type": "invalid_request_error", "param": "model", "code": "model_not_found"}


@pytest.mark.parametrize("adapter", ["openai", "openai_package"])
@pytest.mark.parametrize("status", [400, 402, 403, 404, 409, 413, 422, 424, 429, 451, 500, 501, 503, 505, 529, 599])
async def test_a_refusal_keeps_its_status_and_its_error_object(serving, status, adapter):
    upstream, _ = await serving(reply(status, {"error": THEIRS}), adapter=adapter)
    for asked in (call(), whole()):
        error = await refused(UpstreamError, upstream, asked)
        assert (error.status, error.body()) == (status, {"error": THEIRS})
    with pytest.raises(UpstreamError) as raised:
        await upstream.fetch("/embeddings", {"model": "m"}, None)
    assert (raised.value.status, raised.value.body()) == (status, {"error": THEIRS})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"code": 400, "message": "context full", "type": "exceed_context", "n_ctx": 9}}, "context full"),
        ({"object": "error", "message": "bad", "type": "BadRequestError", "param": None, "code": 400}, "bad"),
        ({"error": {"message": "bad", "code": 400, "param": 7}}, "bad"),
        ({"error": "just text"}, "just text"),
        ([{"error": {"code": 400, "message": "in a list", "status": "INVALID_ARGUMENT"}}], "in a list"),
        ({"detail": "Not enough credits"}, "Not enough credits"),
        (b"just text", "just text"),
        ({"strange": [1]}, '{"strange": [1]}'),
        (b"<html>Bad Request</html>", "The upstream refused the request."),
        (b"", "The upstream refused the request."),
        (b"\xff\xfe", "\N{REPLACEMENT CHARACTER}" * 2),
    ],
)
async def test_an_error_object_is_completed_to_what_openai_clients_read(serving, body, message):
    upstream, _ = await serving(reply(400, body))
    error = await refused(UpstreamError, upstream)
    found = error.body()["error"]
    assert (error.status, found["message"]) == (400, message)
    assert isinstance(found["type"], str)
    assert found["param"] is None
    assert found["code"] in (None, "400")


@pytest.mark.parametrize("body", [b"<html>nginx</html>", b""])
async def test_a_servers_failure_without_words_says_its_status(serving, body):
    upstream, _ = await serving(reply(503, body, kind=b"text/html"))
    error = await refused(UpstreamError, upstream)
    assert (error.status, error.message) == (503, "The upstream failed with HTTP 503.")


async def test_a_servers_failure_is_in_the_log_with_its_words_and_without_our_key(serving, caplog):
    upstream, _ = await serving(reply(500, {"error": {"message": f"CUDA\nout of memory for {KEY}"}}))
    error = await refused(UpstreamError, upstream)
    assert error.message == "CUDA\nout of memory for [key]"
    assert "HTTP 500: CUDA out of memory for [key]" in caplog.text


@pytest.mark.parametrize("status", [300, 301, 304, 307, 600, 999])
async def test_a_status_that_is_neither_an_answer_nor_an_error_is_told_as_ours(serving, status):
    upstream, server = await serving(reply(status, b"", b"location: http://127.0.0.1:9/"), upstream_retries=2)
    error = await refused(UpstreamError, upstream)
    assert (error.status, error.code) == (502, "upstream_failed")
    assert f"HTTP {status}" in error.message
    assert len(server.requests) == 1


# Headers

HEADERS = [
    b"Retry-After: 30",
    b"retry-after-ms: 1500.5",
    b"X-RateLimit-Limit-Requests: 60",
    b"x-ratelimit-reset-tokens: 6m0s",
    b"x-request-id: req_1",
    b"openai-processing-ms: 12",
    b"x-should-retry: false",
    b"set-cookie: a=b",
    b"server: them",
    b"x-ratelimit-limit-requests: again",
]
KEPT = (
    (b"retry-after", b"30"),
    (b"retry-after-ms", b"1500.5"),
    (b"x-ratelimit-limit-requests", b"60"),
    (b"x-ratelimit-reset-tokens", b"6m0s"),
    (b"x-upstream-request-id", b"req_1"),
    (b"openai-processing-ms", b"12"),
    (b"x-should-retry", b"false"),
)


@pytest.mark.parametrize("adapter", ["openai", "openai_package"])
async def test_the_headers_that_clients_act_on_are_kept_of_every_answer(serving, adapter):
    good = HEAD.replace(b"\r\n\r\n", b"\r\n" + b"\r\n".join(HEADERS) + b"\r\n\r\n") + event(b"{}") + END
    upstream, _ = await serving([good], reply(200, {}, *HEADERS), reply(429, {}, *HEADERS), adapter=adapter)
    stream = await upstream.ask(call())
    assert await stream.next()
    assert await stream.next() is None
    assert stream.headers == KEPT
    assert (await upstream.ask(whole())).headers == KEPT
    error = await refused(UpstreamError, upstream)
    assert (error.headers, error.retry_after) == (KEPT, "30")


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b"0", True),
        (b"1.5", True),
        (b"Fri, 31 Dec 1999 23:59:59 GMT", True),
        (b"9" * 10, True),
        (b"9" * 11, False),
        (b"9" * 5000, False),
        (b"-1", False),
        (b"soon", False),
        (b"\xc3\xa9", False),
        (b"1e9", False),
        (b"Fri, 31 Dec 1999", False),
        (b"", False),
    ],
)
async def test_a_retry_after_is_seconds_or_a_date_or_none(serving, value, kept):
    upstream, _ = await serving(reply(429, {}, b"retry-after: " + value))
    error = await refused(UpstreamError, upstream)
    assert error.retry_after == (value.decode() if kept else None)
    assert error.headers == (((b"retry-after", value),) if kept else ())


@pytest.mark.parametrize("value", [b"x" * 257, b"\xc2\x85", b"a\tb", KEY.encode(), b"Bearer " + KEY.encode()])
async def test_a_value_that_could_harm_is_left_out(serving, value):
    upstream, _ = await serving(reply(429, {}, b"x-ratelimit-scope: " + value, b"x-request-id: r"))
    assert (await refused(UpstreamError, upstream)).headers == ((b"x-upstream-request-id", b"r"),)


@pytest.mark.parametrize("value", [b"a\nx-evil: 1", b"a\rb", b"a\x00b"])
async def test_a_value_with_a_line_break_is_no_http(serving, value):
    upstream, _ = await serving(reply(429, {}, b"x-ratelimit-scope: " + value))
    error = await refused(UpstreamError, upstream)
    assert b"x-evil" not in dict(error.headers)
    assert all(value.isascii() and value.decode().isprintable() for _, value in error.headers)


# Our own key


@pytest.mark.parametrize("adapter", ["openai", "openai_package"])
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {"error": {"message": "Wrong key sk-o***89"}}),
        (401, b""),
        (403, {"error": {"message": f"Your key {KEY} has expired"}}),
        (400, {"error": {"message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT"}}),
        (403, {"error": {"message": "No.", "code": "invalid_api_key"}}),
    ],
)
async def test_a_refused_key_is_our_fault_and_the_upstreams_text_stays_here(serving, status, body, adapter):
    upstream, server = await serving(reply(status, body), upstream_retries=2, adapter=adapter)
    error = await refused(UpstreamError, upstream)
    assert (error.status, error.code) == (502, "upstream_auth")
    assert "sk-" not in json.dumps(error.body())
    assert f"HTTP {status}" in error.message
    assert len(server.requests) == 1


async def test_a_403_about_the_callers_request_is_the_callers(serving):
    theirs = {"message": "Your input was flagged by moderation", "type": "moderation", "param": None, "code": None}
    upstream, _ = await serving(reply(403, {"error": theirs}))
    error = await refused(UpstreamError, upstream)
    assert (error.status, error.body()) == (403, {"error": theirs})


async def test_nothing_that_quotes_our_key_is_passed_on(serving):
    quoting = json.dumps({"error": {"message": f"{KEY} is over its quota"}}).encode()
    upstream, _ = await serving(
        reply(429, quoting),
        reply(200, quoting),
        [HEAD + event(quoting) + part(b": " + KEY.encode() + b"\n\n") + event(b"{}") + part(b"data: [DONE]\n\n") + END],
    )
    assert (await refused(UpstreamError, upstream)).message == "[key] is over its quota"
    assert KEY.encode() not in (await upstream.ask(whole())).body
    assert KEY.encode() not in b"".join(await collect(upstream))


async def test_a_word_that_stands_for_no_key_is_no_secret(serving):
    upstream, _ = await serving(reply(200, b'{"text": "none"}'), upstream_key="none")
    assert (await upstream.ask(whole())).body == b'{"text": "none"}'


async def test_a_refused_key_is_read_again_at_most_once_a_minute(serving, monkeypatch):
    place = "ssm:/upstream/key"
    reads = []
    monkeypatch.setattr(secrets, "_read", lambda reference: reads.append(reference) or KEY)
    secrets.forget_all()
    refusing, _ = await serving(reply(401, {}), upstream_secret=place)
    for _ in range(20):
        await refused(UpstreamError, refusing)
    assert reads == [place] * 2
    about_the_request, _ = await serving(reply(403, {"error": {"message": "Flagged."}}), upstream_secret=place)
    secrets._forgotten[place] -= secrets.REREAD
    for _ in range(3):
        await refused(UpstreamError, about_the_request)
    assert len(reads) == 2
    for _ in range(5):
        await refused(UpstreamError, refusing)
    assert len(reads) == 3
    secrets.forget_all()


# Asked again


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 529])
async def test_a_failure_that_may_pass_is_tried_again(serving, status):
    upstream, server = await serving(reply(status, {}), reply(status, {}), answer(b"{}"), upstream_retries=2)
    assert await collect(upstream) == [b"{}"]
    assert len(server.requests) == 3


async def test_a_failure_that_stays_is_told(serving):
    upstream, server = await serving(reply(500, {"error": THEIRS}), upstream_retries=2)
    error = await refused(UpstreamError, upstream)
    assert (error.status, error.body()) == (500, {"error": THEIRS})
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422, 501, 505])
async def test_other_failures_are_told_at_once(serving, status):
    upstream, server = await serving(reply(status, {}), upstream_retries=2)
    await refused(UpstreamError, upstream)
    assert len(server.requests) == 1


@pytest.mark.parametrize("after", ["7", "0", None])
async def test_429_is_told_at_once_with_its_retry_after(serving, after):
    """Never tried again, also where the pause would be short enough for us to wait."""
    headers = [b"retry-after: " + after.encode()] if after else []
    upstream, server = await serving(reply(429, {"error": THEIRS}, *headers), answer(b"{}"), upstream_retries=2)
    error = await refused(UpstreamError, upstream)
    assert (error.status, error.retry_after, error.body()) == (429, after, {"error": THEIRS})
    assert len(server.requests) == 1


async def test_a_short_retry_after_is_waited_for_and_a_long_one_passed_on(serving):
    upstream, server = await serving(reply(503, {}, b"retry-after: 0"), answer(b"{}"), upstream_retries=1)
    assert await collect(upstream) == [b"{}"]
    for longer in (str(int(BACKOFF_CAP) + 1), "Fri, 31 Dec 2999 23:59:59 GMT"):
        upstream, server = await serving(reply(503, {}, b"retry-after: " + longer.encode()), upstream_retries=1)
        error = await refused(UpstreamError, upstream)
        assert (error.status, error.retry_after) == (503, longer)
        assert len(server.requests) == 1


async def test_a_refusal_that_breaks_off_is_an_error_all_the_same(serving):
    upstream, _ = await serving([b"HTTP/1.1 400 Bad\r\ncontent-length: 99\r\n\r\n{", CLOSE])
    await refused(UpstreamUnreachable, upstream)


@pytest.mark.parametrize("adapter", ["openai", "openai_package"])
async def test_a_server_that_is_not_there_is_an_error_whose_cause_is_in_the_log(unused_tcp_port, caplog, adapter):
    from importlib import import_module

    settings = Settings(upstream_url=f"http://127.0.0.1:{unused_tcp_port}", upstream_retries=0)
    upstream = import_module(f"subsecond.upstreams.{adapter}").build(settings)
    with caplog.at_level(logging.WARNING):
        error = await refused(UpstreamUnreachable, upstream)
    assert str(unused_tcp_port) not in error.message
    assert f"127.0.0.1:{unused_tcp_port}" in caplog.text
    assert "connect" in caplog.text.lower()
    await upstream.aclose()


async def test_warming_tells_that_the_server_is_not_there(unused_tcp_port):
    upstream = build(Settings(upstream_url=f"http://127.0.0.1:{unused_tcp_port}"))
    with pytest.raises(UpstreamUnreachable):
        await upstream.warm()
