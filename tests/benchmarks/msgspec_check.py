"""`subsecond.api.wire.ChatBody` as msgspec has it, without the fields of `subsecond`. For `decisions`."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec  # type: ignore[import-not-found]


class Message(msgspec.Struct):
    role: str
    content: str | list[dict[str, Any]] | None = None


class ChatBody(msgspec.Struct):
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=128)] | None = None
    use_cache: bool | None = None
    max_latency_ms: Annotated[float, msgspec.Meta(ge=0)] | None = None


def check(body: Any) -> ChatBody:
    return msgspec.convert(body, ChatBody)
