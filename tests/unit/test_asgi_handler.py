"""The streaming handler around raw ASGI apps, in this process; its chunks are read as the runtime client reads them."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import StreamingResponse
from starlette.routing import Route

from subsecond.lambda_runtime.asgi import StreamingHandler
from subsecond.lambda_runtime.asgi_cycle import BrokenAppError, TimeLimitError


@dataclass
class Context:
    left: float = 30.0

    def get_remaining_time_in_millis(self):
        return int(self.left * 1000)


def event(method="GET", path="/", **fields):
    return {"rawPath": path, "requestContext": {"http": {"method": method}}, **fields}


@contextmanager
def handling(app, **options):
    handler = StreamingHandler(lambda: app, **options)
    yield handler
    handler.close()


def read(handler, stream, into):
    """Read the chunks into a list, and wait for what comes after them; raises what they raise."""

    async def all_of_them():
        try:
            async for chunk in stream.chunks:
                into.append(chunk)
        finally:
            await stream.after()

    handler.loop.run_until_complete(all_of_them())


def call(handler, *arguments, left=30.0, **fields):
    """The stream's head and its chunks."""
    stream = handler(event(*arguments, **fields), Context(left))
    chunks = []
    read(handler, stream, chunks)
    return stream, chunks


async def start(send, *headers, status=200, kind=b"text/event-stream"):
    headers = [(b"content-type", kind), *headers]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def part(send, body=b"", *, more=True):
    await send({"type": "http.response.body", "body": body, "more_body": more})


def error(data):
    return json.loads(data.removeprefix(b"data: "))["error"]


def test_every_part_is_a_chunk_and_empty_ones_are_none():
    async def app(_scope, _receive, send):
        await start(send, (b"set-cookie", b"a=1"), (b"Set-Cookie", b"b=2"), (b"X-A", b"1"), (b"x-a", b"2"), status=201)
        for body in (b"", b"one", b"", b"two"):
            await part(send, body)
        await part(send, more=False)

    with handling(app) as handler:
        stream, chunks = call(handler)
        assert (stream.status, stream.cookies, chunks) == (201, ["a=1", "b=2"], [b"one", b"two"])
        assert stream.headers == {"content-type": "text/event-stream", "x-a": "1, 2"}


def test_headers_of_the_connection_stay_here():
    async def app(_scope, _receive, send):
        await start(send, (b"transfer-encoding", b"chunked"), (b"connection", b"close"), (b"content-length", b"0"))
        await part(send, more=False)

    with handling(app) as handler:
        assert set(call(handler)[0].headers) == {"content-type", "content-length"}


def test_the_app_is_held_until_its_part_is_taken():
    sent = []

    async def app(_scope, _receive, send):
        await start(send)
        for number in range(3):
            sent.append(number)
            await part(send, b"%d" % number)
        await part(send, more=False)

    with handling(app) as handler:
        stream = handler(event(), Context())
        assert sent == [0]
        chunks = []
        read(handler, stream, chunks)
        assert (sent, chunks) == ([0, 1, 2], [b"0", b"1", b"2"])


def test_the_response_ends_with_the_apps_last_part_and_what_it_does_then_and_the_hooks_come_after():
    seen = []

    async def app(_scope, _receive, send):
        await start(send)
        await part(send, b"[DONE]", more=False)
        await asyncio.sleep(0)
        seen.append("stored")

    async def flush():
        seen.append("flushed")

    def fails():
        raise RuntimeError("no metrics")

    with handling(app, at_end=[fails, flush, lambda: seen.append("logged")]) as handler:
        stream = handler(event(), Context())

        async def body():
            return [chunk async for chunk in stream.chunks]

        assert (handler.loop.run_until_complete(body()), seen) == ([b"[DONE]"], [])
        handler.loop.run_until_complete(stream.after())
        assert seen == ["stored", "flushed", "logged"]


@pytest.mark.parametrize("started", [True, False])
def test_an_error_before_the_first_part_is_a_500(started, caplog):
    async def app(_scope, _receive, send):
        if started:
            await start(send)
        raise KeyError("a secret")

    with handling(app) as handler:
        stream, chunks = call(handler)
        assert (stream.status, stream.headers["content-type"]) == (500, "application/json")
        assert error(b"".join(chunks)) == {
            "message": "internal error",
            "type": "api_error",
            "param": None,
            "code": "internal_error",
        }
    assert "a secret" in caplog.text


def test_an_app_that_returns_nothing_is_a_500():
    async def app(_scope, _receive, _send):
        pass

    with handling(app) as handler:
        assert call(handler)[0].status == 500


@pytest.mark.parametrize(("kind", "events"), [(b"text/event-stream; charset=utf-8", 1), (b"application/json", 0)])
def test_an_error_after_the_first_part_breaks_the_stream_and_tells_readers_of_events(kind, events):
    async def app(_scope, _receive, send):
        await start(send, kind=kind)
        await part(send, b"one")
        raise KeyError("a secret")

    with handling(app) as handler:
        chunks = []
        with pytest.raises(KeyError):
            read(handler, handler(event(), Context()), chunks)
        assert chunks[0] == b"one"
        assert [error(chunk)["code"] for chunk in chunks[1:]] == ["internal_error"] * events


def test_an_app_that_returns_in_the_middle_breaks_the_stream():
    async def app(_scope, _receive, send):
        await start(send)
        await part(send, b"one")

    with handling(app) as handler, pytest.raises(BrokenAppError):
        call(handler)


def test_an_error_after_the_last_part_is_logged_alone(caplog):
    async def app(_scope, _receive, send):
        await start(send)
        await part(send, b"[DONE]", more=False)
        raise KeyError("the store")

    with handling(app) as handler:
        assert call(handler)[1] == [b"[DONE]"]
    assert "the store" in caplog.text


def test_the_time_limit_is_a_504_before_the_first_part():
    cancelled = []

    async def app(_scope, _receive, _send):
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.append(True)

    with handling(app, margin=0.01) as handler:
        stream, chunks = call(handler, left=0.03)
        assert (stream.status, error(b"".join(chunks))["code"]) == (504, "deadline_exceeded")
        assert cancelled


def test_the_time_limit_is_an_event_after_the_first_part():
    async def app(_scope, _receive, send):
        await start(send)
        await part(send, b"one")
        await asyncio.get_running_loop().create_future()

    with handling(app, margin=0.01) as handler:
        chunks = []
        with pytest.raises(TimeLimitError):
            read(handler, handler(event(), Context(0.03)), chunks)
        assert chunks[0] == b"one"
        assert error(chunks[1])["code"] == "deadline_exceeded"


def test_who_has_answered_leaves_no_timer_behind():
    """It would hold the request and its answer until the time limit, in an environment that goes on serving."""

    async def app(_scope, _receive, send):
        await start(send)
        await part(send, b"x", more=False)

    with handling(app) as handler:
        call(handler)
        assert [timer for timer in handler.loop._scheduled if not timer.cancelled()] == []


def test_an_app_that_does_not_obey_is_left_behind():
    stop = []

    async def app(_scope, _receive, send):
        while not stop:
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                await start(send)

    with handling(app, margin=0.01) as handler:
        assert call(handler, left=0.02)[0].status == 504
        stop.append(True)
        handler.loop.run_until_complete(asyncio.sleep(0.01))


def test_the_app_is_told_its_deadline_event_and_context():
    seen = {}

    async def app(scope, receive, send):
        seen.update(scope, body=(await receive())["body"])
        await start(send)
        await part(send, more=False)

    with handling(app, margin=1.0) as handler:
        before = time.monotonic()
        call(handler, "POST", "/a", body="é", left=30.0)
        after = time.monotonic()
        assert before + 28 <= seen["aws.deadline"] + 0.001
        assert seen["aws.deadline"] <= after + 28
        assert seen["aws.event"]["rawPath"] == seen["path"] == "/a"
        assert seen["aws.context"] == Context(30.0)
        assert seen["body"] == "é".encode()


def test_nobody_tells_the_app_that_the_client_has_gone():
    async def app(_scope, receive, send):
        await receive()
        listening = asyncio.ensure_future(receive())
        await start(send)
        await part(send, b"one")
        await part(send, b"two", more=False)
        done, _ = await asyncio.wait((listening,), timeout=0.01)
        assert not done
        listening.cancel()

    with handling(app) as handler:
        assert call(handler)[1] == [b"one", b"two"]


def test_a_head_request_has_no_body():
    async def app(_scope, _receive, send):
        await start(send)
        await part(send, b"one", more=False)

    with handling(app) as handler:
        assert call(handler, "HEAD")[1] == []


def test_a_reader_that_stops_cancels_the_app():
    cancelled = []

    async def app(_scope, _receive, send):
        await start(send)
        try:
            for _ in range(3):
                await part(send, b"one")
        finally:
            cancelled.append(True)

    with handling(app) as handler:
        stream = handler(event(), Context())

        async def first():
            async for _ in stream.chunks:
                break
            await stream.chunks.aclose()

        handler.loop.run_until_complete(first())
        assert cancelled


def test_other_events_go_to_their_own_callable():
    async def app(_scope, _receive, _send):
        raise AssertionError

    async def warm(received, context):
        await asyncio.sleep(0)
        return received, context.left

    with handling(app, on_event=warm) as handler:
        assert handler({"prewarm": True}, Context(3.0)) == ({"prewarm": True}, 3.0)
    with handling(app) as handler, pytest.raises(ValueError, match="HTTP"):
        handler({"prewarm": True}, Context())


def test_the_app_is_made_once_inside_the_loop_and_knows_http_alone():
    made, scopes = [], []

    async def app(scope, _receive, send):
        scopes.append(scope["type"])
        await start(send)
        await part(send, more=False)

    def factory():
        made.append(asyncio.get_running_loop())
        return app

    handler = StreamingHandler(factory)
    call(handler)
    call(handler)
    handler.close()
    assert made == [handler.loop]
    assert scopes == ["http", "http"]


def test_an_app_that_cannot_be_made_is_a_failed_initialisation():
    def fails():
        raise KeyError("table")

    with pytest.raises(KeyError, match="table"):
        StreamingHandler(fails)


def test_starlettes_background_work_is_done_before_the_next_event():
    done = []

    async def stream(_request):
        async def events():
            yield "one"
            yield "two"

        return StreamingResponse(events(), media_type="text/event-stream", background=BackgroundTask(done.append, 1))

    async def fails(_request):
        raise KeyError("a secret")

    app = Starlette(routes=[Route("/stream", stream), Route("/fails", fails)])
    handler = StreamingHandler(lambda: app)
    assert call(handler, "GET", "/stream")[1] == [b"one", b"two"]
    assert done == [1]
    assert call(handler, "GET", "/none")[0].status == 404
    assert call(handler, "GET", "/fails")[0].status == 500
    handler.close()
