"""Reads logs of requests: JSON Lines, a JSON list or CSV; bodies of OpenAI's API, exports of LiteLLM and Langfuse, or
questions alone. Which it is, each row says by its fields; a row that holds no request is counted and left out.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from subsecond.model import Call, Endpoint
from subsecond_local.errors import LocalError

# The same things under the names that logs have for them: our own, LiteLLM's, Langfuse's.
TIMES = ("time", "timestamp", "ts", "startTime", "start_time", "created_at", "createdAt", "created")
BODIES = ("body", "request", "request_body", "proxy_server_request", "input")
QUESTIONS = ("question", "query", "prompt", "text", "input")
ANSWERS = ("response", "output", "completion", "answer")
USAGES = ("usage", "usageDetails", "usage_details")
TOKENS_IN = ("prompt_tokens", "input_tokens", "promptTokens", "input", "tokens_in")
TOKENS_OUT = ("completion_tokens", "output_tokens", "completionTokens", "output", "tokens_out")
COSTS = ("spend", "totalCost", "calculatedTotalCost", "total_cost", "cost")
PARAMETERS = ("modelParameters", "model_parameters", "optional_params")
# What of a flat row belongs to the request.
FIELDS = (
    *("temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "n", "seed", "tools", "tool_choice"),
    *("response_format", "reasoning_effort", "user", "metadata", "service_tier", "frequency_penalty", "logit_bias"),
)
# How an answer travels, or what speaks to us: no part of a call.
TRAVELS = ("stream", "stream_options", "use_cache", "max_latency_ms", "subsecond")
MILLISECONDS = 1e11


@dataclass(frozen=True, slots=True)
class Logged:
    """A request of the log. at: epoch seconds, None where the log has no times. tokens: in and out, 0 where it does not
    say. cost: in the log's currency. answer: the text of the logged answer."""

    call: Call
    at: float | None
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Log:
    """In the order of their times. unread: rows that hold no request."""

    requests: list[Logged]
    unread: int


def read(path: Path, limit: int | None = None) -> Log:
    """LocalError when the file cannot be read, or holds no request."""
    try:
        rows = list(_rows(path))
    except OSError as error:
        raise LocalError(f"{path} cannot be read: {error.strerror}.") from error
    found = [one for row in rows if (one := logged(row))]
    if not found:
        raise LocalError(
            f"{path} holds no requests: rows need `messages`, a `body` with them, or a question "
            f"({', '.join(QUESTIONS)}). docs/replay.md has an example of each form."
        )
    found.sort(key=lambda one: one.at or 0.0)
    return Log(found[:limit], len(rows) - len(found))


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    if path.suffix.lower() in (".csv", ".tsv"):
        csv.field_size_limit(sys.maxsize)
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            yield from csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        return
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    # At no other marks: JSON's texts may hold some (U+2028), and such a row would be counted as unread.
    whole = _parsed(text) if text.lstrip()[:1] == "[" else None
    yield from _objects(whole if isinstance(whole, list) else map(_parsed, text.split("\n")))


def _objects(values: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    """Every value as a row; what is no object is an empty one, so that it is counted as unread."""
    for value in values:
        if value is not None:
            yield value if isinstance(value, dict) else {}


def _parsed(text: Any) -> Any:
    """The JSON value of a text, the text itself where it is none; None where it is blank."""
    if not isinstance(text, str):
        return text
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def logged(row: Mapping[str, Any]) -> Logged | None:
    """The request of one row; None where it holds none."""
    body = _body(row)
    if body is None:
        return None
    endpoint: Endpoint = "chat" if "messages" in body else "text"
    call = Call(endpoint, str(body.get("model") or "any"), body)
    usage = _first(row, USAGES, dict) or _within(row, ANSWERS, "usage")
    return Logged(
        call,
        _time(row),
        int(_number(usage, TOKENS_IN) or _number(row, TOKENS_IN)),
        int(_number(usage, TOKENS_OUT) or _number(row, TOKENS_OUT)),
        _number(row, COSTS),
        _answer(row),
    )


def _body(row: Mapping[str, Any]) -> dict[str, Any] | None:
    for name in ("", *BODIES):
        held = _parsed(row.get(name)) if name else row
        held = held.get("body", held) if isinstance(held, dict) and name == "proxy_server_request" else held
        if isinstance(held, list) and _are_messages(held):
            return {**_flat(row), "messages": held}
        if isinstance(held, dict) and _are_messages(messages := _parsed(held.get("messages"))):
            own = {key: value for key, value in held.items() if key not in TRAVELS} if name else _flat(row)
            return {"model": row.get("model") or "any", **own, "messages": messages}
    question = _first(row, QUESTIONS, str)
    return {**_flat(row), "messages": [{"role": "user", "content": question}]} if question else None


def _are_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) and "role" in one for one in value)


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    parameters = _first(row, PARAMETERS, dict) or {}
    found = {name: _parsed(row[name]) for name in FIELDS if row.get(name) not in (None, "")}
    named = {name: value for name, value in parameters.items() if name in FIELDS and value is not None}
    return {"model": row.get("model") or "any", **named, **found}


def _first(row: Mapping[str, Any], names: Iterable[str], kind: type) -> Any:
    values = (_parsed(row.get(name)) if kind is dict else row.get(name) for name in names)
    return next((value for value in values if isinstance(value, kind) and value), None)


def _within(row: Mapping[str, Any], names: Iterable[str], field: str) -> Mapping[str, Any]:
    held = _first(row, names, dict) or {}
    found = held.get(field)
    return found if isinstance(found, dict) else {}


def _number(row: Mapping[str, Any], names: Iterable[str]) -> float:
    for name in names:
        try:
            value = float(row.get(name) or 0)
        except (TypeError, ValueError):
            continue
        if 0 < value < float("inf"):
            return value
    return 0.0


def _time(row: Mapping[str, Any]) -> float | None:
    for name in TIMES:
        value = row.get(name)
        try:
            found = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            if isinstance(value, str) and (parsed := _iso(value)) is not None:
                return parsed
            continue
        return found / 1000 if found > MILLISECONDS else found
    return None


def _iso(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except ValueError:
        return None


def _answer(row: Mapping[str, Any]) -> str:
    for name in ANSWERS:
        held = _parsed(row.get(name))
        if isinstance(held, dict):
            choices = held.get("choices")
            message = choices[0].get("message") if isinstance(choices, list) and choices else held
            content = message.get("content") if isinstance(message, dict) else None
            if isinstance(content, str):
                return content
        elif isinstance(held, str) and held:
            return held
    return ""
