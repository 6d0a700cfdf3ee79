"""What a client gets from a function under the Lambda host, and what the function sees of the client."""

from __future__ import annotations

import asyncio
import json

import pytest

from subsecond_local.lambda_host import Function, LambdaHost, UrlRoute

MB = 1024 * 1024


async def test_chunks_arrive_as_the_app_makes_them(stream, connect, tmp_path, until):
    async with stream() as host:
        client = await connect(host)
        await client.send("GET", "/gated")
        assert await client.head() == 200
        assert client.header("content-type") == ["text/event-stream"]
        assert (await client.chunk()).startswith(b"data: ")
        (tmp_path / "first").touch()
        assert await client.chunk() == b"data: first\n\n"
        assert not (tmp_path / "stored").exists()
        (tmp_path / "second").touch()
        assert await client.chunk() == b"data: second\n\n"
        assert await client.chunk() == b""
        # The response ends with the app's last part; it runs on, and then the hooks.
        await until((tmp_path / "flushed").exists)
        assert (tmp_path / "stored").exists()
        assert (tmp_path / "flushed").read_text() == "flushed\n"


async def test_the_app_sees_the_request_and_the_client_sees_the_head(stream, connect):
    async with stream(timeout=30) as host:
        client = await connect(host)
        body = bytes(range(256))
        status, answer = await client.ask("PUT", "/echo/a%20b?x=1&y=%26", body, cookie="c=3; d=4", x_many="1")
        assert status == 201
        assert client.header("set-cookie") == ["a=1; path=/", "b=2"]
        assert client.header("x-one") == ["1, 2"]
        assert client.header("x-amzn-requestid")
        seen = json.loads(answer)
        assert (seen["method"], seen["path"], seen["query"]) == ("PUT", "/echo/a b", "x=1&y=%26")
        assert bytes.fromhex(seen["body"]) == body
        assert (seen["headers"]["cookie"], seen["headers"]["x-many"]) == ("c=3; d=4", "1")
        assert seen["client"] == "127.0.0.1"
        assert 0 < seen["deadline"] < 30
        for text in ("{}", "é"):
            _, answer = await client.ask("POST", "/echo", text.encode(), content_type="application/json")
            assert bytes.fromhex(json.loads(answer)["body"]).decode() == text
        assert (await client.ask("OPTIONS", "/echo"))[0] == 201
        assert await client.ask("HEAD", "/echo") == (201, b"")
        assert await client.ask("GET", "/empty") == (204, b"")
        assert (await client.ask("GET", "/echo"))[0] == 201


@pytest.mark.parametrize("expect", [b"100-continue", b"100-Continue"])
async def test_a_client_that_asks_before_it_sends_is_told_to_go_on(serve, connect, expect):
    async with serve("plain.echo") as host:
        client = await connect(host)
        client.writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: %b\r\n\r\n" % expect)
        assert await client.head() == 100
        client.writer.write(b"{}")
        assert await client.head() == 202


OFFER = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"


@pytest.mark.parametrize("parts", [1, 2, 300], ids=["whole", "in halves", "byte by byte"])
@pytest.mark.parametrize(
    "framing",
    [b"content-length: 5\r\n\r\nh\xc3\xa9y!", b"transfer-encoding: chunked\r\n\r\n5\r\nh\xc3\xa9y!\r\n0\r\n\r\n"],
)
async def test_an_upgrade_that_is_offered_costs_nothing(stream, connect, parts, framing):
    async with stream(maximum=1) as host:
        client = await connect(host)
        client.method = "POST"
        raw = b"POST /echo HTTP/1.1\r\nhost: x\r\n" + OFFER + framing
        raw += b"GET /echo/next HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
        size = -(-len(raw) // parts)
        for start in range(0, len(raw), size):
            client.writer.write(raw[start : start + size])
            await asyncio.sleep(0)
        assert await client.head() == 201
        assert bytes.fromhex(json.loads(await client.body())["body"]) == "héy!".encode()
        assert await client.head() == 201
        assert json.loads(await client.body())["path"] == "/echo/next"


async def test_a_tunnel_is_refused(serve, connect):
    async with serve("plain.echo") as host:
        client = await connect(host)
        assert (await client.ask("CONNECT", "example.org:443"))[0] == 400


async def test_a_target_with_a_host_in_it_is_that_hosts_path(stream, connect):
    async with stream() as host:
        client = await connect(host)
        _, answer = await client.ask("GET", "http://one.example:81/echo/a%20b?x=1", host="two.example")
        seen = json.loads(answer)
        assert (seen["path"], seen["query"], seen["headers"]["host"]) == ("/echo/a b", "x=1", "one.example:81")
        assert (await client.ask("GET", "http://["))[0] == 400


async def test_text_is_not_counted_as_its_escapes(stream, connect):
    async with stream() as host:
        client = await connect(host)
        body = "ü".encode() * (27 * MB // 20)
        status, answer = await client.ask("POST", "/echo", body, content_type="application/json")
        assert status == 201
        assert bytes.fromhex(json.loads(answer)["body"]) == body


async def test_a_plain_handler_streams_too(serve, connect):
    async with serve(
        handler="plain.generator", runtime="subsecond.lambda_runtime.runtime", mode="RESPONSE_STREAM"
    ) as host:
        client = await connect(host)
        assert await client.ask("GET", "/") == (200, b"onetwo")
        assert client.header("set-cookie") == ["a=1"]


async def test_a_buffered_function_answers_as_its_url_would(serve, connect):
    async with serve("plain.echo") as host:
        client = await connect(host)
        status, body = await client.ask("GET", "/a/b")
        assert (status, body.split()[1]) == (202, b"/a/b")
        assert client.header("set-cookie") == ["a=1"]
        assert client.header("x-function") == ["fn"]
        assert await client.ask("GET", "/plain") == (200, b'["no", "statusCode"]')
        assert client.header("content-type") == ["application/json"]


async def test_a_client_that_leaves_costs_nothing_but_the_rest_of_its_call(stream, connect, tmp_path, until):
    async with stream(maximum=1) as host:
        client = await connect(host)
        await client.send("GET", "/gated")
        await client.head()
        pid = (await client.chunk()).split()[1].decode()
        client.writer.transport.abort()
        (tmp_path / "first").touch()
        (tmp_path / "second").touch()
        assert await until((tmp_path / "stored").exists)
        assert (await (await connect(host)).ask("GET", "/pid"))[1].decode() == pid


async def test_a_response_whose_length_is_renamed_ends_before_what_the_app_does_afterwards(
    stream, connect, tmp_path, until
):
    async with stream(maximum=2) as host:
        client = await connect(host)
        await client.send("GET", "/whole")
        await client.head()
        assert client.header("x-amzn-remapped-content-length") == ["4"]
        assert not client.header("content-length")
        assert [await client.chunk(), await client.chunk()] == [b"done", b""]
        assert not (tmp_path / "stored").exists()
        # Its environment is still busy, so the next request gets another.
        _, other = await client.ask("GET", "/pid")
        (tmp_path / "first").touch()
        await until((tmp_path / "stored").exists)
        assert (tmp_path / "stored").read_text() != other.decode()


async def test_payloads_have_lambdas_limits(stream, connect):
    async with stream() as host:
        client = await connect(host)
        assert (await client.ask("POST", "/echo", bytes(6 * MB + 1)))[0] == 413
        # Binary grows by a third on its way into the event, so that less than 6 MB may be too much.
        assert (await client.ask("POST", "/echo", bytes(5 * MB)))[0] == 413
        assert (await client.ask("POST", "/echo", bytes(4 * MB)))[0] == 201
        status, body = await client.ask("GET", "/large?7")
        assert (status, len(body)) == (200, 7 * MB)


async def test_a_stream_past_200_mb_is_cut(stream, connect):
    async with stream() as host:
        client = await connect(host)
        await client.send("GET", "/large?201")
        assert await client.head() == 200
        sizes = []
        with pytest.raises(asyncio.IncompleteReadError):
            await client.count(sizes)
        assert 190 * MB < sum(sizes) <= 200 * MB
        assert (await (await connect(host)).ask("GET", "/pid"))[0] == 200


async def test_events_reach_a_function_without_a_url(stream, connect, printed, until):
    async with stream() as host:
        result = await host.invoke("fn", {"prewarm": True})
        assert not result.failed
        assert json.loads(result.payload)["got"] == {"prewarm": True}
        client = await connect(host)
        status, body = await client.invoke(b'{"a":1}')
        assert (status, json.loads(body)["got"]) == (200, {"a": 1})
        assert await client.invoke(b"{}", x_amz_invocation_type="Event") == (202, b"")
        arn = "arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Afn"
        assert (await client.invoke(b"", arn))[0] == 200
        assert (await client.invoke(b"", "other"))[0] == 404
        await until(lambda: printed().count("An event for fn") == 4)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://example.org"},
        {"origin": "null"},
        {"host": "rebound.example.org:8000"},
        {"host": "[bad"},
        {"host": ""},
        {"authorization": ""},
        {"authorization": "Bearer local"},
        {"authorization": "AWS4-HMAC-SHA256 Credential=another/20260101/us-east-1/lambda/aws4_request"},
    ],
    ids=str,
)
async def test_a_web_page_cannot_invoke(connect, functions, output, headers):
    functions = [Function("fn", functions, "plain.echo")]
    async with LambdaHost(functions, [UrlRoute("/", "fn")], output=output, access_keys=["local"]) as host:
        client = await connect(host)
        status, body = await client.invoke(b'{"rawPath": "/throws"}', **headers)
        assert (status, b"secret" in body) == (403, False)
        assert host.environments("fn") == 0
        if "origin" in headers:
            # A page may ask what the function's URL serves: its key decides there.
            assert (await client.ask("GET", "/", **headers))[0] == 202


async def test_only_post_invokes(serve, connect):
    async with serve("plain.echo") as host:
        client = await connect(host)
        path = "/2015-03-31/functions/fn/invocations"
        assert (await client.ask("GET", path, authorization=client.signed))[0] == 405
        assert host.environments("fn") == 0


async def test_routes_lead_to_functions_and_the_first_wins(connect, functions, tmp_path, wrapper, output):
    gate = {"GATE": str(tmp_path)}
    deployed = [
        Function(
            "streaming", functions, "streaming.handler", environment=gate, mode="RESPONSE_STREAM", wrapper=wrapper
        ),
        Function("echo", functions, "plain.echo", environment=gate),
    ]
    routes = [UrlRoute("/v1/cache/", "echo"), UrlRoute(lambda path: path == "/pid", "streaming")]
    async with LambdaHost(deployed, routes, output=output) as host:
        client = await connect(host)
        assert (await client.ask("GET", "/v1/cache/stats?x=1"))[0] == 202
        assert (await client.ask("GET", "/pid"))[0] == 200
        assert (await client.ask("GET", "/other"))[0] == 404
    with pytest.raises(ValueError, match="nobody"):
        LambdaHost(deployed, [UrlRoute("/", "nobody")])
