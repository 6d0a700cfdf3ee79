"""From a request's bytes to a Call. Checked is what we act on; every other field is passed on as it came."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from subsecond.api.headers import cache_rules
from subsecond.errors import Compressed, InvalidRequest
from subsecond.model import CacheRules, Call, Endpoint, Form, RequestBytes

# Python's own limit (about 1,000 frames) is for the whole stack; no tool schema comes near this one.
NESTING_LIMIT = 100
# Fields that speak to us, or say how the answer travels. They are neither sent on nor part of the key.
TO_US = frozenset({"use_cache", "max_latency_ms", "subsecond"})
OURS = TO_US | {"stream", "stream_options"}
# How a gzip body begins (RFC 1952, section 2.3.1), and no UTF-8 text.
GZIP = b"\x1f\x8b"
# A tag is stored with each answer, and a rule's name in the table.
TAG = r"^[\w.:/@+-]{1,64}$"


class _Body(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, defer_build=True)


class Message(_Body):
    role: str
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(_Body):
    include_usage: bool | None = None


class Extensions(BaseModel):
    """What the body's `subsecond` object may say of the cache and the route. A word that we do not know is refused: a
    misspelt `similar: false` would be obeyed by nobody."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)

    similar: bool = True
    similarity: Annotated[float, Field(ge=-1, le=1)] = -1.0
    tags: Annotated[list[Annotated[str, Field(pattern=TAG)]], Field(max_length=10)] = []
    coalesce: bool = True
    ttl: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    compare: Annotated[str, Field(min_length=1)] | None = None
    context: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    quality: Annotated[float, Field(ge=0, le=1)] | None = None
    floor: Literal["fast", "balanced", "quality"] | None = None
    prefer: Literal["latency", "price"] | None = None


class Common(_Body):
    """What chat and text completions share."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    use_cache: bool | None = None
    max_latency_ms: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    subsecond: Extensions | None = None


class ChatBody(Common):
    messages: Annotated[list[Message], Field(min_length=1)]


class TextBody(Common):
    prompt: str | list[str] | list[int] | list[list[int]]


class BatchBody(Common):
    prompts: Annotated[list[str], Field(min_length=1)]


class EmbeddingsBody(_Body):
    """What is to be embedded has many shapes (texts, tokens, pictures, messages), which the upstream checks."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    use_cache: bool | None = None
    max_latency_ms: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    subsecond: Extensions | None = None


Body = TypeVar("Body", bound=BaseModel)
# How pydantic names the members of a union in an error's path: `str`, `list[str]`, `list[list[int]]`.
_MEMBER = re.compile(r"(str|int|(list|dict)\[.*)")


@dataclass(frozen=True, slots=True)
class Asked:
    """A body as its route reads it. raw: its bytes, None where the route has changed it; streamed: whether the route
    streams whatever the body says."""

    body: Mapping[str, Any]
    raw: bytes | None = None
    streamed: bool = False


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """How this client wants its answer, beside its form."""

    usage: bool = False
    sentences: bool = False
    trace: bool = False


def parse(raw: bytes) -> dict[str, Any]:
    """The body's JSON object. Raises InvalidRequest."""
    if raw.startswith(GZIP):
        raise Compressed("gzip")
    try:
        # Not `json.loads(raw)`: for bytes it guesses the encoding and lets surrogates pass.
        body = json.loads(raw.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The body is not UTF-8 (byte {error.start}).", code="invalid_utf8") from None
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply.", code="nested_too_deeply") from None
    except ValueError as error:
        raise InvalidRequest(f"The body is not JSON: {error}.", code="invalid_json") from None
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.", code="invalid_json")
    _check_depth(body)
    return body


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


def _finite(text: str) -> float:
    """1e999 is JSON, but no number that anybody could send on."""
    if not isfinite(number := float(text)):
        raise ValueError(f"{text[:20]} is too large a number")
    return number


def _check_depth(body: dict[str, Any]) -> None:
    level: list[Any] = [body]
    for _ in range(NESTING_LIMIT):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise InvalidRequest(f"The body is nested more than {NESTING_LIMIT} levels deep.", code="nested_too_deeply")


def check(kind: type[Body], body: Mapping[str, Any]) -> Body:
    """The body's checked fields. Raises InvalidRequest that names the first field that does not fit."""
    try:
        return kind.model_validate(body)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False, include_context=False)[0]
        # A union reports each member's view: the field is what lies before the member's name.
        where = ".".join(str(part) for part in first["loc"] if not _MEMBER.fullmatch(str(part)))
        raise InvalidRequest(f"'{where}': {first['msg']}.", param=where, code="invalid_value") from None


def to_call(endpoint: Endpoint, asked: Asked, checked: Common, cache_control: str, deadline: float | None) -> Call:
    """The call that the checked body asks for. asked: the body's fields and, where they are all of it, its bytes."""
    extensions = checked.subsecond or Extensions()
    rules = _rules(extensions, cache_control, checked.use_cache)
    body = {name: value for name, value in asked.body.items() if name not in OURS}
    options = asked.body.get("stream_options")
    form: Form = "stream" if asked.streamed or checked.stream else "whole"
    return Call(
        endpoint=endpoint,
        model=checked.model,
        body=body,
        rules=rules,
        form=form,
        stream_options=options if isinstance(options, dict) else None,
        raw=_raw(asked, body, checked.model, form),
        deadline=deadline,
        compared=extensions.compare,
        context=extensions.context,
        quality=extensions.quality,
        floor=extensions.floor,
        prefer=extensions.prefer,
    )


def to_embeddings(body: Mapping[str, Any], checked: EmbeddingsBody, cache_control: str, deadline: float | None) -> Call:
    """The call for embeddings that the checked body asks for."""
    rules = _rules(checked.subsecond or Extensions(), cache_control, checked.use_cache)
    rest = {name: value for name, value in body.items() if name not in TO_US}
    return Call("embeddings", checked.model, rest, rules, deadline=deadline)


def _rules(extensions: Extensions, cache_control: str, use_cache: bool | None) -> CacheRules:  # noqa: FBT001 -- the body's
    return replace(
        cache_rules(cache_control, use_cache=use_cache is not False),
        similar=extensions.similar,
        similarity=extensions.similarity,
        tags=tuple(dict.fromkeys(extensions.tags)),
        coalesce=extensions.coalesce,
        ttl=extensions.ttl,
    )


def _raw(asked: Asked, body: Mapping[str, Any], model: str, form: Form) -> RequestBytes | None:
    """The request's bytes, where they may be sent on: nothing in them is ours, and they ask for the call's form."""
    if asked.raw is None or not asked.body.keys().isdisjoint(TO_US):
        return None
    return RequestBytes(asked.raw, body, model) if bool(asked.body.get("stream")) == (form == "stream") else None
