"""ConverseStream's events to OpenAI's chunks, each as soon as its bytes are there."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from subsecond.errors import UpstreamError
from subsecond.model import Chunk
from subsecond.streaming.json_bytes import dump
from subsecond.upstreams.converse.answer import (
    Frame,
    finish_reason,
    joined_base64,
    sealed,
    thought,
    tool_call,
    usage,
)
from subsecond.upstreams.converse.event_stream import DONE, EventStreamSplitter


class ConverseSplitter(EventStreamSplitter):
    """ConverseStream's events as OpenAI's chunks."""

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        self._answer = _Answer(frame)

    def take(self, kind: str, event: Mapping[str, Any]) -> list[Chunk]:
        chunks = self._answer.take(kind, event)
        self.finished = self._answer.finished
        return chunks

    def failed(self, error: UpstreamError) -> Chunk:
        return Chunk(dump(error.body()))


@dataclass(slots=True)
class _Reasoning:
    """One block as it grows."""

    texts: list[str] = field(default_factory=list)
    signature: list[str] = field(default_factory=list)
    sealed: list[str] = field(default_factory=list)

    def detail(self, index: int) -> dict[str, Any]:
        if self.sealed and not self.texts:
            return sealed(b64encode(joined_base64(self.sealed)).decode(), index)
        return thought("".join(self.texts), "".join(self.signature) or None, index)


class _Answer:
    """The events of one answer, in their order. finished: the model has said why it stopped."""

    def __init__(self, frame: Frame) -> None:
        self.finished = False
        self._frame = frame
        self._calls: dict[int, int] = {}  # a block's index: its call's
        self._schemas: set[int] = set()  # the blocks of the tool in whose input the answer comes
        self._reasoning: dict[int, _Reasoning] = {}
        self._takes: Mapping[str, Callable[[Mapping[str, Any]], list[Chunk]]] = {
            "messageStart": self._start,
            "contentBlockStart": self._block,
            "contentBlockDelta": self._delta,
            "messageStop": self._stop,
            "metadata": self._metadata,
        }

    def take(self, kind: str, event: Mapping[str, Any]) -> list[Chunk]:
        """What it says, as chunks; nothing for `contentBlockStop` and for kinds that are still to come."""
        take = self._takes.get(kind)
        return take(event) if take else []

    def _start(self, event: Mapping[str, Any]) -> list[Chunk]:
        if self._frame.endpoint == "text":
            return []
        return [self._chunk({"role": event.get("role", "assistant"), "content": ""})]

    def _block(self, event: Mapping[str, Any]) -> list[Chunk]:
        use = event.get("start", {}).get("toolUse")
        if not use:
            return []
        at = event["contentBlockIndex"]
        if use["name"] == self._frame.schema_tool:
            self._schemas.add(at)
            return []
        index = self._calls[at] = len(self._calls)
        return [self._chunk({"tool_calls": [{"index": index, **tool_call(use)}]})]

    def _delta(self, event: Mapping[str, Any]) -> list[Chunk]:
        at, delta = event["contentBlockIndex"], event["delta"]
        if "text" in delta:
            return self._text(delta["text"])
        if "toolUse" in delta:
            return self._arguments(at, delta["toolUse"]["input"])
        if "reasoningContent" in delta:
            return self._think(at, delta["reasoningContent"])
        return []  # citations, which nobody asked for

    def _text(self, text: str) -> list[Chunk]:
        return [self._chunk({"content": text})] if text else []

    def _arguments(self, at: int, piece: str) -> list[Chunk]:
        if at in self._schemas:
            return self._text(piece)
        if not piece:
            return []
        return [self._chunk({"tool_calls": [{"index": self._calls[at], "function": {"arguments": piece}}]})]

    def _think(self, at: int, delta: Mapping[str, Any]) -> list[Chunk]:
        block = self._reasoning.setdefault(at, _Reasoning())
        for name, kept in (("text", block.texts), ("signature", block.signature), ("redactedContent", block.sealed)):
            if name in delta:
                kept.append(delta[name])
        text = delta.get("text")
        return [self._chunk({"reasoning_content": text})] if text and self._frame.endpoint == "chat" else []

    def _stop(self, event: Mapping[str, Any]) -> list[Chunk]:
        self.finished = True
        finish = finish_reason(str(event["stopReason"]), calls=bool(self._calls))
        chunks = []
        if self._reasoning and self._frame.endpoint == "chat":
            # All in one piece: how pieces of blocks are to be joined no client agrees on. The text went out before.
            details = [block.detail(at) for at, block in sorted(self._reasoning.items())]
            chunks.append(self._chunk({"reasoning_details": details}))
        return [*chunks, self._chunk({}, finish)]

    def _metadata(self, event: Mapping[str, Any]) -> list[Chunk]:
        """The last event: nothing is waited for behind it."""
        frame = self._frame.fields(chunk=True)
        return [Chunk(dump({**frame, "choices": [], "usage": usage(event["usage"])})), DONE]

    def _chunk(self, delta: Mapping[str, Any], finish: str | None = None) -> Chunk:
        said: Mapping[str, Any] = {"delta": delta}
        if self._frame.endpoint == "text":
            said = {"text": delta.get("content", ""), "logprobs": None}
        choice = {"index": 0, **said, "finish_reason": finish}
        return Chunk(dump({**self._frame.fields(chunk=True), "choices": [choice]}))
