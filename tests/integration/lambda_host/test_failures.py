"""Functions that throw, hang, die or never start under the Lambda host."""

from __future__ import annotations

import asyncio
import json

import pytest

RUNTIME = "subsecond.lambda_runtime.runtime"


async def test_an_app_that_throws_is_a_status_before_and_an_event_after_the_first_byte(stream, connect, printed):
    async with stream(maximum=1) as host:
        client = await connect(host)
        _, pid = await client.ask("GET", "/pid")
        status, body = await client.ask("GET", "/throws_before")
        assert (status, json.loads(body)["error"]["code"]) == (500, "internal_error")
        status, body = await client.ask("GET", "/throws_after")
        assert status == 200
        first, event = body.split(b"data: ")[1:]
        assert first == b"1\n\n"
        assert json.loads(event)["error"]["code"] == "internal_error"
        assert b"secret" not in body
        assert (await client.ask("GET", "/pid"))[1] == pid
    assert "RuntimeError: a secret" in printed()


async def test_a_streamed_failure_is_reported_to_the_runtime_api(serve):
    async with serve("plain.generator", runtime=RUNTIME) as host:
        result = await host.invoke("fn", {})
        assert result.failed
        error = json.loads(result.payload)
        assert (error["errorType"], error["errorMessage"]) == ("RuntimeError", "a secret")


async def test_the_adapter_ends_what_exceeds_the_deadline_and_the_environment_lives_on(stream, connect):
    async with stream(timeout=4, maximum=1) as host:
        client = await connect(host)
        _, pid = await client.patient("/pid")
        status, body = await client.ask("GET", "/late_before")
        assert (status, json.loads(body)["error"]["code"]) == (504, "deadline_exceeded")
        status, body = await client.ask("GET", "/late_after")
        assert status == 200
        assert json.loads(body.split(b"data: ")[-1])["error"]["code"] == "deadline_exceeded"
        assert (await client.ask("GET", "/pid"))[1] == pid


@pytest.mark.parametrize("path", ["/stuck", "/dies"])
async def test_an_environment_that_is_killed_or_dies_cuts_the_stream_and_is_replaced(stream, connect, path):
    async with stream(timeout=4, maximum=1) as host:
        client = await connect(host)
        _, pid = await client.patient("/pid")
        await client.send("GET", path)
        assert await client.head() == 200
        assert await client.chunk() == b"data: 1\n\n"
        with pytest.raises(asyncio.IncompleteReadError):
            await client.chunk()
        assert (await (await connect(host)).patient("/pid"))[1] != pid


@pytest.mark.parametrize("path", ["/throws", "/broken", "/large", "/slow", "/dies"])
async def test_a_buffered_function_that_fails_is_a_502_and_the_next_request_is_served(serve, connect, path):
    async with serve("plain.echo", timeout=1 if path == "/slow" else 30, maximum=1) as host:
        client = await connect(host)
        _, before = await client.patient("/")
        assert await client.ask("GET", path) == (502, b'{"Message":"Internal Server Error"}')
        status, after = await client.patient("/")
        assert status == 202
        replaced = before.split()[0] != after.split()[0]
        assert replaced == (path in {"/slow", "/dies", "/large"})


async def test_a_function_that_fails_to_start_is_a_502_and_the_next_request_starts_a_fresh_one(serve, connect, printed):
    async with serve("failing.handler") as host:
        client = await connect(host)
        assert (await client.ask("GET", "/"))[0] == 502
        assert await client.ask("GET", "/") == (200, b"up")
    assert "RuntimeError: not today" in printed()


async def test_a_runtime_that_cannot_be_started_is_a_502(serve, connect, tmp_path):
    async with serve("plain.echo", wrapper=tmp_path / "nothing") as host:
        assert (await (await connect(host)).ask("GET", "/"))[0] == 502


async def test_a_result_for_an_invocation_that_is_over_is_logged_and_survived(serve, connect, printed):
    async with serve("plain.stale", runtime=RUNTIME, mode="RESPONSE_STREAM", maximum=1) as host:
        client = await connect(host)
        _, first = await client.ask("GET", "/")
        assert (await client.ask("GET", "/"))[1] == first
    text = printed()
    assert "410 Gone" in text
    assert text.count("was not taken") == 6


async def test_a_failed_event_says_so(serve, connect):
    async with serve("plain.echo") as host:
        client = await connect(host)
        status, body = await client.invoke(b'{"rawPath":"/throws"}')
        assert (status, client.header("x-amz-function-error")) == (200, ["unhandled"])
        assert json.loads(body)["errorType"] == "RuntimeError"


async def test_a_minimum_that_never_comes_up_is_given_up(serve, connect):
    async with serve("missing.handler", minimum=1) as host:
        broken = asyncio.create_task(host.broken())
        client = await connect(host)
        assert (await client.ask("GET", "/"))[0] == 502
        assert not broken.done()
        assert (await client.ask("GET", "/"))[0] == 502
        assert await broken == "fn"
