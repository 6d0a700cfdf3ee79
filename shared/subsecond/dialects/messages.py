"""Anthropic's Messages, as Claude Code and the `anthropic` packages speak it.

https://docs.claude.com/en/api/messages and .../messages-streaming. Blocks that are not known here pass like the others;
what cannot be read makes the recording `unknown`, which is never stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from subsecond.dialects.dialect import Body, Dialect
from subsecond.dialects.finish import FILTERED, REFUSED
from subsecond.dialects.parts import edited, shape_and_texts, texts_in
from subsecond.errors import UpstreamError, UpstreamUnreachable
from subsecond.model import Chunk, Form, Recording
from subsecond.streaming.disguise import error_in
from subsecond.streaming.events import parsed
from subsecond.streaming.finite import read_finite
from subsecond.streaming.json_bytes import dump

# Events that are no part of an answer: a sign of life, and the end in failure.
_BESIDE = frozenset({"ping", "error"})
# Choices that leave a call to the model.
_FREE = (None, "auto", "none")
# What the API calls an error of that status (https://docs.claude.com/en/api/errors).
_KINDS: Mapping[int, str] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_SERVER_ERROR = 500
# Why nothing was said, where it is not the model's own doing.
_CUT = frozenset({"length", FILTERED, REFUSED})


class Messages(Dialect):
    """`POST /v1/messages`."""

    endpoint = "messages"
    request_id = "request-id"
    name = "Anthropic's Messages"
    path = "/messages"
    headers = ("anthropic-version", "anthropic-beta")
    typed = True
    acts = ("tools", "mcp_servers", "container")

    def split(self, body: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        turns = body.get("messages") or []
        if not turns or turns[-1].get("role") != "user":
            return body, []
        shape, texts = shape_and_texts(turns[-1].get("content"), ("text",))
        return {**body, "messages": [*turns[:-1], {**turns[-1], "content": shape}]}, texts

    def turns(self, body: Body) -> Sequence[Mapping[str, Any]]:
        messages = body.get("messages")
        said = [one for one in messages if isinstance(one, Mapping)] if isinstance(messages, list) else []
        return [{"role": "system", "content": body["system"]}, *said] if body.get("system") else said

    def system_texts(self, body: Body) -> Iterator[tuple[str, str]]:
        yield from (("system", text) for text in texts_in(body.get("system")))

    def with_system_texts(self, body: dict[str, Any], edit: Callable[[str], str]) -> dict[str, Any]:
        return {**body, "system": edited(body["system"], edit)} if "system" in body else body

    def end_user(self, body: Body) -> object:
        metadata = body.get("metadata")
        return metadata.get("user_id") if isinstance(metadata, Mapping) else None

    def format(self, body: Body) -> object:
        config = body.get("output_config")
        return config.get("format") if isinstance(config, Mapping) else body.get("output_format")

    def forces(self, choice: object) -> bool:
        return (choice.get("type") if isinstance(choice, Mapping) else choice) not in _FREE

    def state(self, body: Body) -> str:
        """A container is kept by the upstream, whether it is named by its id or made for skills, and so is what was
        said in a thread. A server of MCP acts: an answer from the cache would not."""
        return "names" if any(body.get(name) for name in ("container", "mcp_servers", "thread")) else ""

    def objects_named(self, body: Body) -> list[str]:
        held = body.get("container")
        container = held.get("id") if isinstance(held, Mapping) else held
        thread = body.get("thread")
        before = thread.get("previous_message_id") if isinstance(thread, Mapping) else None
        return [one if isinstance(one, str) else "" for one in (container, before) if one is not None]

    def recorded(self, form: Form, payloads: Iterable[bytes], *, ended: bool = True) -> Recording:
        from subsecond.dialects.message_index import recorded  # a hit records nothing

        return recorded(form, tuple(payloads), ended=ended)

    def not_an_answer(self, body: bytes) -> UpstreamError | None:
        value = parsed(body)
        if not body.strip():
            return UpstreamUnreachable("The upstream answered with an empty body.")
        if not isinstance(value, dict):
            return UpstreamUnreachable("The upstream's answer is not a JSON object.")
        if isinstance(value.get("content"), list) and value.get("type") == "message":
            return None
        return error_in(value) or UpstreamError("The upstream answered without a message.", code="upstream_no_choice")

    def error_in_event(self, payload: bytes, name: bytes) -> UpstreamError | None:
        value, _ = read_finite(payload)  # 1.5 us of an event, half of what `parsed` takes
        if not isinstance(value, dict):
            return super().error_in_event(payload, name)
        # A `message` is no error's words here: the first event has one.
        return error_in(value, name) if value.get("type") in ("error", None) or name == b"error" else None

    def begins(self, payload: bytes) -> bool:
        return _type(payload) not in _BESIDE

    def ends(self, payload: bytes) -> bool:
        return b"message_stop" in payload and _type(payload) == "message_stop"

    def speaks(self, payload: bytes) -> bool:
        return self.tells(payload) or _type(payload) == "message_delta"

    def tells(self, payload: bytes) -> bool:
        from subsecond.dialects.message_index import tells

        return tells(parsed(payload))

    def is_hollow(self, recording: Recording) -> bool:
        return not recording.acts and recording.finish not in _CUT and not any(map(self.tells, recording.payloads))

    def to_whole(self, payloads: Iterable[bytes]) -> bytes | None:
        from subsecond.dialects.message_forms import to_whole  # few answers change their form

        return to_whole(payloads)

    def to_stream(self, body: bytes) -> tuple[bytes, ...] | None:
        from subsecond.dialects.message_forms import to_stream

        return to_stream(body)

    def converts(self, payload: bytes) -> bool:
        from subsecond.dialects.message_forms import converts

        return converts(payload)

    def lone_event(self, body: bytes) -> tuple[bytes, ...]:
        from subsecond.dialects.message_forms import framed

        return framed(body)

    def event_name(self, payload: bytes) -> bytes:
        return _type(payload).encode()

    def object_ids(self, payload: bytes, asked: Body) -> list[str]:
        """A container, which any tool that runs code makes; in a thread the message, by which it is gone on from."""
        if b'"container"' not in payload and not asked.get("thread"):
            return []
        value = parsed(payload)
        told = value if isinstance(value, dict) else {}
        found = next((told[name] for name in ("message", "delta") if isinstance(told.get(name), dict)), told)
        held = found.get("container")
        ids = [held.get("id") if isinstance(held, dict) else None, found.get("id") if asked.get("thread") else None]
        return [one for one in ids if isinstance(one, str)]

    def error_body(self, error: Body, status: int, request_id: str) -> Body:
        return {"type": "error", "error": _told(error["error"], status), "request_id": request_id}

    def error_event(self, error: Body, events: int) -> Chunk:
        del events
        return Chunk(dump({"type": "error", "error": _told(error["error"], 0)}), name=b"error")

    def trace_event(self, last: bytes, events: int, trace: Body) -> Chunk:
        """The SDKs pass over events whose name they do not know."""
        del last, events
        return Chunk(dump({"type": "subsecond", "subsecond": trace}), name=b"subsecond")


def _type(payload: bytes) -> str:
    value = parsed(payload)
    found = value.get("type") if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def _told(error: Mapping[str, Any], status: int) -> dict[str, Any]:
    """An error in Anthropic's words: the kind that the server named, where it is one of theirs. status: 0 behind the
    first byte, where it is not told."""
    kind = str(error.get("type", ""))
    known = kind in {*_KINDS.values(), "api_error"}
    reckoned = "api_error" if status >= _SERVER_ERROR or not status else "invalid_request_error"
    return {"type": kind if known else _KINDS.get(status, reckoned), "message": error.get("message", "")}


DIALECT = Messages()
