"""What a request asks for, in no dialect's words: each dialect reads its requests into one of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from subsecond_local.simulator.names import refusal

# `tool_choice` in the words of chat completions, where it names no function.
CHOICES = ("none", "auto", "required")


@dataclass(frozen=True, slots=True)
class Tool:
    """A function. schema: of its arguments."""

    name: str
    schema: Any


@dataclass(frozen=True, slots=True)
class Question:
    """prompts: each is answered by itself; a conversation is one. turn: what the user said last, empty where somebody
    else spoke last, a tool for one. choice: one of CHOICES, or the name of the function to call. parallel: whether
    several calls may come at once. schema: of the JSON that the answer has to be, None where it is words. limit: most
    tokens of words. written, read: tokens of the prompt that a prefix cache takes up, and has already."""

    prompts: tuple[Any, ...]
    turn: str = ""
    tools: tuple[Tool, ...] = ()
    choice: str = "auto"
    parallel: bool = True
    schema: Any = None
    limit: int | None = None
    stops: tuple[str, ...] = ()
    count: int = 1
    thinks: bool = False
    # What the tokens of the prompt are counted of.
    counted: Any = None
    written: int = 0
    read: int = 0
    # What was said before this request, where the server has kept it.
    before: tuple[Any, ...] = ()


def check_kinds(body: Mapping[str, Any], kinds: Mapping[str, tuple[type, ...]], positive: tuple[str, ...]) -> None:
    """UpstreamError 400 for a field of another type, and for one of `positive` that is below 1."""
    for name, allowed in kinds.items():
        value = body.get(name)
        if value is not None and (not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed)):
            raise refusal(f"'{name}' has the wrong type: {type(value).__name__}.", param=name, code="invalid_type")
    for name in positive:
        if body.get(name) is not None and body[name] < 1:
            raise refusal(f"'{name}' must be at least 1.", param=name, code="integer_below_min_value")


def text_of(content: Any) -> str:
    """The texts of a message's content, in any dialect."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


def chosen(choice: str, tools: tuple[Tool, ...]) -> str:
    """The choice, where it is one that these tools allow; UpstreamError 400 where it is not."""
    names = {tool.name for tool in tools}
    if choice in ("none", "auto") or choice in names or (choice == "required" and names):
        return choice
    raise refusal("'tool_choice' names no function of 'tools'.", param="tool_choice")


def stops_of(value: Any, param: str) -> tuple[str, ...]:
    """The texts that end an answer; UpstreamError 400 where they are none."""
    stops = [value] if isinstance(value, str) else value or []
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops):
        raise refusal(f"'{param}' must be a text or a list of texts.", param=param, code="invalid_type")
    return tuple(stops)


def schema_of(value: Any, param: str) -> Any:
    """The schema that a format of chat completions or Responses asks for; None where it asks for words."""
    if value is None:
        return None
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    told = value.get("json_schema", value) if kind == "json_schema" else None
    if not isinstance(told, dict) or not isinstance(told.get("schema"), dict) or not isinstance(told.get("name"), str):
        raise refusal(f"'{param}' must be text, json_object, or json_schema with a name and a schema.", param=param)
    return told["schema"]
