"""Which models may answer in which dialect: no choice, fallback or hedge leaves those that speak it."""

import json

import pytest

from subsecond.config import Settings
from subsecond.errors import DialectNotSpoken, NotFound, UpstreamError
from subsecond.model import Call, Tenant
from subsecond.routing.failures import is_the_models, worth_another
from subsecond.routing.router import Router
from subsecond.upstreams.kind import dialects_of

TENANT = Tenant("acme", "prod", "laptop")
SERVERS = {
    "openai": {"url": "https://api.openai.com/v1"},
    "plain": {"url": "https://plain.example/v1", "dialects": ["chat"]},
    "bedrock": {"region": "eu-central-1"},
}
MODELS = [
    {"name": "small", "tier": "fast", "upstream": "openai", "fallbacks": ["other", "large"]},
    {"name": "other", "tier": "fast", "upstream": "plain"},
    {"name": "twin", "tier": "fast", "upstream": ["openai", "plain"]},
    {"name": "large", "tier": "quality", "upstream": "openai", "dialects": ["responses"]},
    {"name": "nova", "tier": "balanced", "upstream": "bedrock"},
]


@pytest.fixture
def route():
    text = json.dumps({"upstreams": SERVERS, "models": MODELS, "aliases": {"plain": {"models": ["other", "nova"]}}})
    router = Router.of(Settings(catalogue=text, upstream_url="http://127.0.0.1:9/v1"))

    def made(model, endpoint="responses"):
        body = {"model": model, "input": "Hi", "messages": [{"role": "user", "content": "Hi"}]}
        choice = router.route(Call(endpoint, model, body), TENANT).choice
        return [choice.model.name, *(one.name for one in choice.fallbacks)]

    return made


def test_a_model_that_speaks_it_has_fallbacks_that_speak_it(route):
    assert route("small") == ["small", "large"]
    assert route("small", "chat") == ["small", "other"]


def test_a_group_is_of_those_of_its_deployments_that_speak_it(route):
    assert route("twin") == ["twin@openai"]
    assert set(route("twin", "chat")) == {"twin@openai", "twin@plain"}


def test_a_choice_is_among_those_that_speak_it(route):
    assert set(route("auto")) == {"small", "twin@openai", "large"}
    assert "large" not in route("auto", "chat")


@pytest.mark.parametrize("name", ["other", "nova", "plain", "twin@plain"])
def test_a_name_without_any_is_told_so(route, name):
    with pytest.raises(DialectNotSpoken):
        route(name)
    assert route(name, "chat")


@pytest.mark.parametrize(
    ("name", "endpoint", "spoken"),
    [
        ("other", "responses", ("chat",)),
        ("nova", "responses", ("chat", "embeddings", "messages", "text")),
        ("large", "chat", ("responses",)),
        ("large", "messages", ("responses",)),
    ],
)
def test_a_name_is_told_with_what_it_speaks(route, name, endpoint, spoken):
    with pytest.raises(DialectNotSpoken) as told:
        route(name, endpoint)
    assert told.value.spoken == spoken


def test_a_name_that_there_is_not_stays_one(route):
    with pytest.raises(NotFound, match="does not exist"):
        route("smal")


@pytest.mark.parametrize(
    ("fields", "spoken", "silent"),
    [
        ({"upstream_url": "https://api.openai.com/v1"}, "responses", "messages"),
        ({"upstream_url": "https://api.anthropic.com/v1"}, "messages", "responses"),
        ({"upstream": "bedrock"}, "chat", "responses"),
        ({"upstream_url": "https://vllm.example/v1"}, "messages", None),
        ({"upstream_url": "https://api.openai.com/v1", "upstream_dialects": "chat, messages"}, "messages", "responses"),
    ],
)
def test_what_a_server_speaks_is_said_or_told_by_its_kind(fields, spoken, silent):
    found = dialects_of(Settings(**fields))
    assert (spoken in found, silent in found) == (True, False)


def test_a_dialect_that_there_is_not_is_named():
    with pytest.raises(ValueError, match="SUBSECOND_UPSTREAM_DIALECTS: 'respnses' is no dialect"):
        dialects_of(Settings(upstream_dialects="chat,respnses"))
    with pytest.raises(ValueError, match="dialects"):
        Router.of(Settings(catalogue=json.dumps({"models": [{**MODELS[0], "dialects": ["chit"]}]})))


def test_a_server_without_the_path_is_worth_another_and_has_not_failed():
    error = DialectNotSpoken("Responses")
    assert (worth_another(error), is_the_models(error)) == (True, False)
    assert is_the_models(UpstreamError("down", status=503))
