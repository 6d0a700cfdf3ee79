"""How a request for a message is read."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import Any

from subsecond_local.simulator.dialects.dialect import Memory
from subsecond_local.simulator.names import refusal
from subsecond_local.simulator.question import Question, Tool, check_kinds, chosen, stops_of, text_of
from subsecond_local.simulator.simulated_answer import encode
from subsecond_local.simulator.thoughts import sealed, signature

_KINDS: Mapping[str, tuple[type, ...]] = {
    "max_tokens": (int,),
    "messages": (list,),
    "system": (str, list),
    "temperature": (int, float),
    "top_p": (int, float),
    "tools": (list,),
    "tool_choice": (dict,),
    "thinking": (dict,),
    "metadata": (dict,),
    "output_config": (dict,),
}
_POSITIVE = ("max_tokens",)
_ROLES = ("user", "assistant", "system")
_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_LEAST_BUDGET = 1024


def read(body: Mapping[str, Any], memory: Memory) -> Question:
    """UpstreamError 400 for what Anthropic refuses."""
    if body.get("max_tokens") is None:
        raise refusal("max_tokens: Field required", param="max_tokens")
    return counted(body, memory)


def counted(body: Mapping[str, Any], memory: Memory) -> Question:
    """As `read`, of a request for a count, which has no limit."""
    check_kinds(body, _KINDS, _POSITIVE)
    system = body.get("system")
    if isinstance(system, list) and not all(isinstance(block, dict) for block in system):
        raise refusal("system: Input should be a text, or a list of text blocks", param="system")
    messages = _messages(body)
    choice = body.get("tool_choice") or {}
    tools = tuple(Tool(tool["name"], tool["input_schema"]) for tool in _functions(body))
    written, read_before = _cached(body, memory)
    last = messages[-1]
    results = any(block.get("type") == "tool_result" for block in _blocks(last))
    return Question(
        prompts=(messages,),
        counted=[body.get("system"), body.get("tools"), messages],
        turn=text_of(last["content"]) if last["role"] == "user" and not results else "",
        tools=tools,
        choice=chosen(_choice(choice), tools),
        parallel=not choice.get("disable_parallel_tool_use"),
        schema=_schema(body),
        limit=body.get("max_tokens"),
        stops=stops_of(body.get("stop_sequences"), "stop_sequences"),
        thinks=_thinks(body),
        written=written,
        read=read_before,
    )


def _messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    messages: list[Any] = body.get("messages") or []
    if not messages:
        raise refusal("messages: at least one message is required", param="messages")
    called: set[str] = set()
    for at, message in enumerate(messages):
        place = f"messages.{at}"
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise refusal(f"{place}.role: Input should be 'user' or 'assistant'", param="messages")
        if not isinstance(message.get("content"), str | list):
            raise refusal(f"{place}.content: Input should be a valid string or list", param="messages")
        answered = set()
        for number, block in enumerate(_blocks(message)):
            _check_block(block, f"{place}.content.{number}", called)
            answered |= {block.get("tool_use_id")} if block["type"] == "tool_result" else set()
        if missing := sorted(called - answered):
            words = f"`tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(missing)}."
            raise refusal(f"{place}: {words}", param="messages")
        called = {str(block.get("id")) for block in _blocks(message) if block["type"] == "tool_use"}
    return messages


def _blocks(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content: Any = message["content"]
    blocks: list[dict[str, Any]] = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return blocks


def _check_block(block: Any, place: str, called: set[str]) -> None:
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        raise refusal(f"{place}.type: Field required", param="messages")
    if block["type"] == "image":
        _check_image(block.get("source"), place)
    elif block["type"] == "thinking":
        thought = str(block.get("thinking"))
        # A thought that was not shown comes back without its words.
        if block.get("signature") not in ((signature(thought),) if thought else (sealed(""),)):
            raise refusal(f"{place}: Invalid `signature` in `thinking` block", param="messages")
    elif block["type"] == "tool_result" and block.get("tool_use_id") not in called:
        words = (
            f"unexpected `tool_use_id` found in `tool_result` blocks: {block.get('tool_use_id')}. Each one must have"
        )
        raise refusal(f"{place}: {words} a corresponding `tool_use` block in the previous message.", param="messages")


def _check_image(source: Any, place: str) -> None:
    kind = source.get("type") if isinstance(source, dict) else None
    if kind in ("url", "file"):
        return
    if kind != "base64" or source.get("media_type") not in _IMAGES:
        raise refusal(f"{place}.source: Input should be a URL, or base64 of {', '.join(_IMAGES)}", param="messages")
    try:
        b64decode(source.get("data", ""), validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise refusal(f"{place}.source.base64: invalid base64 data", param="messages") from error


def _functions(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Tools that Anthropic runs itself have a type of their own and no schema: they are never called."""
    for at, tool in enumerate(body.get("tools") or []):
        if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
            raise refusal(f"tools.{at}.name: Field required", param="tools")
        if tool.get("type", "custom") == "custom" and not isinstance(tool.get("input_schema"), dict):
            raise refusal(f"tools.{at}.input_schema: Field required", param="tools")
    return [tool for tool in body.get("tools") or [] if "input_schema" in tool]


def _choice(choice: Mapping[str, Any]) -> str:
    if choice.get("type") == "tool":
        return str(choice.get("name"))
    return _CHOICES.get(str(choice.get("type", "auto")), "")


def _schema(body: Mapping[str, Any]) -> Any:
    """`output_format` is what it was called in the beta."""
    told = (body.get("output_config") or {}).get("format") or body.get("output_format")
    if told is None:
        return None
    if not isinstance(told, dict) or told.get("type") != "json_schema" or not isinstance(told.get("schema"), dict):
        raise refusal("output_config.format: Input should be a json_schema with a schema", param="output_config")
    return told["schema"]


def _thinks(body: Mapping[str, Any]) -> bool:
    thinking = body.get("thinking") or {}
    if thinking.get("type") != "enabled":
        return thinking.get("type") == "adaptive"
    budget = thinking.get("budget_tokens")
    if not isinstance(budget, int) or budget < _LEAST_BUDGET:
        words = f"thinking.enabled.budget_tokens: Input should be greater than or equal to {_LEAST_BUDGET}"
        raise refusal(words, param="thinking")
    if body.get("max_tokens") is not None and body["max_tokens"] <= budget:
        raise refusal("`max_tokens` must be greater than `thinking.budget_tokens`.", param="thinking")
    return True


def _cached(body: Mapping[str, Any], memory: Memory) -> tuple[int, int]:
    """The tokens of the longest prefix that a `cache_control` marks: so many that were not there before, and were."""
    said: list[str] = []
    prefixes: list[str] = []
    for block in _in_order(body):
        said.append(encode({name: value for name, value in block.items() if name != "cache_control"}))
        if block.get("cache_control"):
            prefixes.append("\n".join(said))
    if not prefixes:
        return 0, 0
    known = memory.prefix([encode([body["model"], prefix]) for prefix in prefixes])
    read_before = len(prefixes[known]) // 4 if known >= 0 else 0
    return len(prefixes[-1]) // 4 - read_before, read_before


def _in_order(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All blocks of a prompt as the cache sees them: tools, system, messages."""
    yield from body.get("tools") or []
    system = body.get("system")
    yield from [{"text": system}] if isinstance(system, str) else system or []
    for message in body["messages"]:
        yield from ({"role": message["role"], **block} for block in _blocks(message))
