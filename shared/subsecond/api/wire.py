"""From a request's bytes to a Call. Checked is what we act on; every other field is passed on as it came."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from subsecond.api.headers import cache_rules
from subsecond.errors import Compressed, InvalidRequest
from subsecond.model import CacheRules, Call, Endpoint, Form, RequestBytes

if TYPE_CHECKING:
    from subsecond.api.bodies import Common, EmbeddingsBody, Extensions
    from subsecond.api.usual_body import UsualBody

# Python's own limit (about 1,000 frames) is for the whole stack; no tool schema comes near this one.
NESTING_LIMIT = 100
# Fields that speak to us, or say how the answer travels. They are neither sent on nor part of the key.
TO_US = frozenset({"use_cache", "max_latency_ms", "subsecond"})
OURS = TO_US | {"stream", "stream_options"}
# How a gzip body begins (RFC 1952, section 2.3.1), and no UTF-8 text.
GZIP = b"\x1f\x8b"


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
        body = _decoder.decode(raw.decode("utf-8"))
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


_decoder = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)


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


def to_call(
    endpoint: Endpoint, asked: Asked, checked: Common | UsualBody, cache_control: str, deadline: float | None
) -> Call:
    """The call that the checked body asks for. asked: the body's fields and, where they are all of it, its bytes."""
    body = {name: value for name, value in asked.body.items() if name not in OURS}
    options = asked.body.get("stream_options")
    form: Form = "stream" if asked.streamed or checked.stream else "whole"
    call = Call(
        endpoint=endpoint,
        model=checked.model,
        body=body,
        rules=_rules(checked.subsecond, cache_control, use_cache=checked.use_cache),
        form=form,
        stream_options=options if isinstance(options, dict) else None,
        raw=_raw(asked, body, checked.model, form),
        deadline=deadline,
    )
    if (wishes := checked.subsecond) is None:
        return call
    return replace(
        call,
        compared=wishes.compare,
        context=wishes.context,
        quality=wishes.quality,
        floor=wishes.floor,
        prefer=wishes.prefer,
    )


def to_embeddings(body: Mapping[str, Any], checked: EmbeddingsBody, cache_control: str, deadline: float | None) -> Call:
    """The call for embeddings that the checked body asks for."""
    rules = _rules(checked.subsecond, cache_control, use_cache=checked.use_cache)
    rest = {name: value for name, value in body.items() if name not in TO_US}
    return Call("embeddings", checked.model, rest, rules, deadline=deadline)


def _rules(wishes: Extensions | None, cache_control: str, *, use_cache: bool | None) -> CacheRules:
    rules = cache_rules(cache_control, use_cache=use_cache is not False)
    if wishes is None:
        return rules
    return replace(
        rules,
        similar=wishes.similar,
        similarity=wishes.similarity,
        tags=tuple(dict.fromkeys(wishes.tags)),
        coalesce=wishes.coalesce,
        ttl=wishes.ttl,
    )


def _raw(asked: Asked, body: Mapping[str, Any], model: str, form: Form) -> RequestBytes | None:
    """The request's bytes, where they may be sent on: nothing in them is ours, and they ask for the call's form."""
    if asked.raw is None or not asked.body.keys().isdisjoint(TO_US):
        return None
    return RequestBytes(asked.raw, body, model) if bool(asked.body.get("stream")) == (form == "stream") else None
