"""Walls between people and between keys, and the tag by which one person's answers go."""

import re
from dataclasses import replace

import pytest

from subsecond.api.bodies import TAG
from subsecond.cache.end_user import end_user, tags_of, user_tag
from subsecond.cache.fields_left_out import left_out
from subsecond.cache.key import KeyPolicy, KeyTerms, prepare
from subsecond.model import CacheRules, Call, Tenant

ACME = Tenant("acme", "prod", "app")
OPENAI = left_out(["openai"])


def asked(tenant=ACME, scope="namespace", **fields):
    body = {"model": "m", "messages": [{"role": "user", "content": "Why?"}], **fields}
    return prepare(Call("chat", "m", body), tenant, KeyTerms(OPENAI, scope))


def test_without_walls_all_of_a_namespace_share():
    assert asked(user="ann") == asked(user="ben") == asked() == asked(replace(ACME, key="other"))


@pytest.mark.parametrize("name", ["user", "safety_identifier"])
def test_people_have_a_wall_each_whatever_names_them(name):
    seen = [asked(scope="user", **{name: who}) for who in ("ann", "ben", ["ann"], 1, True, "1")]
    assert len({one.key for one in seen}) == len({one.scope for one in seen}) == len(seen)
    assert seen[0] == asked(replace(ACME, key="other"), "user", **{name: "ann"})
    assert seen[0].key != asked(user="ann").key


def test_who_names_nobody_is_behind_the_keys_wall():
    for nobody in ({}, {"user": None}, {"user": ""}):
        assert asked(scope="user", **nobody) == asked(scope="key", **nobody)
        assert asked(scope="user", **nobody).key != asked(replace(ACME, key="other"), "user", **nobody).key


def test_nobody_can_name_a_key_or_a_hash_as_themselves():
    behind = {asked(scope="key").key, asked(scope="user", user="ann").key}
    for name in ("key:app", "app", user_tag(ACME, "ann")):
        assert asked(scope="user", user=name).key not in behind


def test_keys_have_a_wall_each():
    assert asked(scope="key", user="ann") == asked(scope="key", user="ben")
    assert asked(scope="key").key != asked(replace(ACME, key="other"), "key").key
    assert asked(scope="key").key != asked().key


def test_a_keys_own_scope_takes_the_place_of_the_settings():
    policy = KeyPolicy(OPENAI, scope="key")
    assert policy.terms("m", ACME).scope == "key"
    assert policy.terms("m", replace(ACME, scope="user")).scope == "user"


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"user": "ann", "safety_identifier": "x"}, "ann"),
        ({"user": None, "safety_identifier": "x"}, "x"),
        ({"user": "", "safety_identifier": "x"}, "x"),
        ({"user": "\ud800"}, "\ud800"),
        ({"user": 0}, '{"user":0}'),
        ({}, ""),
    ],
)
def test_who_is_behind_a_request(body, name):
    assert end_user(Call("chat", "m", body)) == name


def test_the_tag_says_nothing_across_tenants_and_is_a_tag():
    tag = user_tag(ACME, "ann")
    assert re.fullmatch(TAG, tag)
    assert "ann" not in tag
    assert tag == user_tag(replace(ACME, namespace="test", key="k"), "ann")
    assert len({tag, user_tag(replace(ACME, id="other"), "ann"), user_tag(ACME, "ben")}) == 3
    assert re.fullmatch(TAG, user_tag(ACME, "\ud800"))


def test_an_entry_has_its_persons_tag_beside_the_callers():
    call = Call("chat", "m", {"user": "ann"}, CacheRules(tags=("a",)))
    assert tags_of(call, ACME) == ("a", user_tag(ACME, "ann"))
    assert tags_of(replace(call, body={}), ACME) == ("a",)
