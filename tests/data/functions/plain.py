"""Handlers without an app, for the Lambda host's tests."""

import os
import time
from pathlib import Path

from subsecond.lambda_runtime.http_stream import HttpStream
from subsecond.lambda_runtime.runtime_client import StreamingRuntimeClient


def echo(event, context):
    if event.get("rawPath") == "/throws":
        raise RuntimeError("a secret")
    if event.get("rawPath") == "/slow":
        time.sleep(60)
    if event.get("rawPath") == "/dies":
        os._exit(3)
    if event.get("rawPath") == "/large":
        return {"statusCode": 200, "body": "x" * (6 * 1024 * 1024)}
    if event.get("rawPath") == "/broken":
        return {"statusCode": 200, "body": 5}
    if event.get("rawPath") == "/plain":
        return ["no", "statusCode"]
    headers = {"content-type": "text/plain", "content-length": "999", "x-function": context.function_name}
    body = f"{os.getpid()} {event.get('rawPath')}"
    return {"statusCode": 202, "headers": headers, "cookies": ["a=1"], "body": body}


def gated(_event, _context):
    folder = Path(os.environ["GATE"])
    (folder / f"began-{os.getpid()}").touch()
    while not (folder / "first").exists():
        time.sleep(0.005)
    return {"statusCode": 200, "body": str(os.getpid())}


def busy(_event, _context):
    """Seconds of processor time used, and seconds passed meanwhile."""
    began, used = time.monotonic(), time.process_time()
    while time.process_time() - used < 0.1:
        pass
    return {"statusCode": 200, "body": f"{time.process_time() - used} {time.monotonic() - began}"}


def counted(event, context):
    with (Path(os.environ["GATE"]) / "seen").open("a") as seen:
        seen.write(f"{event.get('rawPath')}\n")
    return gated(event, context)


def generator(_event, _context):
    def chunks():
        yield b"one"
        yield b""
        yield b"two"
        raise RuntimeError("a secret")

    return HttpStream(200, {"content-type": "text/plain"}, ["a=1"], chunks())


def stale(_event, _context):
    """Answers twice: first to an invocation that is long over."""
    client = StreamingRuntimeClient(os.environ["AWS_LAMBDA_RUNTIME_API"])
    client.post_invocation_result("long-over", HttpStream(200, {}, chunks=[b"late"]), "", None)
    client.post_invocation_result("long-over", "late", "application/json", None)
    client.post_invocation_error("long-over", "{}", "{}", None)
    return HttpStream(200, {}, chunks=[b"%d" % os.getpid()])
