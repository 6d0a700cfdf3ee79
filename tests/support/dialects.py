"""The simulator's answers in one dialect or another, as a client would see them, without a server."""

from __future__ import annotations

import json
from typing import Any

from subsecond_local.simulator.dialects import DIALECTS
from subsecond_local.simulator.engine import Simulation
from subsecond_local.simulator.paced import whole_body

FAST = "sim-t0-i0-n8"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "weather", "parameters": PARAMETERS}
TOOLS = {
    "chat": [{"type": "function", "function": FUNCTION}, {"type": "function", "function": {"name": "time"}}],
    "responses": [{"type": "function", **FUNCTION}, {"type": "function", "name": "time"}],
    "messages": [{"name": "weather", "input_schema": PARAMETERS}, {"name": "time", "input_schema": {}}],
}


def asked(dialect: str, prompt: Any = "hello", **more: Any) -> dict[str, Any]:
    """A request with this text."""
    body = {"model": FAST, "messages": [{"role": "user", "content": prompt}]}
    if dialect == "responses":
        body = {"model": FAST, "input": prompt}
    return body | ({"max_tokens": 100} if dialect == "messages" else {}) | more


def whole(dialect: str, body: dict[str, Any], simulation: Simulation | None = None) -> dict[str, Any]:
    return json.loads(whole_body((simulation or Simulation()).answer(dialect, body)))


def events(dialect: str, body: dict[str, Any], simulation: Simulation | None = None) -> list[dict[str, Any]]:
    """The values of the stream's events; those that have names have them as their types too."""
    answer = (simulation or Simulation()).answer(dialect, body)
    payloads = [one for step in DIALECTS[dialect].steps(answer, usage=True) for one in step]
    found = [json.loads(payload.data) for payload in payloads]
    assert [payload.name.decode() for payload in payloads] == [one.get("type", "") for one in found]
    return found


def calls(dialect: str, found: dict[str, Any]) -> list[tuple[str, Any]]:
    """The names and arguments of a whole answer's calls."""
    if dialect == "chat":
        told = [one["function"] for one in found["choices"][0]["message"].get("tool_calls", ())]
        return [(one["name"], json.loads(one["arguments"])) for one in told]
    if dialect == "responses":
        told = [item for item in found["output"] if item["type"] == "function_call"]
        return [(one["name"], json.loads(one["arguments"])) for one in told]
    return [(block["name"], block["input"]) for block in found["content"] if block["type"] == "tool_use"]


def words(dialect: str, found: dict[str, Any]) -> str:
    """The words of a whole answer."""
    if dialect == "chat":
        return found["choices"][0]["message"]["content"] or ""
    if dialect == "responses":
        items = [item for item in found["output"] if item["type"] == "message"]
        return "".join(part["text"] for item in items for part in item["content"])
    return "".join(block["text"] for block in found["content"] if block["type"] == "text")
