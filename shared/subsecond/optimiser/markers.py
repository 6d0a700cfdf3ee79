"""Places markers for the provider's prefix cache, only where the caller or the operator asked for them.

openai: `prompt_cache_key`, the same for one tenant's calls with the same tools and system text, so that they meet the
same cache. anthropic: `cache_control` on the last tool, the system's last text and the last message before the newest
turn (three of the four that are allowed). bedrock: a `cachePoint` behind the same messages. A body that carries a
marker of its own gets none from us. Text stays byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from subsecond.optimiser.messages import INSTRUCTING, MARKERS, Message, has_marker, last_user
from subsecond.setting_values import CHOICES

MARKER_KINDS = CHOICES["cache_markers"]
# What providers cache at the least is 1,024 tokens: a shorter prefix than this many characters is not worth a marker.
LEAST_CHARS = 4096


def with_markers(
    body: Mapping[str, Any], messages: Sequence[Message], kind: str, partition: str
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Fields of the body to replace, and the names of the markers set."""
    own = "prompt_cache_key" in body or has_marker(body.get("tools")) or any(map(has_marker, messages))
    if kind == "off" or own or any(marker in body for marker in MARKERS):
        return {}, ()
    head = [message for message in messages if message.get("role") in INSTRUCTING]
    if kind == "openai":
        stable = [partition, body.get("model"), body.get("tools"), head]
        return {"prompt_cache_key": "subsecond-" + digest(stable)[:32]}, ("prompt_cache_key",)
    return _breakpoints(body, list(messages), kind)


def _breakpoints(body: Mapping[str, Any], messages: list[Message], kind: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    fields: dict[str, Any] = {}
    names: list[str] = []
    newest = last_user(messages)
    system = next((at for at in range(newest - 1, -1, -1) if messages[at].get("role") in INSTRUCTING), None)
    for name, at in (("system", system), ("history", newest - 1 if newest < len(messages) else None)):
        if at is None or at < 0 or (name == "history" and at == system):
            continue
        if _chars(messages[: at + 1]) >= LEAST_CHARS and (new := _with_mark(messages[at], kind)):
            messages[at] = new
            names.append(name)
    tools = body.get("tools")
    if kind == "anthropic" and isinstance(tools, list) and tools and _chars(tools) >= LEAST_CHARS:
        fields["tools"] = [*tools[:-1], {**tools[-1], "cache_control": {"type": "ephemeral"}}]
        names.append("tools")
    if {"system", "history"} & set(names):
        fields["messages"] = messages
    return fields, tuple(names)


def _with_mark(message: Message, kind: str) -> Message | None:
    content = message.get("content")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) and content else content
    if not isinstance(parts, list) or not parts or not isinstance(parts[-1], dict):
        return None
    if kind == "bedrock":
        return {**message, "content": [*parts, {"cachePoint": {"type": "default"}}]}
    return {**message, "content": [*parts[:-1], {**parts[-1], "cache_control": {"type": "ephemeral"}}]}


def _chars(values: Sequence[object]) -> int:
    return sum(len(json.dumps(value, ensure_ascii=False, default=str)) for value in values)


def prefix_hash(body: Mapping[str, Any], messages: Sequence[Message]) -> str:
    """Of tools and all messages before the newest user turn, as they are sent; empty where there are none."""
    newest = last_user(messages)
    before = list(messages[:newest]) if newest < len(messages) else list(messages)
    tools = body.get("tools")
    return digest([tools, before])[:16] if before or tools else ""


def digest(value: object) -> str:
    # Keys are not sorted: a provider's prefix changes with their order.
    return sha256(json.dumps(value, separators=(",", ":"), default=str).encode("ascii")).hexdigest()
