"""From a call to its exact key, its scope and its text.

The key covers every field that the client sent, known to us or not: a field that we do not know may still change the
answer. Left out are only those that change how an answer travels (`stream`, `stream_options`) or speak to us
(`use_cache`, `max_latency_ms`, `subsecond`); the face takes them off before a Call is made.

Where the caller names the text to compare, the scope has what stands around it, or in its place the version that the
caller gives that (`context`), so that other passages in the prompt need not be another scope.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from subsecond.cache.normal_form import normal
from subsecond.errors import InvalidRequest
from subsecond.model import Call, Prompt, Tenant

ROUTE = ("quality", "floor", "prefer")
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def prepare(call: Call, tenant: Tenant) -> Prompt:
    """Key and scope are SHA-256 in hex. Text is empty when the last turn is no user's text: then nothing is similar.
    Raises InvalidRequest when the text to compare is not in the last turn."""
    body = {**call.body, **_texts_normal(call.body)}
    frame = {"partition": tenant.partition, "endpoint": call.endpoint, "model": call.model}
    # A fast model's answer is none to who asks for the quality tier.
    frame |= {name: value for name in ROUTE if (value := getattr(call, name)) is not None}
    if call.optimise:  # who asks for less context may not be served to who asks for all of it
        frame["optimise"] = call.optimise
    key = _digest({**frame, "body": body})
    masked, text = _without_last_turn(body)
    if not text:
        return Prompt(key, key, text)
    text, around = _compared(call, text)
    return Prompt(key, _digest({**frame, "body": masked, "similar": True, **around}), text)


def _compared(call: Call, text: str) -> tuple[str, dict[str, Any]]:
    """The text to compare, and what the scope has of the rest of the turn. Raises InvalidRequest."""
    around: dict[str, Any] = {} if call.context is None else {"context": call.context}
    if call.compared is None:
        return text, around
    compared = _normal(call.compared)
    if not compared or compared not in text:
        raise InvalidRequest(
            "'subsecond.compare' must be a part of the last user turn.", param="subsecond.compare", code="invalid_value"
        )
    # Every occurrence is taken out, so that what is left is the same for another question in the same template.
    return compared, around or {"around": text.split(compared)}


def _digest(value: Mapping[str, Any]) -> str:
    return sha256(_encode(value).encode("ascii")).hexdigest()


def _texts_normal(body: Mapping[str, Any]) -> dict[str, Any]:
    """Messages and prompt with their texts in NFC and stripped at the ends. Case stays: `Polish` is not `polish`."""
    normal: dict[str, Any] = {}
    if isinstance(messages := body.get("messages"), list):
        normal["messages"] = [{**message, "content": _normal(message.get("content"))} for message in messages]
    if "prompt" in body:
        normal["prompt"] = _normal(body["prompt"])
    return normal


def _normal(content: Any) -> Any:
    if isinstance(content, str):
        return normal("NFC", content).strip()
    if isinstance(content, list):
        return [{**part, "text": _normal(part["text"])} if _is_text(part) else part for part in content]
    return content


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)


def _without_last_turn(body: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The body with the last user turn's text taken out, and that text."""
    if isinstance(prompt := body.get("prompt"), str):
        return {**body, "prompt": None}, prompt
    messages = body.get("messages") or []
    if not messages or messages[-1].get("role") != "user":
        return body, ""
    rest, text = _split_text(messages[-1].get("content"))
    return {**body, "messages": [*messages[:-1], {**messages[-1], "content": rest}]}, text


def _split_text(content: Any) -> tuple[Any, str]:
    if isinstance(content, str):
        return None, content
    parts = content if isinstance(content, list) else []
    text = "\n".join(part["text"] for part in parts if _is_text(part))
    return [part for part in parts if not _is_text(part)], text
