"""Fields that part two requests are named, and their values are not kept."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.cache.fields_left_out import left_out
from subsecond.cache.fingerprint import EARLIER, LAST, MOST, REST, SYSTEM, fingerprint, parting
from subsecond.cache.key import KeyTerms, prepare
from subsecond.model import Call, Prompt, Request, Tenant
from subsecond.stats.trace import Trace

ACME = Tenant("acme", "prod", "app")
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello?"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "Why?"},
]
BODY = {"model": "m", "messages": TURNS, "temperature": 0.5, "tools": [{"type": "function"}], "user": "ann"}
CALL = Call("chat", "m", BODY)


def digests(call, tenant=ACME, terms=None):
    return fingerprint(Request(tenant, call, Prompt("k", "s", "t"), Trace(), terms))


def made(call=CALL, tenant=ACME, kind="openai", scope="namespace", **fields):
    body = {name: value for name, value in {**call.body, **fields}.items() if value is not None}
    return digests(replace(call, body=body), tenant, KeyTerms(left_out([kind]), scope))


def turned(at, **fields):
    return made(messages=[*TURNS[:at], {**TURNS[at], **fields}, *TURNS[at + 1 :]])


PARTS = [{"type": "image_url", "image_url": {"url": "a"}}, {"type": "text", "text": "Why?"}]


@pytest.mark.parametrize(
    ("other", "fields"),
    [
        (made(temperature=0.6), ["temperature"]),
        (made(temperature=None), ["temperature"]),
        (made(seed=1), ["seed"]),
        (made(tools=[], top_p=1), ["tools", "top_p"]),
        (turned(0, content="Be long."), [SYSTEM]),
        (turned(1, content="Hi?"), [EARLIER]),
        (turned(2, name="x"), [EARLIER]),
        (turned(3, content=PARTS), [LAST]),
        (turned(3, name="x"), [LAST]),
        (made(messages=TURNS[1:]), [SYSTEM]),
        (made(messages=[TURNS[0], TURNS[3]]), [EARLIER]),
        (made(replace(CALL, model="m2")), ["model"]),
        (made(replace(CALL, quality=0.2, optimise="fit")), ["x-subsecond-optimise", "subsecond.quality"]),
        (made(replace(CALL, context="v1", compared="Why")), ["subsecond.context", "subsecond.compare"]),
        (made(scope="key"), ["the wall (SUBSECOND_SCOPE)"]),
        (made(kind="unknown"), ["user"]),
    ],
)
def test_what_differs_is_named(other, fields):
    assert parting(made(), other) == fields
    assert sorted(parting(other, made())) == sorted(fields)


@pytest.mark.parametrize(
    "other",
    [made(), turned(3, content="Because?"), made(user="ben", service_tier="flex"), made(temperature=0.50)],
)
def test_what_counts_for_no_scope_parts_nobody(other):
    assert parting(made(), other) == []


def test_an_entry_without_digests_says_nothing():
    assert parting("", made()) == []


def test_neither_a_value_nor_another_tenants_digest_can_be_read_from_it():
    for word in ("Be brief", "Hello", "Yes", "0.5", "ann"):
        assert word not in made()
    theirs = made(tenant=Tenant("other", "prod", "app"))
    assert not {line.split()[0] for line in made().splitlines()} & {line.split()[0] for line in theirs.splitlines()}


def test_it_takes_as_many_bytes_as_the_page_says():
    body = {"messages": [TURNS[0], TURNS[3]], "temperature": 0, "max_tokens": 9, "seed": 1}
    plain = digests(Call("chat", "m", body))
    assert 70 <= len(plain) <= 115
    wide = made(**{f"{n:_<90}": n for n in range(3 * MOST)})
    assert len(wide) < 70 * (MOST + 1)
    assert REST in wide
    assert parting(wide, made(**{f"{n:_<90}": n or "x" for n in range(3 * MOST)})) != []


def test_a_name_cannot_break_the_lines():
    assert parting(made(**{"a\nffffff temperature": 1}), made(**{"a\nffffff temperature": 2})) == [
        "a ffffff temperature"
    ]


values = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)


@given(st.dictionaries(st.sampled_from("abcd"), values), st.dictionaries(st.sampled_from("abcd"), values))
def test_two_requests_of_one_text_have_one_scope_where_no_field_parts_them(one, other):
    calls = [Call("chat", "m", {"messages": TURNS, **fields}) for fields in (one, other)]
    scopes = {prepare(call, ACME).scope for call in calls}
    assert (len(scopes) == 1) == (parting(*(digests(call) for call in calls)) == [])
