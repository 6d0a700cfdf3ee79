"""OpenAI's tools, tool choice and response format to Converse's. Where a model has no schemas of its own, the format is
a tool that it must use, whose input is the answer (`schema_tool`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from subsecond.errors import InvalidRequest
from subsecond.upstreams.converse.content import cache_points, unsupported
from subsecond.upstreams.converse.families import Family

_CHOICES: Final[Mapping[str, dict[str, Any]]] = {"auto": {"auto": {}}, "required": {"any": {}}}
_ANYTHING: Final = {"type": "object", "properties": {}}
_DESCRIPTION: Final = "Give your answer with this tool: its input is the whole answer."


def tool_fields(body: Mapping[str, Any], family: Family, *, used: bool) -> tuple[dict[str, Any], str | None]:
    """The request's fields for tools and format, and the tool in which the answer comes. used: whether the messages
    have calls or results in them."""
    fields, schema = _format(body, family)
    tools = _tools(body, family)
    choice = _choice(body.get("tool_choice"), tools, used=used)
    if choice is None:
        tools = []
    if schema:
        tools.append(_schema_tool(schema, tools))
        choice = {"any": {}} if len(tools) > 1 else {"tool": {"name": schema["name"]}}
    if used and not tools:
        raise unsupported("tools", "Bedrock wants the tools whose calls are in the messages.")
    if tools:
        fields["toolConfig"] = {"tools": tools, "toolChoice": choice}
    return fields, schema["name"] if schema else None


def _format(body: Mapping[str, Any], family: Family) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The fields of a model that has schemas, or the schema that must go as a tool."""
    form = body.get("response_format") or {}
    kind = form.get("type", "text")
    if kind == "text":
        return {}, None
    if kind != "json_schema":
        raise unsupported("response_format.type", "it has no JSON mode: say the schema (json_schema).")
    given = form.get("json_schema")
    if not isinstance(given, Mapping) or not isinstance(given.get("schema"), Mapping):
        raise InvalidRequest("'response_format.json_schema.schema' is missing.", param="response_format")
    about = {name: str(given[name]) for name in ("name", "description") if given.get(name)}
    if not family.has_schemas:
        return {}, {"name": "answer", **about, "schema": given["schema"]}
    # Converse takes the schema as a text.
    schema = {"schema": json.dumps(given["schema"], separators=(",", ":")), **about}
    return {"outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}}, None


def _tools(body: Mapping[str, Any], family: Family) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for at, tool in enumerate(body.get("tools") or ()):
        place = f"tools[{at}]"
        if isinstance(tool, Mapping) and "cachePoint" in tool:
            found += cache_points(tool["cachePoint"]) if family.caches else []
            continue
        function = tool.get("function") if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping) or tool.get("type", "function") != "function":
            raise unsupported(f"{place}.type", "a tool is a function.")
        _check(function, f"{place}.function")
        found.append({"toolSpec": _spec(function, family)})
        found += cache_points(tool.get("cache_control")) if family.caches else []
    return found


def _check(function: Mapping[str, Any], place: str) -> None:
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidRequest(f"'{place}.name' is missing.", param=f"{place}.name")
    for field, kind in (("description", str), ("parameters", Mapping)):
        if function.get(field) and not isinstance(function[field], kind):
            raise InvalidRequest(f"'{place}.{field}' has the wrong type.", param=f"{place}.{field}")


def _spec(function: Mapping[str, Any], family: Family) -> dict[str, Any]:
    spec: dict[str, Any] = {"name": function["name"]}
    if description := function.get("description"):
        spec["description"] = description
    spec["inputSchema"] = {"json": function.get("parameters") or _ANYTHING}
    if function.get("strict") and family.has_schemas:
        spec["strict"] = True
    return spec


def _choice(choice: object, tools: list[dict[str, Any]], *, used: bool) -> dict[str, Any] | None:
    """None: no tool may be used. Bedrock has no word for it: the tools are left out, where no message needs them."""
    if choice is None:
        return {"auto": {}} if tools else None
    if isinstance(choice, Mapping):
        function = choice.get("function")
        if choice.get("type") == "function" and isinstance(function, Mapping) and function.get("name"):
            return {"tool": {"name": function["name"]}}
        raise unsupported("tool_choice", "it names one function, or is auto, required or none.")
    if choice == "none":
        if used:
            raise unsupported("tool_choice", "with calls in the messages a model cannot be kept from tools.")
        return None
    if choice not in _CHOICES:
        raise unsupported("tool_choice", "it names one function, or is auto, required or none.")
    return _CHOICES[str(choice)]


def _schema_tool(schema: Mapping[str, Any], tools: list[dict[str, Any]]) -> dict[str, Any]:
    if any(tool.get("toolSpec", {}).get("name") == schema["name"] for tool in tools):
        raise unsupported("response_format.json_schema.name", "a tool has the same name.")
    description = schema.get("description") or _DESCRIPTION
    return {"toolSpec": {"name": schema["name"], "description": description, "inputSchema": {"json": schema["schema"]}}}
