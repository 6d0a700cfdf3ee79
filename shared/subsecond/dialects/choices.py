"""Answers in `choices`: what OpenAI's chat and text completions share, and most servers that speak nearly the same.

It reads what servers really send, and whatever it cannot read makes the recording `unknown`, which is never stored.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from subsecond.dialects.dialect import Body, Dialect
from subsecond.dialects.finish import EMPTY, FILTERED, REFUSED, UNFINISHED, finish_word, least_storable
from subsecond.errors import UpstreamError
from subsecond.model import Chunk, Endpoint, Form, Recording
from subsecond.streaming import convert
from subsecond.streaming.disguise import error_in, not_an_answer
from subsecond.streaming.events import choices_of, index_of, is_usage_only, parsed, part_of, speaks, text_in
from subsecond.streaming.finite import read_finite
from subsecond.streaming.json_bytes import dump
from subsecond.streaming.loose_join import joined_loosely
from subsecond.streaming.sse import DONE

# Nothing is passed on before the first of these: a stream without any is no answer, and may be told with a status.
_CHOICES = b'"choices"'
# Calls are as good as words: an answer that has neither is empty, however much it thought, drew or sang.
_CALLS = ("tool_calls", "function_call")
# Finish reasons that explain why nothing was said.
CUT = frozenset({"length", FILTERED, REFUSED})


class Choices(Dialect):
    """The half of both dialects that reads and writes answers."""

    end = DONE
    unbegun = "The model's answer ended without a choice."
    asks_for_usage = True
    editable = True
    in_sentences = True
    acts = ("tools", "functions", "audio")
    choices = ("tool_choice", "function_call")
    of_this_text = ("echo", "logprobs", "top_logprobs", "prompt_logprobs", "suffix")

    def end_user(self, body: Body) -> object:
        # The first that says something counts. OpenAI puts the second in the first one's place.
        return next((body[name] for name in ("user", "safety_identifier") if body.get(name) not in (None, "")), None)

    def limit(self, body: Body) -> object:
        return body.get("max_completion_tokens", body.get("max_tokens"))

    def format(self, body: Body) -> object:
        return body.get("response_format")

    def is_one(self, body: Body) -> bool:
        return body.get("n") in (None, 1)

    def recorded(self, form: Form, payloads: Iterable[bytes], *, ended: bool = True) -> Recording:
        kept = tuple(payloads)
        index = _Index(self.endpoint)
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

    def not_an_answer(self, body: bytes) -> UpstreamError | None:
        return not_an_answer(self.endpoint, body)

    def begins(self, payload: bytes) -> bool:
        if _CHOICES not in payload:
            return False
        try:
            return bool(json.loads(payload).get("choices"))
        except (ValueError, AttributeError, RecursionError):
            return True

    def speaks(self, payload: bytes) -> bool:
        return speaks(payload)

    def tells(self, payload: bytes) -> bool:
        return any(map(_tells, choices_of(parsed(payload))))

    def is_hollow(self, recording: Recording) -> bool:
        if recording.text or recording.acts:
            return False
        choices = [choice for payload in recording.payloads for choice in choices_of(parsed(payload))]
        return not any(_tells(choice) or finish_word(choice.get("finish_reason")) in CUT for choice in choices)

    def is_usage_only(self, payload: bytes) -> bool:
        return b'"usage"' in payload and is_usage_only(payload)

    def to_whole(self, payloads: Iterable[bytes]) -> bytes | None:
        return convert.to_whole(self.endpoint, payloads)

    def to_stream(self, body: bytes) -> tuple[bytes, ...] | None:
        return convert.to_stream(self.endpoint, body)

    def converts(self, payload: bytes) -> bool:
        return convert.converts(self.endpoint, payload)

    def joined_loosely(self, payloads: Iterable[bytes]) -> bytes | None:
        return joined_loosely(self.endpoint, payloads)

    def trace_event(self, last: bytes, events: int, trace: Body) -> Chunk:
        del events
        found = parsed(last)
        frame = {name: value for name, value in found.items() if name != "usage"} if isinstance(found, dict) else {}
        return Chunk(dump({**frame, "choices": [], "subsecond": trace}))


def _tells(choice: Mapping[str, Any]) -> bool:
    return bool(choice.get("text")) or any(value for name, value in part_of(dict(choice)).items() if name != "role")


class _Index:
    """What is found in the payloads so far."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._broken = False
        self.model = ""
        self.usage: Mapping[str, Any] | None = None
        self.choices: dict[int, _Choice] = {}

    def add(self, payload: bytes) -> None:
        value, finite = read_finite(payload)
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
