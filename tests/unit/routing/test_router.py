"""What the router reads from a request, and what it remembers of a conversation."""

import json

import pytest

from subsecond.errors import InvalidRequest
from subsecond.model import Call, Tenant
from subsecond.routing.difficulty import load
from subsecond.routing.health import Prediction
from subsecond.routing.router import Router, RoutingOverrides, conversation_of, needs_of, output_of, tokens_of
from subsecond.routing.selection import RoutingPolicy

TENANT = Tenant("acme", "prod", "laptop")
IMAGE = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]


@pytest.fixture
def router(catalogue):
    return Router(catalogue(), RoutingPolicy(), load("default"))


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({}, set()),
        ({"tools": [{"type": "function"}]}, {"tools"}),
        ({"tools": []}, set()),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, {"json_schema"}),
        ({"response_format": {"type": "json_object"}}, set()),
    ],
)
def test_what_a_request_needs(chat, fields, needs):
    assert needs_of(chat("Hello", **fields)) == needs


def test_an_image_needs_vision_and_odd_content_needs_nothing(chat):
    assert needs_of(chat(IMAGE)) == {"vision"}
    for body in ({}, {"messages": None}, {"messages": [1, {"content": [2, None]}]}, {"prompt": [1, 2]}):
        assert needs_of(Call("chat", "m", body)) == set()
        assert tokens_of(Call("chat", "m", body)) >= 0


def test_tokens_are_guessed_on_the_long_side(chat):
    prose = "The quick brown fox jumps over the lazy dog. " * 100  # 1,000 tokens and 1 of o200k
    assert 1_000 <= tokens_of(chat(prose)) <= 1_700
    assert tokens_of(chat("什么是量子力学" * 100)) >= 700
    assert tokens_of(chat("a", tools=[{"x": "y" * 3_000}])) >= 1_000


def test_the_newer_name_of_the_answers_limit_counts_first():
    assert output_of(Call("chat", "m", {"max_tokens": 5, "max_completion_tokens": 9})) == 9
    found = [output_of(Call("chat", "m", {"max_tokens": value})) for value in (5, 0, True, "5", None)]
    assert found == [5, None, None, None, None]


def test_all_turns_of_a_conversation_are_one_and_tenants_are_not(chat):
    first, later = chat("Hi, I am Ann."), chat("Hi, I am Ann.", "Hello Ann", "Who am I?")
    assert conversation_of(first, TENANT) == conversation_of(later, TENANT)
    assert conversation_of(first, TENANT) != conversation_of(chat("Hi, I am Bob."), TENANT)
    assert conversation_of(first, TENANT) != conversation_of(first, Tenant("other", "prod", "laptop"))


def test_a_conversation_keeps_its_model_though_another_becomes_faster(catalogue, chat):
    two = [{"name": name, "tier": "fast", "ttft_ms": ms} for name, ms in (("a", 100), ("b", 300))]
    router = Router(catalogue(two), RoutingPolicy(), None)
    first = router.route(chat("Hi"), TENANT).choice

    def predict(name):
        return Prediction(3.0 if name == first.model.name else 0.1, 5.0, 50.0, 0.0)

    later = router.route(chat("Hi", "Hello", "And now?"), TENANT, predict).choice
    other = router.route(chat("Another one"), TENANT, predict).choice
    assert first.model.name == later.model.name == "a"
    assert "same as before" in later.line
    assert other.model.name == "b"


def test_a_first_turn_sticks_to_nothing_and_a_conversation_to_its_own_keys_model(catalogue, chat):
    router = Router(catalogue(), RoutingPolicy(quality=0.0), load("default"))
    other = Tenant("acme", "prod", "phone")
    assert router.route(chat("Hi"), TENANT, overrides=RoutingOverrides(floor="quality")).choice.model.name == "large"

    again, answered = chat("Hi"), chat("Hi", "Hello", "And now?")
    chosen = [
        router.route(again, TENANT).choice.model.name,
        # What was kept last counts: the dear model again, for the conversation that goes on.
        router.route(again, TENANT, overrides=RoutingOverrides(floor="quality")).choice.model.name,
        router.route(answered, other).choice.model.name,
        router.route(answered, TENANT).choice.model.name,
    ]

    assert chosen == ["small", "large", "small", "large"]


@pytest.mark.parametrize(
    "overrides",
    [
        RoutingOverrides(quality=0.0),
        RoutingOverrides(prefer="price"),
        RoutingOverrides(prefer="latency"),
        RoutingOverrides(quality=0.0, prefer="price"),
    ],
)
def test_a_wish_goes_before_stickiness(catalogue, chat, overrides):
    router = Router(catalogue(), RoutingPolicy(quality=0.0), load("default"))
    router.route(chat("Hi"), TENANT, overrides=RoutingOverrides(floor="quality"))
    assert router.route(chat("Hi", "Hello", "And now?"), TENANT, overrides=overrides).choice.model.name == "small"


def test_a_wish_that_two_models_meet_alike_leaves_the_conversation_with_its_own(catalogue, chat):
    same = [{"name": f"m{at}", "tier": "fast", "price_out": 1} for at in range(9)]
    router = Router(catalogue(same), RoutingPolicy(), None)
    overrides = RoutingOverrides(quality=0.0, prefer="price")
    first = router.route(chat("Hi"), TENANT, overrides=overrides).choice.model.name

    def predict(name):
        return Prediction(3.0 if name == first else 0.1, 5.0, 50.0, 0.0)

    talk = chat("Hi", "Hello", "And now?")
    later = [
        router.route(talk, TENANT, predict, one).choice.model.name
        for one in (overrides, RoutingOverrides(prefer="latency"))
    ]
    assert later[0] == first
    assert later[1] != first


def test_a_tool_call_leaves_the_conversations_model_when_that_cannot_do_it(router, chat):
    assert router.route(chat("Hi"), TENANT, overrides=RoutingOverrides(quality=0.0)).choice.model.name == "small"
    tools = router.route(
        chat("Hi", tools=[{"type": "function"}]), TENANT, overrides=RoutingOverrides(quality=0.0)
    ).choice
    assert tools.model.name == "large"


def test_the_requests_own_dial_goes_before_the_aliass_and_that_before_the_settings(catalogue, chat):
    router = Router(catalogue(aliases={"thrifty": {"quality": 0.0}}), RoutingPolicy(quality=1.0), load("default"))
    chosen = [
        router.route(chat("Hi there, how are you?", model=model), TENANT, overrides=overrides).choice.model.name
        for model, overrides in (("auto", None), ("thrifty", None), ("thrifty", RoutingOverrides(quality=1.0)))
    ]
    assert chosen == ["large", "small", "large"]


def test_a_floor_that_is_no_tier_is_refused(router, chat):
    with pytest.raises(InvalidRequest) as caught:
        router.route(chat("Hi"), TENANT, overrides=RoutingOverrides(floor="best"))
    assert caught.value.param == "subsecond.floor"


def test_the_deadline_is_what_is_left_of_it(router, chat):
    late = router.route(chat("Hi", deadline=10.0), TENANT, now=10.0).choice
    assert late.late
    assert not router.route(chat("Hi", deadline=99.0), TENANT, now=10.0).choice.late


def test_the_trace_of_a_route_is_json(router, chat):
    public = router.route(chat("Explain TCP."), TENANT).public()
    assert json.loads(json.dumps(public)) == public
    assert public["tier"] in ("fast", "balanced", "quality")
    assert public["difficulty"] is not None


def test_a_conversation_that_was_hard_is_hard_in_another_environment_too(catalogue, chat):
    talk = ("Which of these is a valid defence to negligence in tort law?", "The first.", "Thanks, bye.")
    here, there = (Router(catalogue(), RoutingPolicy(), load("default")) for _ in range(2))
    first = here.route(chat(*talk[:1]), TENANT).choice
    later = there.route(chat(*talk), TENANT).choice
    assert later.difficulty >= first.difficulty
    assert later.model.tier >= first.model.tier


def test_a_conversation_stays_with_the_deployment_that_answered_in_anothers_place(catalogue, chat):
    upstreams = {"us": {"region": "us-east-1"}, "eu": {"region": "eu-west-1"}}
    models = [{"name": "claude", "upstream": ["us", "eu"], "tier": "fast"}, {"name": "other", "tier": "fast"}]
    router = Router(catalogue(models, upstreams=upstreams), RoutingPolicy(), None)
    turn = chat("Hi, I am Ann.", "Hello Ann", "Who am I?", model="claude")
    first = router.route(turn, TENANT)
    home = first.choice.model
    other = next(iter(router.catalogue.equivalents(home)))
    assert router.route(turn, TENANT).choice.model is home
    router.answered(first, home.name)
    assert router.route(turn, TENANT).choice.model is home
    router.answered(first, other.name)  # home was throttled: the prefix lies in the other's cache now
    assert router.route(turn, TENANT).choice.model is other
    router.answered(first, "other")  # a fallback of another kind is no home
    assert router.route(turn, TENANT).choice.model is other
