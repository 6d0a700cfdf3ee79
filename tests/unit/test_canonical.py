"""The exact key, the scope and the text."""

import copy
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.cache.codec import VERSION
from subsecond.cache.key import prepare
from subsecond.errors import InvalidRequest
from subsecond.model import Call, Tenant

GOLDEN = ("d1de3211490f4ea1", "a42c3cd94ea56f52")
ACME = Tenant("acme", "prod", "k")
FULL = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello?", "name": "ann"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f"}}],
        },
        {"role": "tool", "content": "42", "tool_call_id": "c1"},
        {"role": "user", "content": "And now?"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "tool_choice": "auto",
    "response_format": {"type": "json_object"},
    "temperature": 0.5,
    "top_p": 0.9,
    "seed": 1,
    "stop": ["x"],
    "max_tokens": 10,
    "max_completion_tokens": 11,
    "n": 1,
    "presence_penalty": 0.1,
    "frequency_penalty": 0.2,
    "logit_bias": {"5": 1},
    "logprobs": False,
    "top_logprobs": 2,
    "parallel_tool_calls": True,
    "reasoning_effort": "low",
    "user": "u",
    "some_future_field": {"deep": [1, 2, {"er": "x"}]},
}


def prompt(body, tenant=ACME, endpoint="chat", model="m"):
    return prepare(Call(endpoint, model, body), tenant)


def paths(value, path=()):
    """The path of every leaf in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [leaf for name, part in inner for leaf in paths(part, (*path, name))]
    return found or [path]


def changed(body, path):
    other = copy.deepcopy(body)
    place = other
    for name in path[:-1]:
        place = place[name]
    old = place[path[-1]]
    place[path[-1]] = not old if isinstance(old, bool) else old + 1 if isinstance(old, int | float) else f"{old}?"
    return other


@pytest.mark.parametrize("path", paths(FULL), ids=lambda path: ".".join(map(str, path)))
def test_every_field_changes_the_key(path):
    assert prompt(changed(FULL, path)).key != prompt(FULL).key


@pytest.mark.parametrize("name", FULL)
def test_a_field_left_out_changes_the_key(name):
    assert prompt({key: value for key, value in FULL.items() if key != name}).key != prompt(FULL).key


def test_tenant_namespace_endpoint_and_model_change_the_key():
    others = [
        prompt(FULL, Tenant("other", "prod", "k")),
        prompt(FULL, Tenant("acme", "test", "k")),
        prompt(FULL, endpoint="text"),
        prompt(FULL, model="m2"),
    ]
    assert len({prompt(FULL).key, *(other.key for other in others)}) == 5


@pytest.mark.parametrize(
    "wishes",
    [
        {"quality": 0.0},
        {"quality": 0.5},
        {"floor": "fast"},
        {"floor": "quality"},
        {"prefer": "price"},
        {"optimise": "fit"},
    ],
    ids=str,
)
def test_each_wish_that_can_change_the_model_or_the_prompt_changes_key_and_scope(wishes):
    """Each alone. A quality of 0 is a wish as any other, and not the same as none."""
    asked = Call("chat", "m", FULL)
    wished, plain = prepare(replace(asked, **wishes), ACME), prepare(asked, ACME)
    assert wished.key != plain.key
    assert wished.scope != plain.scope


def test_two_wishes_of_one_kind_are_two_keys():
    asked = Call("chat", "m", FULL)
    pairs = [("quality", (0.0, 1.0)), ("floor", ("fast", "quality")), ("prefer", ("latency", "price"))]
    for name, values in pairs:
        assert len({prepare(replace(asked, **{name: value}), ACME).key for value in values}) == 2


def test_another_key_of_the_same_tenant_shares_the_cache():
    assert prompt(FULL, Tenant("acme", "prod", "another")) == prompt(FULL)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("polish this", "Polish this"),
        ("hi", " hi"),
        ("hi", "hi\n"),
        ("a b", "a  b"),
        ("    x = 1", "x = 1"),
        ("caf\u00e9", "cafe\u0301"),
        ("\u212b", "\u00c5"),
        ("hi", "hi\ufeff"),
    ],
)
def test_nothing_is_stripped_nor_normalised(one, other):
    def asked(text, place):
        messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
        messages[place]["content"] = text
        parts = [{"role": "user", "content": [{"type": "text", "text": text}]}]
        return prompt({"messages": messages}).key, prompt({"messages": parts}).key, prompt({"prompt": text}).key

    for place in (0, 1):
        assert set(asked(one, place)).isdisjoint(asked(other, place))


@given(st.text(), st.text())
def test_two_texts_are_two_keys(one, other):
    def keys(text):
        chat, plain = {"messages": [{"role": "user", "content": text}]}, {"prompt": text}
        return prompt(chat).key, prompt(plain, endpoint="text").key

    assert (keys(one) == keys(other)) == (one == other)
    assert set(keys(one)).isdisjoint(keys(other)) or one == other


@given(st.lists(st.text(max_size=3), max_size=3), st.lists(st.text(max_size=3), max_size=3))
def test_where_one_part_ends_and_the_next_begins_counts(one, other):
    def asked(texts):
        parts = [{"type": "text", "text": text} for text in texts]
        return prompt({"messages": [{"role": "user", "content": parts}]}).key

    assert (asked(one) == asked(other)) == (one == other)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=1), json_values, max_size=4))
def test_the_order_of_fields_does_not_count_and_nothing_breaks(fields):
    body = {**fields, "messages": [{"role": "user", "content": "x"}]}
    assert prompt(dict(reversed(body.items()))) == prompt(body)


def test_a_lone_surrogate_has_a_key():
    assert len(prompt({"messages": [{"role": "user", "content": "\ud800"}]}).key) == 64


def test_only_the_last_user_turn_is_outside_the_scope():
    asked = prompt(FULL)
    assert asked.text == "And now?"
    last = ("messages", 4, "content")
    assert prompt(changed(FULL, last)).scope == asked.scope
    for path in paths(FULL):
        if path != last:
            assert prompt(changed(FULL, path)).scope != asked.scope, path


def test_the_shape_of_the_last_turn_is_in_the_scope():
    """Which image "the first" is, the order of the parts says."""
    texts = [{"type": "text", "text": "What is it?"}, {"type": "text", "text": "And this?"}]
    image, file = {"type": "image_url", "image_url": {"url": "a"}}, {"type": "file", "file": {"file_data": "b"}}
    turns = [
        [*texts, image, file],
        [image, *texts, file],
        [texts[0], image, texts[1], file],
        [*texts, file, image],
        [*texts, image],
        [texts[0], image, file],
        "What is it?\nAnd this?",
        [{"type": "text", "text": "What is it?\nAnd this?"}],
        [[], *texts],
        [{"type": "text", "text": None}, *texts],
        [*texts, {"type": "text", "text": None}],
    ]
    found = [prompt({"messages": [{"role": "user", "content": turn}]}) for turn in turns]
    assert len({one.scope for one in found}) == len({one.key for one in found}) == len(turns)


def test_parts_that_are_no_text_stay_in_the_scope():
    def parts(text, url):
        image = {"type": "image_url", "image_url": {"url": url}}
        return prompt({"messages": [{"role": "user", "content": [{"type": "text", "text": text}, image]}]})

    assert parts("What is it?", "a").text == "What is it?"
    assert parts("What is it?", "a").scope == parts("What was it?", "a").scope
    assert parts("What is it?", "a").scope != parts("What is it?", "b").scope


def test_without_a_last_user_text_nothing_is_similar():
    for last in ({"role": "assistant", "content": "Well,"}, {"role": "tool", "content": "1", "tool_call_id": "c"}):
        found = prompt({"messages": [{"role": "user", "content": "x"}, last]})
        assert (found.text, found.scope) == ("", found.key)


def test_a_plain_prompt_is_its_own_text():
    found = prompt({"prompt": "Hello"}, endpoint="text")
    assert found.text == "Hello"
    assert found.scope == prompt({"prompt": "Bye"}, endpoint="text").scope
    assert prompt({"prompt": [1, 2]}, endpoint="text").text == ""


@pytest.mark.parametrize("other", [" Hello", "Hello ", "Hello\n", "\tHello"])
def test_the_blanks_at_the_ends_of_a_plain_prompt_are_in_its_scope(other):
    """The model goes on behind them."""
    assert prompt({"prompt": other}, endpoint="text").scope != prompt({"prompt": "Hello"}, endpoint="text").scope
    assert (
        prompt({"prompt": other}, endpoint="text").scope
        == prompt({"prompt": other.replace("l", "L")}, endpoint="text").scope
    )


@pytest.mark.parametrize("blanks", ["", " ", "\n \t"])
def test_nothing_is_similar_to_blanks(blanks):
    for asked in ({"prompt": blanks}, {"messages": [{"role": "user", "content": blanks}]}):
        found = prompt(asked, endpoint="text" if "prompt" in asked else "chat")
        assert (found.text, found.scope) == ("", found.key)


RAG = "Answer from these passages.\n{passages}\nQuestion: {question}"


def asked(question, passages="P1 P2", *, compare=True, context=None, **fields):
    text = RAG.format(passages=passages, question=question)
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **fields}
    return prepare(Call("chat", "m", body, compared=question if compare else None, context=context), ACME)


def test_the_text_to_compare_can_be_a_part_of_the_turn():
    found = asked("What is it?")
    assert found.text == "What is it?"
    assert found.scope == asked("What was it?").scope
    assert found.key == asked("What is it?", compare=False).key


def test_what_stands_around_it_is_in_the_scope():
    assert asked("What is it?").scope != asked("What is it?", "P1 P3").scope
    assert asked("What is it?").scope != asked("What is it?", compare=False).scope
    assert asked("What is it?").scope != asked("What is it?", temperature=1).scope


def test_a_context_version_takes_the_place_of_what_stands_around_it():
    found = asked("What is it?", context="v1")
    assert found.scope == asked("What is it?", "P1 P3", context="v1").scope
    assert found.scope != asked("What is it?", context="v2").scope
    assert found.scope != asked("What is it?").scope
    assert found.scope != asked("What is it?", context="v1", temperature=1).scope
    assert found.key != asked("What is it?", "P1 P3", context="v1").key
    whole = asked("What is it?", compare=False, context="v1")
    assert whole.text.startswith("Answer")
    assert whole.scope != asked("What is it?", compare=False).scope


def test_a_question_that_stands_twice_is_taken_out_twice():
    def twice(question):
        body = {"messages": [{"role": "user", "content": f"{question}\nPassages.\n{question}"}]}
        return prepare(Call("chat", "m", body, compared=question), ACME)

    assert twice("What is it?").scope == twice("What was it?").scope


@pytest.mark.parametrize("compared", ["elsewhere", " ", "", "X", "x "])
def test_a_text_to_compare_that_is_not_in_the_last_turn_is_refused(compared):
    with pytest.raises(InvalidRequest, match="last user turn"):
        prepare(Call("chat", "m", {"messages": [{"role": "user", "content": "x"}]}, compared=compared), ACME)


def test_without_a_last_user_text_the_text_to_compare_says_nothing():
    body = {"messages": [{"role": "user", "content": "x"}, {"role": "tool", "content": "1", "tool_call_id": "c"}]}
    assert prepare(Call("chat", "m", body, compared="elsewhere"), ACME) == prepare(Call("chat", "m", body), ACME)


@given(st.text(min_size=1).filter(str.strip), st.text(), st.text())
def test_the_same_scope_means_the_same_surroundings(question, before, after):
    """From a scope's pieces and the text compared the whole turn can be told: no two turns share both."""
    text = f"{before}{question}{after}"
    found = prepare(Call("text", "m", {"prompt": text}, compared=question), ACME)
    other = prepare(Call("text", "m", {"prompt": text + "!"}, compared=question), ACME)
    assert (found.scope, found.text) != (other.scope, other.text)


def test_keys_and_stored_forms_have_one_version():
    """A change of what these digests are made of must raise `codec.VERSION`: what another version wrote is then a miss
    for both, and cannot be read by halves. Then put the new digests here."""
    assert VERSION == b"3"
    found = prepare(Call("chat", "m", FULL), ACME)
    assert (found.key[:16], found.scope[:16]) == GOLDEN
