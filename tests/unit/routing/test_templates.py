"""Templates by difficulty: off unless they are named, inserted where it is said, and outside the key."""

import json

import pytest

from subsecond.cache.key import prepare
from subsecond.model import Call, Tenant
from subsecond.routing import parsing
from subsecond.routing.catalogue import Template, Templates
from subsecond.routing.router import Router
from subsecond.routing.selection import RoutingPolicy
from subsecond.routing.templates import applied, pick

BRIEF, DEEP = Template("brief", "Answer in one sentence."), Template("deep", "Think step by step.")
SOME = Templates(simple=BRIEF, complex=DEEP)
TENANT = Tenant("acme", "prod", "laptop")


@pytest.mark.parametrize(
    ("difficulty", "picked"), [(0.0, BRIEF), (0.3, BRIEF), (0.5, None), (None, None), (0.7, DEEP), (1.0, DEEP)]
)
def test_the_difficulty_picks(difficulty, picked):
    assert pick(SOME, difficulty) is picked


def test_a_place_without_a_template_has_the_default_one():
    assert pick(Templates(default=BRIEF), 0.0) is BRIEF
    assert pick(Templates(default=BRIEF), 1.0) is BRIEF
    assert pick(None, 0.5) is None


def test_it_comes_behind_the_callers_own_system_messages():
    messages = [
        {"role": "system", "content": "a"},
        {"role": "developer", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    call = Call("chat", "m", {"messages": messages})
    said = applied(call, BRIEF).body["messages"]
    assert [one["content"] for one in said] == ["a", "b", "Answer in one sentence.", "c"]
    assert call.body["messages"] == messages


def test_of_a_text_completion_it_comes_before_the_prompt():
    assert applied(Call("text", "m", {"prompt": "c"}), BRIEF).body["prompt"] == "Answer in one sentence.\n\nc"


def test_without_a_template_the_call_is_the_same():
    call = Call("text", "m", {"prompt": ["a", "b"]})
    assert applied(call, None) is call
    assert applied(call, BRIEF) is call


def test_the_key_is_of_what_the_caller_sent_and_nothing_is_inserted_unless_it_is_configured(chat):
    model = {"name": "m", "tier": "fast", "model": "real"}
    plain = Router(parsing.read(json.dumps({"models": [model]})), RoutingPolicy(), None)
    templates = {"templates": {"brief": BRIEF.text}}
    told = {**model, "templates": {"default": "brief"}}
    other = Router(parsing.read(json.dumps({"models": [told], **templates})), RoutingPolicy(), None)
    call = chat("Hello?")
    before = prepare(call, TENANT)
    for router, count in ((plain, 1), (other, 2)):
        route = router.route(call, TENANT)
        sent = route.sent(call, route.choice.model)
        assert len(sent.body["messages"]) == count
        assert sent.model == "real"
        assert prepare(call, TENANT) == before
