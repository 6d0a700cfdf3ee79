"""Which objects that an upstream keeps a request of Responses names or makes, and which ones an answer tells of.

An upstream looks an id up among all that share its key, so whatever it could look up must be the asker's own. In doubt
an item is a pointer: that costs its owner a look into a table, and keeps everybody else out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from subsecond.dialects.dialect import Body

# What names something that the upstream keeps: the request alone does not say what is asked.
_NAMES: Final = ("previous_response_id", "conversation", "prompt")
# What an item of each type says itself, any of it: with that a server needs no item of its own. A thought's summary is
# none of it: the thought is looked up. Its `content` is: OpenAI refuses any, and others keep no thoughts.
_OWN: Final[Mapping[str, tuple[str, ...]]] = {
    "apply_patch_call": ("operation",),
    "code_interpreter_call": ("code", "outputs"),
    "compaction": ("encrypted_content",),
    "computer_call": ("action", "actions"),
    "custom_tool_call": ("input",),
    "file_search_call": ("queries", "results"),
    "function_call": ("arguments",),
    "image_generation_call": ("result",),
    "local_shell_call": ("action",),
    "mcp_approval_request": ("arguments",),
    "mcp_approval_response": ("approval_request_id",),
    "mcp_call": ("arguments", "output"),
    "mcp_list_tools": ("tools", "error"),
    "reasoning": ("encrypted_content", "content"),
    "shell_call": ("action",),
    "web_search_call": ("action",),
}
# A tool, and an item, that has a server of somebody else's do something.
_ACTS: Final = ("mcp", "mcp_approval_response")
# Of a type that is not known here.
_ANY: Final = (*dict.fromkeys(name for names in _OWN.values() for name in names), "output")
# What a call without arguments, and a result without words, leave empty beside their `call_id`.
_EMPTY: Final = ("arguments", "input", "output")
# Fields without one of which a tool or an item names nothing. Most have none, and each hit looks at all of them.
_NAMING: Final = frozenset({"id", "container", "container_id", "environment"})


def state(body: Body) -> str:
    """What `Dialect.state` says of it."""
    if any(body.get(name) is not None for name in _NAMES) or named(body):
        return "names"
    cache = body.get("prompt_cache_options")
    if isinstance(cache, Mapping) and cache.get("prewarm"):
        # It fills the upstream's prefix cache and says nothing: who asks the question itself must not join it.
        return "acts"
    tools = _tools(body)
    if any(one.get("type") in _ACTS for one in (*tools, *dicts(body.get("input")))):
        return "acts"
    kept = body.get("store") is not False or body.get("background")
    return "makes" if kept or any(map(_makes_a_container, tools)) else ""


def named(body: Body) -> list[str]:
    """The ids that must be the asker's, each once; an empty one for what is no text, which nobody has."""
    items = [item for item in dicts(body.get("input")) if not _NAMING.isdisjoint(item)]
    tools = [tool for tool in _tools(body) if not _NAMING.isdisjoint(tool)]
    found = [body["previous_response_id"]] if body.get("previous_response_id") is not None else []
    found += [item.get("id") for item in items if _is_pointer(item)]
    found += [one for part in (*tools, *items) for one in _containers(part)]
    return list(dict.fromkeys(one if isinstance(one, str) else "" for one in found))


def made(value: object) -> list[str]:
    """The ids in a whole response, or in an event that tells of one or of an item. Some servers tell of an item only at
    its end, and a shell's container comes to be after its item."""
    told = value if isinstance(value, dict) else {}
    wholes = dicts([told if told.get("object") == "response" else told.get("response")])
    parts = [*wholes, *(item for whole in wholes for item in dicts(whole.get("output"))), *dicts([told.get("item")])]
    ids = (one for part in parts for one in (part.get("id"), *_containers(part)))
    return [one for one in dict.fromkeys(ids) if isinstance(one, str)]


def dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _is_pointer(item: Mapping[str, Any]) -> bool:
    """Whether a server could take it for the id of an item that it keeps."""
    kind = str(item.get("type") or "")
    if kind == "item_reference":
        return True
    if item.get("id") in (None, ""):
        return False
    if kind in ("", "message"):
        # A message may leave its type out, and so may an `item_reference`.
        return not (item.get("role") and item.get("content"))
    return not any(_says(item, name) for name in _OWN.get(kind, _ANY))


def _says(item: Mapping[str, Any], name: str) -> bool:
    value = item.get(name)
    return bool(value) or (value == "" and name in _EMPTY and bool(item.get("call_id")))


def _tools(body: Body) -> Sequence[dict[str, Any]]:
    """Also those in a group of tools, and those that an item brings."""
    tools = dicts(body.get("tools"))
    holders = (one for one in (*tools, *dicts(body.get("input"))) if "tools" in one)
    return [*tools, *(tool for holder in holders for tool in dicts(holder["tools"]))]


def _containers(part: Mapping[str, Any]) -> Iterator[object]:
    """The containers that a tool or an item names: a code interpreter's, or where a shell's commands run."""
    if isinstance(inside := part.get("container"), str):
        yield inside
    for place in (part, inside, part.get("environment")):
        if isinstance(place, Mapping) and place.get("container_id") is not None:
            yield place["container_id"]


def _makes_a_container(tool: Mapping[str, Any]) -> bool:
    """Its files can be asked for afterwards, whatever becomes of the response."""
    environment = tool.get("environment")
    kind = environment.get("type") if isinstance(environment, Mapping) else None
    return isinstance(tool.get("container"), Mapping) or kind == "container_auto"
