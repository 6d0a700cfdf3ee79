"""OpenAI's Responses: typed events, items in place of choices, and objects that the upstream may keep.

An answer is one `response` object, which the last event of a stream holds whole. `streaming/responses.py` turns one
form into the other.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from subsecond.dialects import response_objects as objects
from subsecond.dialects.dialect import Body, Dialect, Renamer
from subsecond.dialects.finish import EMPTY, FILTERED, REFUSED, UNFINISHED, least_storable
from subsecond.dialects.parts import SYSTEM, edited, shape_and_texts, texts_in
from subsecond.errors import UpstreamError, UpstreamUnreachable
from subsecond.model import Chunk, Form, Recording
from subsecond.streaming import responses as forms
from subsecond.streaming.disguise import error_in
from subsecond.streaming.events import parsed
from subsecond.streaming.finite import read_finite
from subsecond.streaming.json_bytes import dump

# Most servers say an event's type first, which is then read without parsing.
_TYPE: Final = re.compile(rb'\s*\{\s*"type"\s*:\s*"([\w.]+)"')
_ERRORS: Final = ("error", "response.error")
# Why an answer is incomplete, in the words of chat's finish reasons.
_INCOMPLETE: Final = {"max_output_tokens": "length", "content_filter": FILTERED}
# Items of an output that are no act: what is said, and what was thought.
_WORDS: Final = ("message", "reasoning")
# Calls that the client has to answer.
_CALLS: Final = ("function_call", "custom_tool_call", "mcp_approval_request", "computer_call", "local_shell_call")


class Responses(Dialect):
    """`POST /v1/responses`."""

    endpoint = "responses"
    name = "OpenAI's Responses API"
    path = "/responses"
    headers = ("openai-beta",)
    typed = True

    def split(self, body: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        given = body.get("input")
        if isinstance(given, str):
            return {**body, "input": None}, [given]
        last = given[-1] if isinstance(given, list) and given else None
        if not isinstance(last, dict) or last.get("role") != "user" or last.get("type", "message") != "message":
            return body, []
        shape, texts = shape_and_texts(last.get("content"), ("input_text",))
        return {**body, "input": [*body["input"][:-1], {**last, "content": shape}]}, texts

    def turns(self, body: Body) -> Sequence[Mapping[str, Any]]:
        said = [{"role": "system", "content": body["instructions"]}] if body.get("instructions") else []
        given = body.get("input")
        if isinstance(given, str):
            return [*said, {"role": "user", "content": given}]
        items = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
        return [*said, *(one if "role" in one else _as_turn(one) for one in items)]

    def system_texts(self, body: Body) -> Iterator[tuple[str, str]]:
        if isinstance(said := body.get("instructions"), str):
            yield "instructions", said
        for at, item in enumerate(_items(body)):
            if _is_system(item):
                yield from ((f"input[{at}]", text) for text in texts_in(item.get("content")))

    def with_system_texts(self, body: dict[str, Any], edit: Callable[[str], str]) -> dict[str, Any]:
        more: dict[str, Any] = {}
        if isinstance(said := body.get("instructions"), str):
            more["instructions"] = edit(said)
        if isinstance(body.get("input"), list):
            more["input"] = [
                {**one, "content": edited(one.get("content"), edit)} if _is_system(one) else one
                for one in body["input"]
            ]
        return {**body, **more}

    def end_user(self, body: Body) -> object:
        return next((body[name] for name in ("user", "safety_identifier") if body.get(name) not in (None, "")), None)

    def limit(self, body: Body) -> object:
        return body.get("max_output_tokens")

    def format(self, body: Body) -> object:
        text = body.get("text")
        return text.get("format") if isinstance(text, dict) else None

    def wants_probabilities(self, body: Body) -> bool:
        include = body.get("include")
        return isinstance(include, list) and "message.output_text.logprobs" in include

    def state(self, body: Body) -> str:
        return objects.state(body)

    def objects_named(self, body: Body) -> list[str]:
        return objects.named(body)

    def recorded(self, form: Form, payloads: Iterable[bytes], *, ended: bool = True) -> Recording:
        kept = tuple(payloads)
        values = [read_finite(payload) for payload in kept]
        sound = ended and all(finite and isinstance(value, dict) for value, finite in values)
        said = [value for value, _ in values if isinstance(value, dict)]
        found = (said[0] if said else {}) if form == "whole" else forms.ended_with(said)
        output = objects.dicts(found.get("output")) or (forms.items_done(said) if form == "stream" else [])
        text, finishes = _text(output), _finishes(found, output)
        return Recording(
            form=form,
            payloads=kept,
            finish=least_storable(finishes) if sound else UNFINISHED,
            model=found["model"] if isinstance(found.get("model"), str) else "",
            usage=_usage(found.get("usage")),
            text=text,
            acts=any(one.get("type") not in _WORDS for one in output),
        )

    def not_an_answer(self, body: bytes) -> UpstreamError | None:
        if not body.strip():
            return UpstreamUnreachable("The upstream answered with an empty body.")
        value = parsed(body)
        if not isinstance(value, dict):
            return error_in(value) or UpstreamUnreachable("The upstream's answer is not a JSON object.")
        if error := _failure(value):
            return error
        if isinstance(value.get("output"), list) or value.get("object") == "response":
            return None
        return error_in(value) or UpstreamError("The upstream answered without an output.", code="upstream_no_output")

    def error_in_event(self, payload: bytes, name: bytes) -> UpstreamError | None:
        value, _ = read_finite(payload)  # 1.5 us of an event, half of what `parsed` takes
        if not isinstance(value, dict):
            return super().error_in_event(payload, name)
        kind = value["type"] if isinstance(value.get("type"), str) else ""
        if kind.startswith("response.") and kind not in ("response.failed", *_ERRORS):
            return None
        failed = _failure(value.get("response")) if kind == "response.failed" else None
        error = failed or error_in(value, b"error" if kind in _ERRORS else name)
        if error and error.code != "upstream_auth" and kind:
            error.said = Chunk(payload, name=name)
        return error

    def begins(self, payload: bytes) -> bool:
        return self.event_name(payload).startswith(b"response.")

    def ends(self, payload: bytes) -> bool:
        return self.event_name(payload) in forms.ENDS

    def speaks(self, payload: bytes) -> bool:
        return self.ends(payload) or self.tells(payload)

    def tells(self, payload: bytes) -> bool:
        kind = self.event_name(payload)
        if kind.endswith(b".delta"):
            return bool((parsed(payload) or {}).get("delta"))
        if kind != b"response.output_item.added":
            return False
        item = (parsed(payload) or {}).get("item")
        return isinstance(item, dict) and item.get("type") not in _WORDS

    def is_hollow(self, recording: Recording) -> bool:
        if recording.text or recording.acts:
            return False
        last = parsed(recording.payloads[-1]) if recording.payloads else None
        found = last.get("response", last) if isinstance(last, dict) else None
        return not isinstance(found, dict) or found.get("status") != "incomplete"

    def to_whole(self, payloads: Iterable[bytes]) -> bytes | None:
        return forms.to_whole(payloads)

    def to_stream(self, body: bytes) -> tuple[bytes, ...] | None:
        return forms.to_stream(body)

    def converts(self, payload: bytes) -> bool:
        return self.event_name(payload).startswith(b"response.") and self.error_in_event(payload, b"") is None

    def joined_loosely(self, payloads: Iterable[bytes]) -> bytes | None:
        return forms.joined_loosely(payloads)

    def lone_event(self, body: bytes) -> tuple[bytes, ...]:
        return forms.framed(body)

    def event_name(self, payload: bytes) -> bytes:
        if kind := _TYPE.match(payload):
            return kind[1]
        value = parsed(payload)
        found = value.get("type") if isinstance(value, dict) else None
        return found.encode("ascii", "ignore") if isinstance(found, str) else b""

    def renamer(self) -> Renamer:
        return _Renamer()

    def object_ids(self, payload: bytes, asked: Body) -> list[str]:
        del asked
        return objects.made(parsed(payload))

    def failure(self, error: Body, events: int, begun: bytes, said: Chunk | None) -> tuple[Chunk, ...]:
        """Both, as OpenAI does: Codex passes over `error`, others over `response.failed`. OpenAI's package wants the id
        with which the response began."""
        first, told = said or self.error_event(error, events), parsed(begun)
        made = told.get("response") if isinstance(told, dict) else None
        if not isinstance(made, dict) or self.event_name(first.data) == b"response.failed":
            return (first,)
        why = {"code": error["error"].get("code") or "server_error", "message": error["error"].get("message")}
        failed, name = {**made, "status": "failed", "error": why}, "response.failed"
        more = dump({"type": name, "response": failed, "sequence_number": events + 1})
        return first, Chunk(more, name=name.encode())

    def error_event(self, error: Body, events: int) -> Chunk:
        told = {name: error["error"].get(name) for name in ("code", "message", "param")}
        return Chunk(dump({"type": "error", **told, "sequence_number": events}), name=b"error")

    def trace_event(self, last: bytes, events: int, trace: Body) -> Chunk:
        del last
        name = "subsecond.trace"
        return Chunk(dump({"type": name, "sequence_number": events, "subsecond": trace}), name=name.encode())


class _Renamer:
    """The id of one answer, wherever it stands, becomes one that nobody has. The other bytes stay."""

    def __init__(self) -> None:
        self._old = b""
        self._new = b'"resp_%b"' % uuid.uuid4().hex.encode()

    def __call__(self, payload: bytes) -> bytes:
        if not self._old:
            value = parsed(payload)
            found = value.get("response", value) if isinstance(value, dict) else None
            name = found.get("id") if isinstance(found, dict) else None
            self._old = dump(name) if isinstance(name, str) and name else b""
        # Inside a text its quotes would be escaped: so it is found as a value alone.
        return payload.replace(self._old, self._new) if self._old else payload


def _items(body: Body) -> list[Any]:
    given = body.get("input")
    return given if isinstance(given, list) else []


def _is_system(item: object) -> bool:
    return isinstance(item, dict) and item.get("role") in SYSTEM


def _as_turn(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """A call, its result or a thought, for who counts and reads texts."""
    role = "tool" if str(item.get("type")).endswith("_output") else "assistant"
    said = next((item[name] for name in ("arguments", "output", "input") if isinstance(item.get(name), str)), "")
    return {"role": role, "content": said}


def _failure(value: object) -> UpstreamError | None:
    """The error of a response object."""
    if not isinstance(value, dict):
        return None
    if value.get("error"):
        return error_in({"error": value["error"]})
    if value.get("status") in ("failed", "cancelled"):
        return UpstreamError(f"The upstream's answer has {value['status']}.", code="upstream_failed")
    return None


def _parts(output: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for item in output:
        if item.get("type") == "message":
            yield from objects.dicts(item.get("content"))


def _text(output: Iterable[Mapping[str, Any]]) -> str:
    said = (part.get("text") for part in _parts(output) if part.get("type") == "output_text")
    return "".join(text for text in said if isinstance(text, str))


def _finishes(found: Mapping[str, Any], output: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Why it ended, in the words of chat's finish reasons; the least storable counts."""
    details = found.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    calls = any(one.get("type") in _CALLS for one in output)
    if found.get("status") == "completed":
        yield "tool_calls" if calls else "stop"
    else:
        yield _INCOMPLETE.get(str(reason), UNFINISHED) if found.get("status") == "incomplete" else UNFINISHED
    if any(part.get("type") == "refusal" for part in _parts(output)):
        yield REFUSED
    if not _text(output).strip() and all(one.get("type") in _WORDS for one in output):
        yield EMPTY


def _usage(found: object) -> Mapping[str, Any] | None:
    """In the words that statistics and prices read, with the upstream's own details."""
    if not isinstance(found, dict):
        return None
    names = {
        "input_tokens": "prompt_tokens",
        "output_tokens": "completion_tokens",
        "input_tokens_details": "prompt_tokens_details",
        "output_tokens_details": "completion_tokens_details",
    }
    return {names.get(str(name), str(name)): value for name, value in found.items()}


DIALECT = Responses()
