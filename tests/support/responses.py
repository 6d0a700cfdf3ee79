"""Responses of OpenAI as a server gives them: the object, its items, and the events that lead to it."""

from __future__ import annotations

import json
from typing import Any

from tests.support.wires import head

USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 3,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 12,
}


def message(text: str = "Good.", name: str = "msg_1", **part: Any) -> dict[str, Any]:
    said = {"type": "output_text", "text": text, "annotations": [], "logprobs": [], **part}
    return {"id": name, "type": "message", "status": "completed", "role": "assistant", "content": [said]}


def refusal(words: str = "No.") -> dict[str, Any]:
    return {**message(), "content": [{"type": "refusal", "refusal": words}]}


def function_call(name: str = "look_up", arguments: str = '{"a":1}', at: int = 1) -> dict[str, Any]:
    told = {"call_id": f"call_{at}", "name": name, "arguments": arguments}
    return {"id": f"fc_{at}", "type": "function_call", "status": "completed", **told}


def reasoning(*texts: str) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": text} for text in texts]
    return {"id": "rs_1", "type": "reasoning", "summary": summary, "encrypted_content": "sealed"}


def response(*items: dict[str, Any], status: str = "completed", **fields: Any) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": "m-1",
        "output": list(items or (message(),)),
        "usage": USAGE,
        **fields,
    }


def events(whole: dict[str, Any]) -> list[dict[str, Any]]:
    """The stream of a response with one message of one part."""
    item = whole["output"][0]
    text, place = item["content"][0]["text"], {"output_index": 0, "item_id": item["id"], "content_index": 0}
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    told = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        *({"type": "response.output_text.delta", **place, "delta": piece} for piece in (text[:2], text[2:])),
        {"type": "response.output_text.done", **place, "text": text},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": f"response.{whole['status']}", "response": whole},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(told)]


def payloads(whole: dict[str, Any]) -> list[bytes]:
    return [json.dumps(event).encode() for event in events(whole)]


def named(payload: bytes) -> bytes:
    """The event on the wire, under its type."""
    return b"event: %b\ndata: %b\n\n" % (json.loads(payload)["type"].encode(), payload)


def stream(*told: bytes) -> bytes:
    return head() + b"".join(map(named, told))
