"""The index of a recording: what must be known of an answer without reading it again.

It reads what servers really send, and whatever it cannot read makes the recording `unknown`, which is never stored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from subsecond.model import Endpoint, Form, Recording
from subsecond.streaming.disguise import error_in
from subsecond.streaming.events import choices_of, index_of, parsed, part_of, text_in

UNFINISHED = "unknown"
FILTERED = "content_filter"
REFUSED = "refusal"
EMPTY = "empty"
# From most to least storable: of several choices the least storable one speaks for the answer.
RANKS = ("stop", "length", "tool_calls", "function_call", EMPTY, REFUSED, FILTERED, UNFINISHED)

# Finish words of servers that speak OpenAI's dialect or nearly, in lower case, and OpenAI's word for them.
WORDS: Mapping[str, str] = {
    "stop": "stop",  # OpenAI; Gemini and Vertex in capitals
    "finish_reason_stop": "stop",  # Gemini through gRPC gateways
    "end": "stop",  # Fireworks, older SGLang
    "eos": "stop",  # Together, DeepInfra, Mistral's first servers
    "eos_token": "stop",  # Text Generation Inference, watsonx
    "stop_sequence": "stop",  # Anthropic, Text Generation Inference, watsonx
    "stop_str": "stop",  # SGLang
    "end_turn": "stop",  # Anthropic, Bedrock
    "end_of_turn": "stop",  # llamafile
    "complete": "stop",  # Cohere
    "completed": "stop",  # Responses behind adapters
    "normal": "stop",  # ERNIE
    "length": "length",  # OpenAI
    "max_tokens": "length",  # Anthropic, Cohere, Gemini, watsonx
    "finish_reason_max_tokens": "length",  # Gemini through gRPC gateways
    "model_length": "length",  # Mistral
    "model_context_window_exceeded": "length",  # Anthropic
    "token_limit": "length",  # watsonx
    "tool_calls": "tool_calls",  # OpenAI
    "tool_call": "tool_calls",  # Cohere
    "tool_use": "tool_calls",  # Anthropic, Bedrock
    "function_call": "function_call",  # OpenAI
    "content_filter": FILTERED,  # OpenAI, Azure
    "content_filtered": FILTERED,  # Bedrock
    "guardrail_intervened": FILTERED,  # Bedrock
    "sensitive": FILTERED,  # Zhipu
    "safety": FILTERED,  # Gemini, as the next ones
    "recitation": FILTERED,
    "blocklist": FILTERED,
    "prohibited_content": FILTERED,
    "spii": FILTERED,
    "refusal": REFUSED,  # Anthropic
}
# Calls are as good as words: an answer that has neither is empty, however much it thought, drew or sang.
_CALLS = ("tool_calls", "function_call")


def recorded(endpoint: Endpoint, form: Form, payloads: Iterable[bytes], *, ended: bool = True) -> Recording:
    """Never raises. ended: whether the body ended cleanly."""
    kept = tuple(payloads)
    index = _Index(endpoint)
    for payload in kept:
        index.add(payload)
    return Recording(
        form=form,
        payloads=kept,
        finish=index.finish() if ended else UNFINISHED,
        model=index.model,
        usage=index.usage,
        text=index.text(),
        acts=any(choice.acts for choice in index.choices.values()),
    )


def least_storable(finishes: Iterable[str]) -> str:
    """`unknown` where there is none."""
    return max(finishes, key=RANKS.index, default=UNFINISHED)


def finish_word(reason: object) -> str | None:
    """OpenAI's word; None for one that says nothing: some servers send "" or "null" until the end."""
    if reason is None or reason in ("", "null"):
        return None
    return WORDS.get(reason.lower(), UNFINISHED) if isinstance(reason, str) else UNFINISHED


class _Index:
    """What is found in the payloads so far."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._broken = False
        self.model = ""
        self.usage: Mapping[str, Any] | None = None
        self.choices: dict[int, _Choice] = {}

    def add(self, payload: bytes) -> None:
        value, finite = _read(payload)
        if not isinstance(value, dict):
            self._broken = True
            return
        # Nearly every chunk has choices and no word of an error, which then needs no closer look.
        told = value.get("choices") and b'"error"' not in payload
        if not finite or (not told and error_in(value)):
            self._broken = True
        if isinstance(model := value.get("model"), str):
            self.model = model or self.model
        if isinstance(usage := value.get("usage"), dict):
            self.usage = usage
        for place, choice in enumerate(choices_of(value)):
            index = index_of(choice, place)
            kept = self.choices.get(index)
            if kept is None:
                kept = self.choices[index] = _Choice()
            kept.add(choice, self._endpoint)

    def finish(self) -> str:
        if self._broken:
            return UNFINISHED
        choices = self.choices.values()
        finishes = [choice.finish or UNFINISHED for choice in choices]
        finishes += [REFUSED for choice in choices if choice.refused]
        if not any(choice.tells for choice in choices):
            finishes.append(EMPTY)
        return least_storable(finishes) if choices else UNFINISHED

    def text(self) -> str:
        return "".join(self.choices[min(self.choices)].texts) if self.choices else ""


class _Choice:
    __slots__ = ("acts", "finish", "refused", "tells", "texts")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.finish: str | None = None
        self.acts = self.refused = self.tells = False

    def add(self, choice: dict[str, Any], endpoint: Endpoint) -> None:
        self.finish = finish_word(choice.get("finish_reason")) or self.finish
        if endpoint == "text":
            self._hear(choice.get("text"))
            return
        if not choice.get("delta") and self.texts:
            return  # a last chunk that repeats the whole message (Azure, Perplexity)
        part = part_of(choice)
        self._hear(part.get("content"))
        self.refused = self.refused or bool(part.get("refusal"))
        self.acts = self.acts or any(part.get(name) for name in _CALLS)
        self.tells = self.tells or self.acts

    def _hear(self, content: object) -> None:
        text = text_in(content)
        if text:
            self.texts.append(text)
        self.tells = self.tells or bool(text.strip())


def _read(payload: bytes) -> tuple[object, bool]:
    """Its JSON value, None where it is not JSON; and whether all its numbers are finite. The client's `[DONE]` waits
    for this: a reader that is made once takes half of the time of `json.loads`, which reads what this one refuses."""
    try:
        text = payload.strip(b" \t\r\n").decode()
        value, end = _FINITE.raw_decode(text)
        if end == len(text):
            return value, True
    except (ValueError, RecursionError):
        pass
    return parsed(payload), not _has_odd_number(payload)


def _has_odd_number(payload: bytes) -> bool:
    """Whether a number in it is not finite. JSON has none; Python's reader, and so some servers, know them."""
    try:
        json.loads(payload, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return True
    return False


def _refuse(name: str) -> float:
    raise ValueError(name)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(digits)
    return number


_FINITE = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
