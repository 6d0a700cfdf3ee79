"""A stored answer told again as a stream: the same id, the same pieces, joined to the same whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from subsecond.model import Answer, Chunk
from subsecond.streaming.transcript import EVERY_CHUNK, dump


def replay(answer: Answer) -> Iterator[Chunk]:
    """The chunks of the answer, its usage chunk last where it has one."""
    whole = json.loads(answer.body)
    usage = whole.pop("usage", None)
    choices = whole.pop("choices")
    chat = whole["object"] == "chat.completion"
    if chat:
        whole["object"] = "chat.completion.chunk"
    deltas = _chat_deltas if chat else _texts
    frame = {name: value for name, value in whole.items() if name in EVERY_CHUNK}
    told = [delta for place, choice in enumerate(choices) for delta in deltas(choice, () if place else answer.pieces)]
    for delta in told[:-1]:
        yield Chunk(dump({**frame, "choices": [delta]}))
    yield Chunk(dump({**whole, "choices": told[-1:]}))
    if usage is not None:
        yield Chunk(dump({**frame, "choices": [], "usage": usage}), usage=True)


def _chat_deltas(choice: dict[str, Any], pieces: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    message = dict(choice["message"])
    text = message.pop("content", None) or ""
    if message.get("tool_calls"):
        message["tool_calls"] = [{"index": index, **call} for index, call in enumerate(message["tool_calls"])]
    index = choice["index"]
    yield {"index": index, "delta": {**message, "content": "" if text else None}, "finish_reason": None}
    for piece in cut(text, pieces):
        yield {"index": index, "delta": {"content": piece}, "finish_reason": None}
    yield {"index": index, "delta": {}, "logprobs": choice.get("logprobs"), "finish_reason": choice["finish_reason"]}


def _texts(choice: dict[str, Any], pieces: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    index = choice["index"]
    for piece in cut(choice["text"], pieces):
        yield {"index": index, "text": piece, "logprobs": None, "finish_reason": None}
    yield {"index": index, "text": "", "logprobs": choice.get("logprobs"), "finish_reason": choice["finish_reason"]}


def cut(text: str, pieces: tuple[int, ...]) -> Iterator[str]:
    """The text in pieces of these lengths; what they do not cover comes as one."""
    at = 0
    for length in pieces:
        if length and at < len(text):
            yield text[at : at + length]
        at += length
    if at < len(text):
        yield text[at:]
