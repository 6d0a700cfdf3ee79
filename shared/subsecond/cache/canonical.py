"""JSON as it is hashed: equal values give equal bytes, and values that a model may tell apart give others.

The order of fields says nothing in a request and in a message. It does in a JSON schema: a model writes its object in
the order of the schema. Numbers are values: 1, 1.0 and 1e0 are one, `true` is none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

_sorted = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
_as_it_came = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode

# Objects and lists of the body in which no order of fields says anything, down to the ground.
_ORDERLESS = frozenset(
    {"messages", "prompt", "stop", "modalities", "tool_choice", "function_call", "logit_bias", "audio", "prediction"}
    | {"metadata", "web_search_options"}
)
# What holds schemas: around them the order says nothing, in the values of these names it does. In a field that is not
# named here order counts: some servers take a schema in a field of their own (`guided_json`).
_HOLDERS = frozenset({"tools", "functions", "response_format"})
_SCHEMAS = frozenset({"parameters", "schema", "input_schema"})


def canonical(value: Mapping[str, Any]) -> bytes:
    """One line. The order of fields says nothing in it."""
    return _written(value, _sorted)


def canonical_body(body: Mapping[str, Any], frame: Mapping[str, Any] | None = None) -> bytes:
    """A line of the fields without an order, with what counts beside the body; and a line of those with one."""
    rest: dict[str, Any] = {}
    ordered: dict[str, Any] = {}
    for name, value in body.items():
        if isinstance(value, float):  # here, as `temperature: 0.0` is common and writing all of it twice is dear
            rest[name] = _whole(value)
        elif isinstance(value, dict | list) and name not in _ORDERLESS:
            ordered[name] = _by_schema(value) if name in _HOLDERS else value
        else:
            rest[name] = value
    line = canonical({"frame": frame, "body": rest})
    return line + _written(dict(sorted(ordered.items())), _as_it_came) if ordered else line


def _written(value: Mapping[str, Any], encode: Callable[[Any], str]) -> bytes:
    text = encode(value)
    # A whole float is written as 1.0 or 1e+16; so are some words, for which writing twice does no harm.
    if ".0" in text or "e+" in text:
        text = encode(_whole(value))
    return text.encode("ascii") + b"\n"


def _whole(value: Any) -> Any:
    """With whole floats as integers: any two spellings of a number that a float can tell apart from its neighbours."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return {name: _whole(inner) for name, inner in value.items()}
    return [_whole(inner) for inner in value] if isinstance(value, list) else value


def _by_schema(value: Any) -> Any:
    """With sorted fields, down to the schemas."""
    if isinstance(value, dict):
        return {name: value[name] if name in _SCHEMAS else _by_schema(value[name]) for name in sorted(value)}
    return [_by_schema(inner) for inner in value] if isinstance(value, list) else value
