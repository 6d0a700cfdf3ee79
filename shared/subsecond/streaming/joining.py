"""The chunks of a stream joined to what a whole reply says, by the converter's table. Linear in the chunks' bytes."""

from __future__ import annotations

import json
from typing import Any, Final

from subsecond.model import Endpoint
from subsecond.streaming.convert_fields import (
    CALL,
    CHAT_CHOICE,
    FUNCTION,
    LOGPROBS,
    MESSAGE,
    TEXT_CHOICE,
    TOP,
    Declined,
    Rule,
    is_empty,
    list_,
    object_,
    place,
    rule,
    text,
)  # fmt: skip

OBJECTS: Final = {"chat": ("chat.completion", "chat.completion.chunk"), "text": ("text_completion",) * 2}


class Joined:
    """One answer as it grows. `add` and `whole` raise Declined. alone: a chunk is looked at by itself, so what only
    its forerunners could tell is taken for granted."""

    def __init__(self, endpoint: Endpoint, *, alone: bool = False) -> None:
        self._endpoint = endpoint
        self._alone = alone
        self._top: dict[str, Any] = {}
        self._usage: Any = None  # said somewhere else than at the top
        self._choices: dict[int, _JoinedChoice] = {}

    def add(self, chunk: object) -> None:
        for name, value in object_(chunk).items():
            how = rule(TOP, name, value)
            if how == "choices":
                for at, choice in enumerate(list_(value or [])):
                    self._add_choice(object_(choice), at)
            elif how == "request":
                self._request(object_(value or {}))
            elif how == "object":
                self._object(text(value or ""))
            elif how != "drop":
                _settle(self._top, name, value, how)

    def whole(self) -> dict[str, Any]:
        """The reply's JSON object."""
        if not self._choices:
            raise Declined("choices")
        top = dict(self._top)
        usage = top.pop("usage", None) or self._usage
        choices = [self._choices[index].whole(index, self._endpoint) for index in sorted(self._choices)]
        whole = {**top, "object": OBJECTS[self._endpoint][0], "choices": choices}
        return {**whole, "usage": usage} if usage else whole

    def _add_choice(self, choice: dict[str, Any], at: int) -> None:
        index = place(choice.get("index"), at)
        kept = self._choices.get(index)
        if kept is None:
            kept = self._choices[index] = _JoinedChoice(alone=self._alone)
        if usage := choice.get("usage"):
            self._usage = object_(usage)
        if self._endpoint == "chat":
            kept.add_chat(choice)
        else:
            kept.add_text(choice)

    def _request(self, said: dict[str, Any]) -> None:
        for name, value in said.items():
            if name in ("id", "seed"):
                self._top.setdefault("x_groq", {}).setdefault(name, value)
            elif name == "usage":
                self._usage = value or self._usage
            elif name != "queue_length" and not is_empty(value):
                raise Declined(f"x_groq.{name}")

    def _object(self, name: str) -> None:
        if name and not name.startswith(OBJECTS[self._endpoint][0]):
            raise Declined("object")


class _JoinedChoice:
    """One choice as it grows."""

    __slots__ = ("_alone", "_calls", "_fields", "_function", "_logprobs", "_message", "_texts")

    def __init__(self, *, alone: bool) -> None:
        self._alone = alone
        self._fields: dict[str, Any] = {}
        self._message: dict[str, Any] = {}
        self._texts: dict[str, list[str]] = {}
        self._calls = _Calls()
        self._function: _Function | None = None
        self._logprobs: dict[str, Any] = {}

    def add_text(self, choice: dict[str, Any]) -> None:
        for name, value in choice.items():
            how = rule(TEXT_CHOICE, name, value)
            if how == "text":
                self._say(name, value)
            else:
                self._settle(name, value, how, "text")

    def add_chat(self, choice: dict[str, Any]) -> None:
        for name, value in choice.items():
            self._settle(name, value, rule(CHAT_CHOICE, name, value), "chat")
        # The delta first, wherever it stands: a message beside it repeats what was said with it.
        delta = object_(choice.get("delta") or {})
        self._add_part(delta)
        if choice.get("text") and choice["text"] != delta.get("content"):
            raise Declined("text")
        if message := choice.get("message"):
            self._add_message(object_(message), beside=choice.get("delta") is not None)

    def whole(self, index: int, endpoint: Endpoint) -> dict[str, Any]:
        fields = {"index": index, **self._fields}
        fields.setdefault("finish_reason", None)
        fields["logprobs"] = self._logprobs or None
        texts = {name: "".join(pieces) for name, pieces in self._texts.items()}
        if endpoint == "text":
            return {"text": texts.get("text", ""), **fields}
        message = {"role": "assistant", "content": None, **self._message, **texts}
        if calls := self._calls.whole():
            message["tool_calls"] = calls
        if self._function:
            message["function_call"] = self._function.whole()
        return {**fields, "message": message}

    def _settle(self, name: str, value: Any, how: Rule, endpoint: Endpoint) -> None:
        if how in ("first", "last", "same") and name != "usage":
            _settle(self._fields, name, value, how)
        elif how == "lists" and value:
            join_lists(self._logprobs, object_(value), endpoint)

    def _add_part(self, part: dict[str, Any]) -> None:
        for name, value in part.items():
            how = rule(MESSAGE, name, value)
            if how == "text":
                self._say(name, value)
            elif how == "calls":
                self._calls.add(list_(value or []))
            elif how == "call" and value:
                self._function = self._function or _Function()
                self._function.add(object_(value))
            elif how in ("items", "once") and value:
                self._append(name, list_(value), once=how == "once")
            elif how == "first":
                _settle(self._message, name, value, how)

    def _append(self, name: str, items: list[Any], *, once: bool) -> None:
        have = self._message.setdefault(name, [])
        if once and (have or self._alone):
            raise Declined(name)  # a piece by itself does not say whether another one comes
        if have and have[0] == items[0]:
            raise Declined(name)  # all of them again, or one twice: nobody can say
        have += items

    def _add_message(self, message: dict[str, Any], *, beside: bool) -> None:
        """Beside a delta, or behind deltas, it repeats their text. Alone it is the answer: a server that does not
        stream sends its whole reply as the one event."""
        if not beside and (self._alone or not (self._texts or self._calls.any or self._function)):
            calls = list_(message.get("tool_calls") or [])
            numbered = [{**object_(call), "index": at} for at, call in enumerate(calls)]
            return self._add_part({**message, "tool_calls": numbered})
        for name, value in message.items():
            how = rule(MESSAGE, name, value)
            if name == "content":
                self._check_repeated(text(value or ""))
            elif not is_empty(value) and how not in ("first", "drop"):
                raise Declined(f"message.{name}")
        return None

    def _check_repeated(self, content: str) -> None:
        if self._alone or not content:
            return
        said = self._texts.get("content", [])
        # Joined for each chunk, but only where the chunk itself is as long.
        if sum(map(len, said)) != len(content) or "".join(said) != content:
            raise Declined("message.content")
        self._texts["content"] = [content]

    def _say(self, name: str, value: Any) -> None:
        if isinstance(value, str) or not is_empty(value):
            self._texts.setdefault(name, []).append(text(value))


class _Calls:
    """Tool calls. A piece belongs to the call of its index, unless its id is another one: then it begins a call, which
    is only certain where the one before is whole (Gemini sends each of several calls whole, all of them at index 0)."""

    __slots__ = ("_order", "any")

    def __init__(self) -> None:
        self._order: dict[int, list[_Call]] = {}
        self.any = False

    def add(self, pieces: list[Any]) -> None:
        for piece in map(object_, pieces):
            self.any = True
            identity = text(piece.get("id") or "")
            if piece.get("index") is None and not identity:
                raise Declined("tool_calls.index")
            at = self._order.setdefault(place(piece.get("index"), 0), [])
            if not at or (identity and at[-1].id and identity != at[-1].id):
                self._begin(at, piece)
            elif not identity and len(at) > 1:
                raise Declined("tool_calls.index")
            at[-1].add(piece)

    def _begin(self, at: list[_Call], piece: dict[str, Any]) -> None:
        named = object_(piece.get("function") or {}).get("name")
        if at and not (named and at[-1].is_whole()):
            raise Declined("tool_calls.id")
        at.append(_Call())

    def whole(self) -> list[dict[str, Any]]:
        return [call.whole() for index in sorted(self._order) for call in self._order[index]]


class _Call:
    __slots__ = ("_fields", "_function")

    def __init__(self) -> None:
        self._fields: dict[str, Any] = {}
        self._function = _Function()

    @property
    def id(self) -> str:
        return str(self._fields.get("id") or "")

    def add(self, piece: dict[str, Any]) -> None:
        for name, value in piece.items():
            how = rule(CALL, name, value)
            if how == "call":
                self._function.add(object_(value or {}))
            elif how == "same":
                _settle(self._fields, name, value, how)

    def is_whole(self) -> bool:
        try:
            json.loads(self._function.arguments())
        except (ValueError, RecursionError):
            return False
        return True

    def whole(self) -> dict[str, Any]:
        if not self.id:
            raise Declined("tool_calls.id")  # a client answers a call by its id
        return {**self._fields, "function": self._function.whole()}


class _Function:
    __slots__ = ("_arguments", "_fields")

    def __init__(self) -> None:
        self._fields: dict[str, Any] = {}
        self._arguments: list[str] = []

    def add(self, piece: dict[str, Any]) -> None:
        for name, value in piece.items():
            if rule(FUNCTION, name, value) == "same":
                _settle(self._fields, name, value, "same")
            elif name == "arguments" and not isinstance(value, str | None):
                raise Declined("arguments")  # an object: some servers send it whole, and nothing says so
            elif name == "arguments":
                self._arguments.append(value or "")

    def arguments(self) -> str:
        return "".join(self._arguments)

    def whole(self) -> dict[str, Any]:
        return {**self._fields, "arguments": self.arguments()}


def join_lists(have: dict[str, Any], more: dict[str, Any], endpoint: Endpoint) -> None:
    """Log probabilities, list by list."""
    for name, value in more.items():
        if name in LOGPROBS[endpoint]:
            grown = have.setdefault(name, None)
            if isinstance(value, list):
                have[name] = value if grown is None else grown
                if grown is not None:
                    grown += value
            elif value is not None:
                raise Declined(f"logprobs.{name}")
        elif not is_empty(value):
            raise Declined(f"logprobs.{name}")


def _settle(have: dict[str, Any], name: str, value: Any, how: Rule) -> None:
    old = have.get(name)
    if value is None or (is_empty(value) and name in have):
        return
    if how == "same" and old and value and value != old:
        raise Declined(name)
    if how == "last" or not old:
        have[name] = value
