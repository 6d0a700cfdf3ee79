"""A value that a JSON schema allows: arguments of a call, and answers that have to be JSON.

Made: `type`, `enum`, `const`, `properties`, `items`, `prefixItems`, `anyOf`, `oneOf`, `allOf`, `$ref` within the
schema, `format`, and the bounds of lengths, numbers and lists. Not made: `pattern`, `not`, `if`; there the value may be
one that the schema does not allow, which `fits` says.
"""

from __future__ import annotations

import hashlib
import importlib
import itertools
import math
from collections.abc import Mapping
from typing import Any

# Where a schema refers to itself, lists end and alternatives are simple ones from here on.
_DEEP = 6
# Nobody's schema nests so far, unless it cannot end.
_DEEPEST = 40
_FORMATS = {
    "date-time": "2026-03-01T12:00:00Z",
    "date": "2026-03-01",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "ann@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "0f8fad5b-d9cb-469f-a165-70867728950e",
}
_LONGEST = 10_000


def made(schema: Any, seed: bytes, words: tuple[str, ...]) -> Any:
    """A value; the same for the same seed. ValueError where a schema refers to nothing or never ends."""
    return _Maker(schema, seed, words).value(schema, 0)


def fits(value: Any, schema: Any) -> bool:
    """Whether the schema allows it; yes where the checker is not installed. ValueError when it is no schema."""
    try:
        # Only who asks for JSON waits for it; it has no types.
        validators: Any = importlib.import_module("jsonschema")
    except ImportError:
        return True
    try:
        validators.Draft202012Validator.check_schema(schema)
    except validators.SchemaError as error:
        raise ValueError(error.message) from error
    return bool(validators.Draft202012Validator(schema).is_valid(value))


class _Maker:
    def __init__(self, root: Any, seed: bytes, words: tuple[str, ...]) -> None:
        self._root = root
        self._words = words
        self._noise = itertools.cycle(hashlib.shake_256(seed).digest(64))

    def value(self, schema: Any, depth: int) -> Any:
        given = self._merged(schema, depth)
        if "const" in given:
            return given["const"]
        if given.get("enum"):
            return given["enum"][0]
        for name in ("anyOf", "oneOf"):
            if given.get(name):
                rest = {key: value for key, value in given.items() if key != name}
                return self.value({"allOf": [rest, self._simplest(given[name], depth)]}, depth + 1)
        return self._typed(given, depth)

    def _merged(self, schema: Any, depth: int) -> dict[str, Any]:
        """The schema with what it refers to, and with all of `allOf`."""
        given = dict(schema) if isinstance(schema, Mapping) else {}
        several = [*given.pop("allOf", ())]
        if "$ref" in given:
            several.append(self._referred(given.pop("$ref")))
        if several and depth > _DEEPEST:
            raise ValueError("it never ends")
        for one in several:
            for name, value in self._merged(one, depth + 1).items():
                both = isinstance(value, dict) and isinstance(given.get(name), dict)
                given[name] = {**given[name], **value} if both else value
        return given

    def _referred(self, reference: Any) -> Any:
        found = self._root
        for part in str(reference).removeprefix("#").split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or name not in found:
                raise ValueError(f"{reference} refers to nothing in it")
            found = found[name]
        return found

    def _simplest(self, options: list[Any], depth: int) -> Any:
        if depth < _DEEP:
            return options[0]
        plain = ("null", "string", "integer", "number", "boolean")
        return next((one for one in options if isinstance(one, Mapping) and one.get("type") in plain), options[-1])

    def _typed(self, given: Mapping[str, Any], depth: int) -> Any:
        kind = given.get("type")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        if kind == "object" or (kind is None and "properties" in given):
            return self._object(given, depth)
        if kind == "array":
            return self._list(given, depth)
        if kind in ("integer", "number"):
            return _number(given, next(self._noise), whole=kind == "integer")
        return self._text(given) if kind in ("string", None) else {"boolean": True}.get(kind)

    def _object(self, given: Mapping[str, Any], depth: int) -> dict[str, Any]:
        required = given.get("required", ())
        properties = dict.fromkeys(required, True) | dict(given.get("properties") or {})
        needed = required if depth > _DEEP else properties
        return {name: self.value(schema, depth + 1) for name, schema in properties.items() if name in needed}

    def _list(self, given: Mapping[str, Any], depth: int) -> list[Any]:
        first = list(given.get("prefixItems", ()))
        least = given.get("minItems", 0)
        size = least if depth > _DEEP else max(least, len(first), min(2, given.get("maxItems", 2)))
        if "items" not in given or given["items"] is False:
            size = max(least, len(first))
        return [self.value(one, depth + 1) for one in [*first, *[given.get("items", {})] * (size - len(first))]]

    def _text(self, given: Mapping[str, Any]) -> str:
        text = _FORMATS.get(given.get("format", ""), "")
        if not text:
            text = self._words[next(self._noise) % len(self._words)]
            text += "x" * min(given.get("minLength", 0) - len(text), _LONGEST)
        return text[: given.get("maxLength")]


def _number(given: Mapping[str, Any], noise: int, *, whole: bool) -> float:
    """Within its bounds, and a multiple where it has to be one."""
    step = given.get("multipleOf", 1 if whole else 0.5)
    low = given.get("minimum", -math.inf)
    high = given.get("maximum", math.inf)
    if "exclusiveMinimum" in given:
        low = max(low, given["exclusiveMinimum"] + step / 2)
    if "exclusiveMaximum" in given:
        high = min(high, given["exclusiveMaximum"] - step / 2)
    found = min(max(noise * step, low), high)
    turned = (math.ceil if found == low else math.floor)(found / step) * step
    bounded = turned if low <= turned <= high else found
    return int(bounded) if whole else bounded
