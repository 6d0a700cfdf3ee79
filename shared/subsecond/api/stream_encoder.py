"""How one client hears a stream: usage or not, tokens or sentences, with a trace or without."""

from __future__ import annotations

import json
from typing import Any

from subsecond.api.wire import Travel
from subsecond.model import Chunk
from subsecond.stats.trace import Trace
from subsecond.streaming.listeners import Sentences, text_of
from subsecond.streaming.sse import encode
from subsecond.streaming.transcript import dump


class Voice:
    """Turns the pipeline's chunks into `data:` lines. The usual chunk passes through as it is."""

    def __init__(self, travel: Travel) -> None:
        self._travel = travel
        self._sentences = _BySentence() if travel.sentences else None
        self._last: bytes | None = None

    def say(self, chunk: Chunk) -> bytes:
        """The bytes to write now; none for a usage chunk that nobody asked for."""
        if chunk.usage and not self._travel.usage:
            return b""
        self._last = chunk.data
        if self._sentences is None or chunk.usage:
            return encode(chunk.data)
        return b"".join(map(encode, self._sentences.regroup(chunk.data)))

    def finish(self, trace: Trace) -> bytes:
        """What is owed before `[DONE]`: the trace, when it was asked for."""
        if not self._travel.trace or self._last is None:
            return b""
        frame = json.loads(self._last)
        frame.pop("usage", None)
        return encode(dump({**frame, "choices": [], "subsecond": trace.public()}))


class _BySentence:
    """Regroups the text of each choice into sentences; everything else keeps its place."""

    def __init__(self) -> None:
        self._open: dict[int, Sentences] = {}

    def regroup(self, data: bytes) -> list[bytes]:
        chunk = json.loads(data)
        choices = chunk.get("choices") or []
        if len(choices) != 1:
            return [data]
        choice = choices[0]
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
