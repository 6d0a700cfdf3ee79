"""JSON Lines files of pairs, conversations and questions. A malformed row is a LocalError with its line number."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from subsecond_local.errors import LocalError

R = TypeVar("R")

# Fields that may name what kind of difference a row is about.
KINDS = ("kind", "category")


class _Unfit(ValueError):
    """What is wrong with a row."""


@dataclass(frozen=True, slots=True)
class Pair:
    """`a` is stored, `b` is asked. label: whether a's answer may be given to b. kind: "" where the row names none."""

    a: str
    b: str
    label: bool
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Conversation:
    """As a pair; the messages are OpenAI's."""

    a: Sequence[dict[str, Any]]
    b: Sequence[dict[str, Any]]
    label: bool
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """Questions of one intent share their answer."""

    text: str
    intent: str


def pairs(path: Path, limit: int | None = None) -> list[Pair]:
    """Rows `query_a`, `query_b`, `label`; a `kind` or `category` is kept."""
    return _read(path, limit, lambda row: Pair(_text(row, "query_a"), _text(row, "query_b"), _label(row), _kind(row)))


def conversations(path: Path, limit: int | None = None) -> list[Conversation]:
    """Rows `messages_a`, `messages_b`, `label`; a `kind` or `category` is kept."""
    return _read(
        path,
        limit,
        lambda row: Conversation(_messages(row, "messages_a"), _messages(row, "messages_b"), _label(row), _kind(row)),
    )


def questions(path: Path, limit: int | None = None) -> list[Question]:
    """Rows `query`, `intent`, in their order; or pairs, whose questions are of one intent where label 1 joins them, in
    any number of steps. What no pair says counts as another intent, so such a stream overstates what is wrong."""
    found = _read(path, limit, _question_or_pair)
    pairs = [one for one in found if isinstance(one, Pair)]
    if not pairs:
        return [one for one in found if isinstance(one, Question)]
    intents = _joined(pairs)
    return [Question(text, intents[text]) for text in dict.fromkeys(text for one in pairs for text in (one.a, one.b))]


def _question_or_pair(row: dict[str, Any]) -> Question | Pair:
    if "query_a" in row:
        return Pair(_text(row, "query_a"), _text(row, "query_b"), _label(row))
    return Question(_text(row, "query"), _text(row, "intent"))


def _joined(pairs: Sequence[Pair]) -> dict[str, str]:
    """For each text the first one that label 1 joins it with, over any number of steps."""
    first: dict[str, str] = {}

    def found(text: str) -> str:
        while (other := first.setdefault(text, text)) != text:
            text = other
        return text

    for one in pairs:
        a, b = found(one.a), found(one.b)
        if one.label:
            first[b] = a
    return {text: found(text) for text in first}


def _read(path: Path, limit: int | None, make: Callable[[dict[str, Any]], R]) -> list[R]:
    """At most `limit` rows; empty lines are passed over. LocalError."""
    try:
        with path.open("rb") as file:
            found = list(islice(_rows(path, file, make), limit))
    except OSError as error:
        raise LocalError(f"{path} cannot be read: {error.strerror}.") from error
    if not found:
        raise LocalError(f"{path} holds no rows.")
    return found


def _rows(path: Path, lines: Iterator[bytes], make: Callable[[dict[str, Any]], R]) -> Iterator[R]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_constant=_refuse)
            if not isinstance(row, dict):
                raise _Unfit("a JSON object is wanted")  # noqa: TRY301 -- one handler adds the line number
            yield make(row)
        except _Unfit as error:
            raise LocalError(f"{path}, line {number}: {error}.") from None
        except (ValueError, RecursionError) as error:
            raise LocalError(f"{path}, line {number}: not JSON in UTF-8 ({error}).") from None


def _refuse(constant: str) -> NoReturn:
    """Reject NaN and Infinity: Python's reader takes them, JSON has neither."""
    raise ValueError(f"{constant} is no JSON value")


def _field(row: dict[str, Any], name: str) -> Any:
    if name not in row:
        raise _Unfit(f"there is no `{name}` (fields: {', '.join(sorted(row)) or 'none'})")
    return row[name]


def _text(row: dict[str, Any], name: str) -> str:
    value = _field(row, name)
    if not isinstance(value, str):
        raise _Unfit(f"`{name}` must be a text")
    return value


def _label(row: dict[str, Any]) -> bool:
    value = _field(row, "label")
    if value not in (0, 1):
        raise _Unfit("`label` must be 1 (the answer may be reused) or 0 (it must not)")
    return bool(value)


def _kind(row: dict[str, Any]) -> str:
    return next((str(row[name]) for name in KINDS if row.get(name)), "")


def _messages(row: dict[str, Any], name: str) -> Sequence[dict[str, Any]]:
    value = _field(row, name)
    fits = isinstance(value, list) and value and all(isinstance(one, dict) and "role" in one for one in value)
    if not fits:
        raise _Unfit(f"`{name}` must be a list of messages, each with a `role` and a `content`")
    messages: Sequence[dict[str, Any]] = value
    return messages
