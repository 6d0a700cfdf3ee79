"""Reads a chat body's messages: their roles, and their texts in either form of content. Changes nothing in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Message = Mapping[str, Any]

INSTRUCTING = frozenset({"system", "developer"})
# How callers mark where the provider's cached prefix ends: Anthropic, Bedrock, OpenAI.
MARKERS = ("cache_control", "cachePoint", "prompt_cache_breakpoint")


def messages_of(body: Mapping[str, Any]) -> list[Message]:
    found = body.get("messages")
    return [message for message in found if isinstance(message, dict)] if isinstance(found, list) else []


def texts(message: Message) -> Iterator[str]:
    content = message.get("content")
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        yield from (part["text"] for part in content if _is_text(part))


def with_texts(message: Message, edit: Callable[[str], str]) -> Message:
    """The message with each text edited; the same object where no text changed. A text is never emptied."""
    content = message.get("content")
    if isinstance(content, str):
        new = edit(content)
        return message if new == content or not new.strip() else {**message, "content": new}
    if not isinstance(content, list):
        return message
    parts = [{**part, "text": edit(part["text"]) or part["text"]} if _is_text(part) else part for part in content]
    return message if parts == content else {**message, "content": parts}


def last_user(messages: Sequence[Message]) -> int:
    """The index of the last user message; the number of messages where there is none."""
    return next((at for at in range(len(messages) - 1, -1, -1) if messages[at].get("role") == "user"), len(messages))


def query(messages: Sequence[Message]) -> str:
    """The last user message's text."""
    at = last_user(messages)
    return "\n".join(texts(messages[at])) if at < len(messages) else ""


def pinned_messages(body: Mapping[str, Any], messages: Sequence[Message]) -> int:
    """How many messages must stay byte for byte: those up to the caller's last marker; all for one at the top level."""
    if any(body.get(marker) for marker in MARKERS):
        return len(messages)
    return next((at + 1 for at in range(len(messages) - 1, -1, -1) if has_marker(messages[at])), 0)


def has_marker(value: object) -> bool:
    """Whether it holds a marker, at any depth (`api.wire` bounds that at 100)."""
    if isinstance(value, Mapping):
        return any(marker in value for marker in MARKERS) or any(map(has_marker, value.values()))
    return isinstance(value, list) and any(map(has_marker, value))


def is_formatted(body: Mapping[str, Any]) -> bool:
    """Whether the answer's format is prescribed, so that the prompt's own format may matter."""
    wanted = body.get("response_format")
    return bool(wanted) and not (isinstance(wanted, Mapping) and wanted.get("type") == "text")


def _is_text(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
