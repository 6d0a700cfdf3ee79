"""How one client hears a stream: usage or not, tokens or sentences, with a trace or without."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from subsecond.api.wire import DeliveryOptions
from subsecond.dialects.dialect import Dialect, Renamer
from subsecond.model import Chunk
from subsecond.stats.trace import Trace
from subsecond.streaming.json_bytes import dump
from subsecond.streaming.listeners import Sentences, text_of
from subsecond.streaming.sse import encode


class StreamEncoder:
    """Turns what was said into events on the wire. The usual chunk passes through as it is."""

    def __init__(self, options: DeliveryOptions, dialect: Dialect, rename: Renamer | None = None) -> None:
        self._options = options
        self._dialect = dialect
        self._events = 0
        self._rename = rename
        self._sentences = _BySentence() if options.sentences else None
        self._last: bytes | None = None
        # The first event's payload, as it was told.
        self.first = b""

    def encode(self, chunk: Chunk) -> bytes:
        """The bytes to write now; none for a usage chunk that nobody asked for."""
        if chunk.usage and not self._options.usage:
            return b""
        if not chunk.comment:
            if self._rename:
                chunk = replace(chunk, data=self._rename(chunk.data))
            self._last = chunk.data
            self.first = self.first or chunk.data
            self._events += 1
            if self._sentences is not None and not chunk.usage:
                return b"".join(encode(Chunk(data)) for data in self._sentences.regroup(chunk.data))
        return encode(chunk)

    def finish(self, trace: Trace) -> bytes:
        """The end: the trace, when it was asked for, and what the dialect ends a stream with."""
        if not self._options.trace or self._last is None:
            return self._dialect.end
        return encode(self._dialect.trace_event(self._last, self._events, trace.public())) + self._dialect.end


class _BySentence:
    """Regroups the text of each choice into sentences; everything else keeps its place."""

    def __init__(self) -> None:
        self._open: dict[int, Sentences] = {}

    def regroup(self, data: bytes) -> list[bytes]:
        """The events to send in its place. What is no text of one choice (log probabilities, which belong to tokens,
        tool calls, several choices) keeps its place and its bytes, behind the text that was held back for it."""
        try:
            chunk = json.loads(data)
        except ValueError:
            return [data]
        choices = chunk.get("choices") if isinstance(chunk, dict) else None
        if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
            return [data]
        choice = choices[0]
        if choice.get("logprobs"):
            return [data]
        sentences = self._open.setdefault(choice.get("index") or 0, Sentences())
        text = text_of(chunk)
        told = sentences.feed(text) if text else []
        if choice.get("finish_reason") and (rest := sentences.finish()):
            told.append(rest)
        parts = [dump({**chunk, "choices": [_with_text(choice, sentence)]}) for sentence in told]
        if _says_more(choice):
            parts.append(dump({**chunk, "choices": [_with_text(choice, "", last=True)]}))
        return parts


def _with_text(choice: dict[str, Any], text: str, *, last: bool = False) -> dict[str, Any]:
    """The choice with this text; what else it carries (role, tool calls, finish reason) goes with the last one."""
    finish = choice.get("finish_reason") if last else None
    if "text" in choice:
        return {**choice, "text": text, "finish_reason": finish}
    rest = {name: value for name, value in (choice.get("delta") or {}).items() if name != "content"} if last else {}
    return {"index": choice.get("index", 0), "delta": {**rest, "content": text}, "finish_reason": finish}


def _says_more(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta") or {}
    return bool(choice.get("finish_reason")) or any(name != "content" for name in delta)
