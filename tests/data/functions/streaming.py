"""A streaming function for the Lambda host's tests: a raw ASGI app, one behaviour for each path.

GATE names a folder: the app waits for files that the test makes, and leaves files that the test looks for.
"""

import asyncio
import json
import logging
import os
import time
from pathlib import Path

from subsecond.lambda_runtime.asgi import StreamingHandler

GATE = Path(os.environ["GATE"])
EVENTS = (b"content-type", b"text/event-stream")


async def gate(name):
    while not (GATE / name).exists():  # noqa: ASYNC110 - the other side is a test
        await asyncio.sleep(0.005)


async def app(scope, receive, send):
    assert scope["type"] == "http"
    await ROUTES[scope["path"].split("/")[1]](scope, receive, send)


async def start(send, *headers, status=200):
    await send({"type": "http.response.start", "status": status, "headers": [EVENTS, *headers]})


async def part(send, body=b"", *, more=True):
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def gated(_scope, _receive, send):
    await start(send)
    await part(send, b"data: %d\n\n" % os.getpid())
    for name in ("first", "second"):
        await gate(name)
        await part(send, f"data: {name}\n\n".encode())
    await part(send, more=False)
    (GATE / "stored").write_text(str(os.getpid()))


async def echo(scope, receive, send):
    message = await receive()
    seen = {
        "method": scope["method"],
        "path": scope["path"],
        "query": scope["query_string"].decode(),
        "headers": {name.decode(): value.decode() for name, value in scope["headers"]},
        "client": scope["client"][0],
        "body": message["body"].hex(),
        "deadline": scope["aws.deadline"] - time.monotonic(),
    }
    cookies = [(b"set-cookie", b"a=1; Path=/"), (b"set-cookie", b"b=2")]
    headers = [(b"content-type", b"application/json"), (b"x-one", b"1"), (b"x-one", b"2"), *cookies]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await part(send, json.dumps(seen).encode(), more=False)


async def whole(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await part(send, b"done", more=False)
    await gate("first")
    (GATE / "stored").write_text(str(os.getpid()))


async def pid(_scope, _receive, send):
    await start(send)
    await part(send, b"%d" % os.getpid(), more=False)


async def throws_before(_scope, _receive, send):
    await start(send)
    raise RuntimeError("a secret")


async def throws_after(_scope, _receive, send):
    await start(send)
    await part(send, b"data: 1\n\n")
    raise RuntimeError("a secret")


async def late_before(_scope, _receive, _send):
    await asyncio.sleep(60)


async def late_after(_scope, _receive, send):
    await start(send)
    await part(send, b"data: 1\n\n")
    await asyncio.sleep(60)


async def stuck(_scope, _receive, send):
    await start(send)
    await part(send, b"data: 1\n\n")
    time.sleep(60)  # noqa: ASYNC251 - a handler that cannot even be cancelled


async def dies(_scope, _receive, send):
    await start(send)
    await part(send, b"data: 1\n\n")
    os._exit(3)


async def large(scope, _receive, send):
    await start(send)
    block = bytes(1024 * 1024)
    for _ in range(int(scope["query_string"])):
        await part(send, block)
    await part(send, more=False)


async def empty(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await part(send, more=False)


ROUTES = {
    route.__name__: route
    for route in (
        gated,
        echo,
        whole,
        pid,
        throws_before,
        throws_after,
        late_before,
        late_after,
        stuck,
        dies,
        large,
        empty,
    )
}


def flush():
    with (GATE / "flushed").open("a") as file:
        file.write("flushed\n")


def on_event(event, context):
    logging.getLogger().warning("An event for %s", context.function_name)
    return {"got": event, "pid": os.getpid()}


handler = StreamingHandler(lambda: app, at_end=[flush], on_event=on_event, margin=2)
