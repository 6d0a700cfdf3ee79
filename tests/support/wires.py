"""Responses of a model's server, byte for byte."""

from __future__ import annotations

import json
from typing import Any


def head(status: int = 200, kind: str = "text/event-stream", *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", *more, "connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1")


def whole(body: Any, status: int = 200, *more: str, kind: str = "application/json") -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head(status, kind, f"content-length: {len(data)}", *more) + data


def event(payload: Any) -> bytes:
    return b"data: %b\n\n" % (payload if isinstance(payload, bytes) else json.dumps(payload).encode())


def stream(*payloads: Any, end: bytes = b"data: [DONE]\n\n", kind: str = "text/event-stream") -> bytes:
    return head(200, kind) + b"".join(map(event, payloads)) + end


def reply(content: Any = "Good.", finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": content, **message}
    choice = {"index": 0, "message": said, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
