"""Models as configuration: what is understood, and what is said of what is not."""

import json
from pathlib import Path

import pytest

from subsecond.bootstrap import check
from subsecond.config import Settings
from subsecond.errors import NotFound
from subsecond.routing import parsing
from subsecond.routing.catalogue import Alias, Model, Tier, load
from subsecond.routing.router import Router

SIMULATED = Path(__file__).parents[3] / "local/subsecond_local/catalogues/simulator.json"


def refused(**changes):
    model = {"name": "m", "tier": "fast", **changes}
    with pytest.raises(ValueError, match="SUBSECOND_CATALOGUE: ") as caught:
        parsing.read(json.dumps({"models": [model]}))
    return str(caught.value)


def test_fault_51_tiers_are_ordered_by_what_they_can_do_and_not_by_their_letters():
    assert Tier.FAST < Tier.BALANCED < Tier.QUALITY
    assert sorted(["quality", "fast", "balanced"], key=lambda word: Tier[word.upper()]) == [
        "fast",
        "balanced",
        "quality",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tier": "fats"}, "model 'm', field 'tier': 'fats' is not one of fast, balanced, quality"),
        ({"price_in": -1}, "model 'm', field 'price_in': a number from 0 is wanted, not -1"),
        ({"window": 1.5}, "model 'm', field 'window': a whole number is wanted, not 1.5"),
        ({"window": True}, "model 'm', field 'window': a whole number"),
        ({"tokens_per_second": 0}, "model 'm', field 'tokens_per_second': it must be more than 0"),
        ({"capabilities": ["tool"]}, "model 'm', field 'capabilities': 'tool' is not one of"),
        ({"pricein": 1}, "model 'm', field 'pricein': there is no such field (did you mean 'price_in'?)"),
        ({"upstream": "eu"}, "model 'm', field 'upstream': 'eu' is no upstream of the catalogue"),
        ({"fallbacks": ["n"]}, "model 'm', field 'fallbacks': 'n' is no other model"),
        ({"name": "a b"}, "model 'a b', field 'name': a name of letters"),
        ({"templates": {"simple": "short"}}, "model 'm', field 'templates.simple': there is no template 'short'"),
        ({"templates": {"cuts": [0.9, 0.1]}}, "model 'm', field 'templates.cuts': the first is larger"),
        ({"price_out": float("nan")}, "model 'm', field 'price_out': Input should be a finite number"),
        ({"name": "{x}"}, "model '{x}', field 'name': a name of letters"),
        ({"list_prompts": 1}, "model 'm', field 'list_prompts': true or false"),
    ],
)
def test_an_error_names_the_model_and_the_field(changes, said):
    assert said in refused(**changes)


def test_a_missing_field_and_a_second_model_of_the_name_are_named():
    with pytest.raises(ValueError, match="model 'm', field 'tier': it is missing"):
        parsing.read('{"models": [{"name": "m"}]}')
    two = [{"name": "m", "tier": "fast"}] * 2
    with pytest.raises(ValueError, match="model 'm', field 'name': there is another"):
        parsing.read(json.dumps({"models": two}))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"models": []}', '{"models": {}}', '{"models": [1]}', "null"])
def test_what_is_no_catalogue_is_refused(text):
    with pytest.raises(ValueError, match="SUBSECOND_CATALOGUE"):
        parsing.read(text)


@pytest.mark.parametrize("setting", ["catalogue", "prices"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", ": the catalogue: an object is wanted"),
        ("models.json", "is no JSON: .* A catalogue that lies in a file is named as file:PATH"),
        ("file:/nowhere.json", ": file:/nowhere.json cannot be read"),
        (' {"models": [1]}', ": model 1: an object is wanted"),
    ],
)
def test_what_is_no_catalogue_is_told_before_anything_starts(setting, text, said):
    with pytest.raises(ValueError, match=f"^SUBSECOND_{setting.upper()} ?{said}"):
        check(Settings(**{setting: text}))


@pytest.mark.parametrize("setting", ["catalogue", "prices"])
def test_a_catalogue_that_lies_in_a_service_is_not_read_by_the_check(setting):
    check(Settings(**{setting: "ssm:/there"}))


def test_an_alias_that_can_choose_nothing_is_refused(catalogue):
    with pytest.raises(ValueError, match="alias 'best', field 'floor': no model of it is quality"):
        catalogue(aliases={"best": {"models": ["small"], "floor": "quality"}})


def test_an_unknown_name_is_a_404_with_the_nearest_names(catalogue):
    with pytest.raises(NotFound) as caught:
        catalogue().find("Smal")
    assert caught.value.status == 404
    error = caught.value.body()["error"]
    assert error["code"] == "model_not_found"
    assert error["param"] == "model"
    assert "small" in error["message"]


def test_the_listing_has_aliases_and_models(catalogue):
    listed = catalogue(aliases={"thrifty": {"quality": 0.2}}).listing()
    assert listed["object"] == "list"
    names = [one["id"] for one in listed["data"]]
    assert names[0] == "auto"
    assert {"auto:fast", "auto:balanced", "auto:quality", "thrifty", "small", "middle", "large"} == set(names) - {
        "auto"
    }
    assert all(one["object"] == "model" for one in listed["data"])


def test_several_upstreams_of_a_model_are_a_group_with_its_name(catalogue):
    upstreams = {
        "eu": {"url": "https://eu.test/v1", "secret": "ssm:/eu"},
        "us": {"url": "https://us.test/v1/", "key": "k"},
    }
    made = catalogue([{"name": "m", "tier": "fast", "upstream": ["eu", "us"], "model": "real"}], upstreams=upstreams)
    group = made.find("m")
    assert isinstance(group, Alias)
    assert [(one.name, one.server, one.served) for one in group.models] == [
        ("m@eu", "eu", "real"),
        ("m@us", "us", "real"),
    ]
    assert [one.name for one in made.equivalents(group.models[0])] == ["m@us"]
    told = made.servers["eu"].settings(Settings(upstream_key="ours"))
    assert (told.upstream_url, told.upstream_key, told.upstream_secret) == ("https://eu.test/v1", "", "ssm:/eu")
    assert "k'" not in repr(made.servers["us"])


def test_models_of_a_group_are_of_one_tier(catalogue):
    two = [{"name": "a", "tier": "fast", "group": "g"}, {"name": "b", "tier": "quality", "group": "g"}]
    with pytest.raises(ValueError, match="group 'g', field 'tier'"):
        catalogue(two)


@pytest.mark.parametrize("url", ["ftp://x", "https://", "https://u:secret@h/v1", "https://h/v1?x=1", 7])
def test_an_address_that_is_none_is_refused_unquoted(url):
    with pytest.raises(ValueError, match="upstream 'eu', field 'url'") as caught:
        parsing.read(json.dumps({"models": [], "upstreams": {"eu": {"url": url}}}))
    assert "secret" not in str(caught.value)


def test_a_catalogue_comes_from_a_file_or_from_the_text_and_without_one_nothing_is_routed(tmp_path):
    file = tmp_path / "models.json"
    file.write_text('{"models": [{"name": "m", "tier": "fast"}]}')
    assert list(load(f"file:{file}").models) == ["m"]
    assert list(load(file.read_text()).models) == ["m"]
    assert Router.of(Settings()) is None
    with pytest.raises(ValueError, match="cannot be read"):
        load(f"file:{tmp_path}/none.json")


async def test_a_catalogue_in_ssm_is_read_while_a_loop_is_running(aws_tables):
    import boto3

    boto3.client("ssm").put_parameter(
        Name="/models", Value='{"models": [{"name": "m", "tier": "fast"}]}', Type="SecureString"
    )
    assert list(load("ssm:/models").models) == ["m"]


def test_the_simulators_catalogue_is_one():
    made = load(f"file:{SIMULATED}")
    assert isinstance(made.find("auto"), Alias)
    assert isinstance(made.find("sim-quality"), Model)
    assert {one.tier for one in made.models.values()} == set(Tier)


def test_a_region_is_bedrock_there_and_a_model_of_several_is_one_group():
    upstreams = {"us": {"region": "us-east-1"}, "eu": {"region": "eu-west-1"}, "web": {"url": "https://a.example/v1"}}
    models = [{"name": "claude", "upstream": ["us", "eu"], "model": "us.anthropic.claude-opus-5", "tier": "quality"}]
    found = parsing.read(json.dumps({"upstreams": upstreams, "models": models}))
    assert [one.name for one in found.find("claude").models] == ["claude@us", "claude@eu"]
    own = Settings(upstream="bedrock")
    asked = {name: server.settings(own) for name, server in found.servers.items()}
    assert {name: one.upstream for name, one in asked.items()} == {"us": "bedrock", "eu": "bedrock", "web": "openai"}
    assert asked["eu"].bedrock_region == "eu-west-1"


@pytest.mark.parametrize(
    ("server", "field"),
    [
        ({}, "url"),
        ({"region": "us-east-1", "url": "https://a.example/v1"}, "region"),
        ({"region": "us-east-1", "key": "k"}, "region"),
        ({"region": "us-east-1", "kind": "openai"}, "region"),
        ({"region": "Virginia"}, "region"),
    ],
)
def test_a_region_has_nothing_beside_it(server, field):
    models = [{"name": "m", "upstream": "u", "tier": "fast"}]
    with pytest.raises(ValueError, match=f"upstream 'u', field '{field}'"):
        parsing.read(json.dumps({"upstreams": {"u": server}, "models": models}))
