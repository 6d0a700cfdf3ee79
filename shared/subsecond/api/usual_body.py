"""The bodies that most clients send, let through without pydantic: what passes here is what `bodies` would pass.

Everything else is left to `bodies`: what is wrong, so that one place words all errors, and what is seldom.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

LONGEST_NAME = 256
MOST_CHOICES = 128
LONGEST_BUDGET = 1e9


@dataclass(frozen=True, slots=True)
class UsualOptions:
    """`stream_options`."""

    include_usage: bool | None


@dataclass(frozen=True, slots=True)
class UsualBody:
    """The fields that are acted on, under the names that `bodies.Common` has for them. prompt: of a text completion."""

    model: str
    stream: bool | None
    stream_options: UsualOptions | None
    use_cache: bool | None
    max_latency_ms: float | None
    prompt: str = ""
    subsecond: None = None


def usual_chat(body: Mapping[str, Any]) -> UsualBody | None:
    """None where the body is anything else than usual."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(map(_is_message, messages)):
        return None
    return _usual(body, "")


def usual_responses(body: Mapping[str, Any]) -> UsualBody | None:
    """As `usual_chat`, with an input that is a text or a list of items."""
    given = body.get("input")
    if not _is_text(given) and not (isinstance(given, list) and all(isinstance(one, dict) for one in given)):
        return None
    return _usual(body, "")


def usual_text(body: Mapping[str, Any]) -> UsualBody | None:
    """As `usual_chat`, with one prompt that is a text."""
    prompt = body.get("prompt")
    return _usual(body, prompt) if _is_text(prompt) else None


def _usual(body: Mapping[str, Any], prompt: str) -> UsualBody | None:
    model, options, budget = body.get("model"), body.get("stream_options"), body.get("max_latency_ms")
    if not _is_text(model):
        return None
    fits = (
        0 < len(model) <= LONGEST_NAME
        and _is_flag(body.get("stream"))
        and _is_flag(body.get("use_cache"))
        and _is_options(options)
        and _is_choices(body.get("n"))
        and (budget is None or (_is_number(budget) and 0 <= budget <= LONGEST_BUDGET))
        and body.get("subsecond") is None
        and all(name.isascii() for name in body)
    )
    if not fits:
        return None
    usage = None if options is None else UsualOptions(options.get("include_usage"))
    return UsualBody(model, body.get("stream"), usage, body.get("use_cache"), budget, prompt)


def _is_text(value: Any) -> TypeGuard[str]:
    """Lone surrogates, which JSON's escapes can make, are no text."""
    if not isinstance(value, str):
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_number(value: Any) -> bool:
    """A flag is none, though Python counts with it."""
    return type(value) in (int, float)


def _is_options(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, dict) and _is_flag(value.get("include_usage")) and all(name.isascii() for name in value)


def _is_flag(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _is_choices(value: Any) -> bool:
    return value is None or (type(value) is int and 1 <= value <= MOST_CHOICES)


def _is_message(value: Any) -> bool:
    if not isinstance(value, dict) or not _is_text(value.get("role")) or not all(name.isascii() for name in value):
        return False
    content = value.get("content")
    if isinstance(content, list):
        return all(isinstance(part, dict) and all(name.isascii() for name in part) for part in content)
    return content is None or _is_text(content)
