"""Which JSON values are one to a key."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.api.wire import parse
from subsecond.cache.canonical import canonical, canonical_body

SCHEMA = '{"type": "object", "properties": {"b": {}, "a": {}}}'
OTHER = '{"type": "object", "properties": {"a": {}, "b": {}}}'

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def read(text):
    return canonical_body(parse(text.encode()))


def field(name, text):
    return read(f'{{"{name}": {text}}}')


@pytest.mark.parametrize("name", ["temperature", "messages", "tools", "some_future_field"])
@pytest.mark.parametrize(("one", "other"), [("1", "1.0"), ("1", "1e0"), ("100", "1E2"), ("0", "-0.0"), ("0.5", "5e-1")])
def test_spellings_of_a_number_are_one(name, one, other):
    for shape in ("{}", "[{}]", '[{{"deep": [{}]}}]'):
        assert field(name, shape.format(one)) == field(name, shape.format(other))


@pytest.mark.parametrize("name", ["temperature", "messages", "tools", "some_future_field"])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "true"),
        ("1.0", "true"),
        ("0", "false"),
        ("0", "null"),
        ("1", '"1"'),
        ("1.0", '"1.0"'),
        ("0.5", "0.50000000000000011"),
        # Beyond what a float can tell apart: each whole number is itself.
        ("9007199254740993", "9007199254740992"),
        ("9007199254740993", "9007199254740993.0"),
        ("1" + "0" * 400, "1" + "0" * 399 + "1"),
    ],
)
def test_other_values_are_others(name, one, other):
    for shape in ("{}", "[{}]"):
        assert field(name, shape.format(one)) != field(name, shape.format(other))


def test_a_whole_number_is_one_with_the_float_that_is_equal():
    assert field("seed", "9007199254740992") == field("seed", "9007199254740992.0")


@given(values, values)
def test_equal_bytes_are_equal_values(one, other):
    """Python's own equality of numbers is the right one, but for truth values."""

    def plain(value):
        if isinstance(value, bool):
            return ("truth", value)
        if isinstance(value, dict):
            return {name: plain(inner) for name, inner in value.items()}
        return [plain(inner) for inner in value] if isinstance(value, list) else value

    assert (canonical({"x": one}) == canonical({"x": other})) == (plain(one) == plain(other))


@given(st.dictionaries(st.text(max_size=3), values, max_size=4))
def test_the_order_of_a_bodys_fields_says_nothing(body):
    assert canonical_body(body) == canonical_body(dict(reversed(body.items())))


@pytest.mark.parametrize(
    ("name", "holder"),
    [
        ("tools", '[{{"type": "function", "function": {{"name": "f", "parameters": {}}}}}]'),
        ("functions", '[{{"name": "f", "parameters": {}}}]'),
        ("tools", '[{{"name": "f", "input_schema": {}}}]'),
        ("response_format", '{{"type": "json_schema", "json_schema": {{"name": "n", "schema": {}}}}}'),
        ("guided_json", "{}"),
    ],
)
def test_the_order_inside_a_schema_counts(name, holder):
    assert field(name, holder.format(SCHEMA)) != field(name, holder.format(OTHER))


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("messages", '[{"role": "user", "content": "x"}]', '[{"content": "x", "role": "user"}]'),
        (
            "messages",
            '[{"role": "user", "content": [{"type": "text", "text": "x"}]}]',
            '[{"role": "user", "content": [{"text": "x", "type": "text"}]}]',
        ),
        (
            "tools",
            '[{"type": "function", "function": {"name": "f", "parameters": {"b": 1, "a": 2}}}]',
            '[{"function": {"parameters": {"b": 1, "a": 2}, "name": "f"}, "type": "function"}]',
        ),
        ("response_format", '{"type": "json_schema", "json_schema": {}}', '{"json_schema": {}, "type": "json_schema"}'),
        ("logit_bias", '{"5": 1, "6": 2}', '{"6": 2, "5": 1}'),
        ("tool_choice", '{"type": "function", "function": {}}', '{"function": {}, "type": "function"}'),
    ],
)
def test_the_order_around_a_schema_says_nothing(name, one, other):
    assert field(name, one) == field(name, other)


@pytest.mark.parametrize(
    "name",
    [
        *("messages", "prompt", "stop", "modalities", "tool_choice", "function_call", "logit_bias", "audio"),
        *("prediction", "metadata", "web_search_options"),
    ],
)
def test_where_no_schema_can_stand_no_order_says_anything(name):
    one, other = '{"a": 1, "parameters": {"c": 1, "d": 2}}', '{"parameters": {"d": 2, "c": 1}, "a": 1}'
    assert field(name, one) == field(name, other)


def test_the_order_of_a_list_counts():
    for name in ("messages", "tools", "stop", "modalities", "some_future_field"):
        assert field(name, '["a", "b"]') != field(name, '["b", "a"]')


@given(values, values)
def test_a_value_is_not_mistaken_for_another_fields(one, other):
    """What has an order and what has none are written apart."""
    seen = {
        canonical_body({"tools": one, "x": other}),
        canonical_body({"tools": other, "x": one}),
        canonical_body({"tools": one, "messages": other}),
        canonical_body({"tools": other, "messages": one}),
    }
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert len(seen) == 4 or same or canonical({"x": one}) == canonical({"x": other})
