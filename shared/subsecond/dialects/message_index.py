"""The index of a recorded message: what must be known of an answer without reading it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from subsecond.dialects.finish import EMPTY, UNFINISHED, finish_word
from subsecond.model import Form, Recording
from subsecond.streaming.finite import read_finite

# Blocks by which the model acts. A server's tool is called and answered within the turn.
ACTS = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})
# The deltas and blocks that say something, with the field that has it.
SAYS: Mapping[str, str] = {
    "text": "text",
    "text_delta": "text",
    "thinking": "thinking",
    "thinking_delta": "thinking",
    "input_json_delta": "partial_json",
}
_INPUT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def recorded(form: Form, payloads: tuple[bytes, ...], *, ended: bool) -> Recording:
    index = _Index()
    for payload in payloads:
        value, finite = read_finite(payload)
        index.add(value if finite else None)
    return Recording(
        form=form,
        payloads=payloads,
        finish=index.finish() if ended else UNFINISHED,
        model=index.model,
        usage=in_openai_words(index.usage),
        text="".join(index.texts),
        acts=index.acts,
    )


def tells(value: object) -> bool:
    """Whether a parsed event, or body, says anything: text, a thought, a call."""
    if not isinstance(value, dict):
        return False
    begun = value.get(
        "message"
    )  # of a first event, which has blocks where they are told whole (`message_forms.framed`)
    blocks = (begun if isinstance(begun, dict) else value).get("content")
    inside = blocks if isinstance(blocks, list) else ()
    return any(_says(one) for one in (value.get("delta"), value.get("content_block"), *inside))


def _says(part: object) -> bool:
    if not isinstance(part, dict):
        return False
    kind = part.get("type")
    return kind in ACTS or bool(part.get(SAYS.get(kind, ""))) if isinstance(kind, str) else False


def in_openai_words(usage: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The counts under the names by which statistics and prices know them; None where nothing was counted. Anthropic
    counts tokens that the prompt cache read or wrote beside `input_tokens`, OpenAI among them."""
    counts = {name: n for name, n in usage.items() if type(n) is int}
    if not counts:
        return None
    asked, told = sum(counts.get(name, 0) for name in _INPUT), counts.get("output_tokens", 0)
    return {
        "prompt_tokens": asked,
        "completion_tokens": told,
        "total_tokens": asked + told,
        "prompt_tokens_details": {"cached_tokens": counts.get("cache_read_input_tokens", 0)},
    }


class _Index:
    """What is found in the payloads so far: the events of a stream, or one body."""

    def __init__(self) -> None:
        self.model = ""
        self.usage: dict[str, Any] = {}
        self.texts: list[str] = []
        self.acts = False
        self._reason: object = None
        self._broken = self._begun = self._over = self._told = False

    def add(self, value: object) -> None:
        if not isinstance(value, dict) or value.get("type") == "error":
            self._broken = True
            return
        self._told = self._told or tells(value)
        kind = value.get("type")
        if kind == "message":
            self._message(value)
            self._over = True
        elif kind == "message_start" and isinstance(value.get("message"), dict):
            self._broken = self._broken or self._begun  # two answers: whose is which, nobody can say
            self._begun = True
            self._message(value["message"])
        elif kind == "message_delta":
            self._end(value.get("delta"), value.get("usage"))
        elif kind == "message_stop":
            self._over = True
        else:
            self._hear(value.get("content_block"))
            self._hear(value.get("delta"))

    def finish(self) -> str:
        if self._broken or not self._over:
            return UNFINISHED
        word = finish_word(self._reason) or UNFINISHED
        said = self.acts or any(text.strip() for text in self.texts)
        return EMPTY if word == "stop" and not said else word

    def _message(self, message: Mapping[str, Any]) -> None:
        if isinstance(model := message.get("model"), str):
            self.model = model
        content = message.get("content")
        for block in content if isinstance(content, list) else ():
            self._hear(block)
        self._end(message, message.get("usage"))

    def _end(self, delta: object, usage: object) -> None:
        if isinstance(delta, dict):
            self._reason = delta.get("stop_reason") or self._reason
        if isinstance(usage, dict):
            self.usage |= {name: n for name, n in usage.items() if n is not None}

    def _hear(self, part: object) -> None:
        if not isinstance(part, dict):
            return
        self.acts = self.acts or part.get("type") in ACTS
        if part.get("type") in ("text", "text_delta") and isinstance(text := part.get("text"), str):
            self.texts.append(text)
