from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subsecond_local.simulator.schemas import fits, made

WORDS = ("river", "stone")
NUMBERS = st.fixed_dictionaries(
    {"type": st.sampled_from(["integer", "number"])},
    optional={"minimum": st.integers(-50, 50), "multipleOf": st.sampled_from([1, 2, 5])},
)
TEXTS = st.one_of(
    st.builds(lambda least: {"type": "string", "minLength": least}, st.integers(0, 30)),
    st.builds(lambda most: {"type": "string", "maxLength": most}, st.integers(0, 9)),
    st.builds(lambda name: {"type": "string", "format": name}, st.sampled_from(["date", "email", "uuid", "ipv4"])),
)
PLAIN = (
    NUMBERS
    | TEXTS
    | st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"enum": ["a", 2]}, {"const": 7}, True, {}])
    | st.sampled_from([{"type": ["string", "null"]}, {"type": "integer", "exclusiveMinimum": 3, "maximum": 4}])
)


def _grown(inner):
    several = st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)
    return (
        st.builds(lambda fields: {"type": "object", "properties": fields, "required": [*fields]}, several)
        | st.builds(lambda item, least: {"type": "array", "items": item, "minItems": least}, inner, st.integers(0, 3))
        | st.builds(lambda one, other: {"anyOf": [one, other]}, inner, inner)
        | st.builds(lambda one: {"$defs": {"x": one}, "allOf": [one]}, inner)
    )


@settings(deadline=None)
@given(st.recursive(PLAIN, _grown, max_leaves=8), st.binary(max_size=4))
def test_what_is_made_is_allowed(schema, seed):
    value = made(schema, seed, WORDS)
    assert fits(value, schema)
    assert made(schema, seed, WORDS) == value


def test_a_schema_may_refer_to_itself():
    tree = {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                },
                "required": ["name", "next", "children"],
                "additionalProperties": False,
            }
        },
    }
    assert fits(made(tree, b"", WORDS), tree)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/none"},
        {"$ref": "#"},
        {
            "$defs": {"a": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"]}},
            "$ref": "#/$defs/a",
        },
    ],
)
def test_a_schema_that_leads_nowhere_is_an_error(schema):
    with pytest.raises(ValueError, match=r"never ends|refers to nothing"):
        made(schema, b"", WORDS)


def test_what_is_not_made_does_not_fit():
    schema = {"type": "string", "pattern": "^[A-Z]{9}$"}
    assert not fits(made(schema, b"", WORDS), schema)
    with pytest.raises(ValueError, match="not valid"):
        fits("a", {"type": "text"})
