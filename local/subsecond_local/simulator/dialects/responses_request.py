"""How a request for a response is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from subsecond_local.simulator.dialects.dialect import Memory
from subsecond_local.simulator.names import refusal
from subsecond_local.simulator.question import CHOICES, Question, Tool, check_kinds, chosen, schema_of, text_of

_KINDS: Mapping[str, tuple[type, ...]] = {
    "input": (str, list),
    "instructions": (str,),
    "max_output_tokens": (int,),
    "temperature": (int, float),
    "top_p": (int, float),
    "tools": (list,),
    "parallel_tool_calls": (bool,),
    "store": (bool,),
    "background": (bool,),
    "previous_response_id": (str,),
    "reasoning": (dict,),
    "text": (dict,),
    "include": (list,),
    "metadata": (dict,),
}
_POSITIVE = ("max_output_tokens",)
_ROLES = ("user", "assistant", "system", "developer")
_PARTS = ("input_text", "input_image", "input_file", "input_audio", "output_text", "refusal", "summary_text")


def read(body: Mapping[str, Any], memory: Memory) -> Question:
    """UpstreamError 400 for what OpenAI refuses, 404 for an item that is not kept."""
    check_kinds(body, _KINDS, _POSITIVE)
    if body.get("conversation") is not None:
        raise refusal("The simulator keeps no conversations.", status=404, param="conversation", code="not_found")
    earlier = _earlier(body, memory)
    items = items_of(body)
    resolved = [_resolved(item, memory, at) for at, item in enumerate(items)]
    _check_results(earlier, resolved)
    tools = tuple(Tool(tool["name"], tool.get("parameters")) for tool in _functions(body))
    return Question(
        prompts=([*earlier, *resolved],),
        counted=[body.get("instructions"), earlier, resolved],
        before=tuple(earlier),
        turn=_turn(resolved),
        tools=tools,
        choice=chosen(_choice(body.get("tool_choice")), tools),
        parallel=body.get("parallel_tool_calls") is not False,
        schema=schema_of((body.get("text") or {}).get("format"), "text.format"),
        limit=body.get("max_output_tokens"),
        thinks=(body.get("reasoning") or {}).get("effort", "none") not in (None, "none"),
    )


def items_of(body: Mapping[str, Any]) -> list[Any]:
    """The request's own items: a text is a message of the user's."""
    given = body.get("input")
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": given}]}]
    return given or []


def _earlier(body: Mapping[str, Any], memory: Memory) -> list[Any]:
    identity = body.get("previous_response_id")
    if identity is None:
        if body.get("input") is None:
            raise refusal("Missing required parameter: 'input'.", param="input", code="missing_required_parameter")
        return []
    found = memory.conversation(identity)
    if found is None:
        words = f"Previous response with id '{identity}' not found."
        raise refusal(words, param="previous_response_id", code="previous_response_not_found")
    return found


def _resolved(item: Any, memory: Memory, at: int) -> dict[str, Any]:
    """The item, or the one that it refers to."""
    param = f"input[{at}]"
    if not isinstance(item, dict):
        raise refusal(f"'{param}' must be an object.", param=param, code="invalid_type")
    kind = item.get("type", "message" if "role" in item else "item_reference")
    if kind == "item_reference":
        found = memory.item(str(item.get("id")))
        if found is None:
            words = f"Item with id '{item.get('id')}' not found. Items are not kept when `store` is set to false."
            raise refusal(words, status=404, param="input")
        return found
    if kind == "message":
        _check_message(item, param)
    if kind in ("function_call", "function_call_output") and not isinstance(item.get("call_id"), str):
        words = f"Missing required parameter: '{param}.call_id'."
        raise refusal(words, param=f"{param}.call_id", code="missing_required_parameter")
    return item


def _check_message(item: Mapping[str, Any], param: str) -> None:
    if item.get("role") not in _ROLES:
        raise refusal(f"'{param}.role' must be one of {', '.join(_ROLES)}.", param=f"{param}.role")
    content = item.get("content")
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise refusal(f"'{param}.content' must be a string or a list.", param=f"{param}.content", code="invalid_type")
    for number, part in enumerate(content):
        if not isinstance(part, dict) or part.get("type") not in _PARTS:
            place = f"{param}.content[{number}]"
            raise refusal(f"'{place}.type' must be one of {', '.join(_PARTS)}.", param=place, code="invalid_value")


def _check_results(earlier: list[Any], items: list[dict[str, Any]]) -> None:
    """A result belongs to a call, and none is left without."""
    called = {item.get("call_id") for item in (*earlier, *items) if item.get("type") == "function_call"}
    answered = {item.get("call_id") for item in (*earlier, *items) if item.get("type") == "function_call_output"}
    for item in items:
        if item.get("type") == "function_call_output" and item["call_id"] not in called:
            words = f"No tool call found for function call output with call_id {item['call_id']}."
            raise refusal(words, param="input")
    if missing := sorted(str(identity) for identity in called - answered):
        raise refusal(f"No tool output found for function call {missing[0]}.", param="input")


def _turn(items: list[dict[str, Any]]) -> str:
    """All that the user has said since somebody else spoke."""
    said: list[str] = []
    for item in reversed(items):
        if item.get("role") != "user":
            break
        said.insert(0, text_of(item.get("content")))
    return "\n".join(said)


def _functions(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Other tools than functions are never called."""
    functions = [tool for tool in body.get("tools") or [] if isinstance(tool, dict) and tool.get("type") == "function"]
    if any(not isinstance(tool.get("name"), str) for tool in functions):
        raise refusal("Missing required parameter: 'tools[0].name'.", param="tools", code="missing_required_parameter")
    choice = body.get("tool_choice")
    if not isinstance(choice, dict) or choice.get("type") != "allowed_tools":
        return functions
    allowed = {tool.get("name") for tool in choice.get("tools") or [] if isinstance(tool, dict)}
    return [tool for tool in functions if tool["name"] in allowed]


def _choice(choice: Any) -> str:
    if isinstance(choice, dict):
        return str(choice.get("mode" if choice.get("type") == "allowed_tools" else "name"))
    return "auto" if choice is None else choice if choice in CHOICES else ""
