"""Who calls the functions: URLs, pages of other origins, schedules, warm environments."""

from __future__ import annotations

import json
import re

import pytest

from subsecond.api import cors
from subsecond.warmup import warm_environments
from tests.support.template import (
    ROOT,
    SHIPPED,
    WITH_URL,
    layers_of,
    settings_of,
)


def test_the_urls_are_public_because_the_app_checks_the_key(template):
    urls = template.of_type("AWS::Lambda::Url")
    assert set(urls) == {f"{name}Url" for name in (*WITH_URL, "StreamingLive")}
    for name in (*WITH_URL, "StreamingLive"):
        url = urls[f"{name}Url"]
        assert url["AuthType"] == "NONE"
        assert "authorization" in url["Cors"]["AllowHeaders"]
        actions = [
            permission["Action"]
            for permission in template.of_type("AWS::Lambda::Permission").values()
            if permission["FunctionName"] == {"Ref": name}
        ]
        assert sorted(actions) == ["lambda:InvokeFunction", "lambda:InvokeFunctionUrl"]


# What pages may read in any case (Fetch, "CORS-safelisted response-header name"), and what they have no use for.
SAFELISTED = {"cache-control", "content-length", "content-type"}
FOR_OTHERS = {"accept-encoding", "allow", "www-authenticate", "x-accel-buffering"}


def test_pages_of_other_origins_may_read_every_header_of_an_answer(template):
    source = "\n".join(path.read_text() for path in (SHIPPED / "api").glob("*.py"))
    sent = set(re.findall(r'\(b"([a-z-]+)", ', source)) | set(re.findall(r'headers\["([a-z-]+)"\] = ', source))
    assert {"age", "retry-after", "x-request-id", "x-subsecond-route"} <= sent
    for name in (*WITH_URL, "StreamingLive"):
        exposed = template.resources[f"{name}Url"]["Properties"]["Cors"]["ExposeHeaders"]
        assert set(exposed) == sent - SAFELISTED - FOR_OTHERS


def test_a_plain_server_says_what_the_function_urls_say(template):
    for name in WITH_URL:
        said = template.resources[f"{name}Url"]["Properties"]["Cors"]
        assert (tuple(said["AllowMethods"]), tuple(said["ExposeHeaders"]), said["MaxAge"]) == (
            cors.METHODS,
            cors.EXPOSED,
            cors.MAX_AGE,
        )


def test_schedules_are_off_until_asked_for_and_send_the_event_in_the_folder(template):
    schedules = template.of_type("AWS::Scheduler::Schedule")
    states = {
        "IndexerSchedule": {"UpkeepState": "ENABLED"},
        "PrewarmSchedule": {"WarmMode": "Ping"},
        "PrewarmLists": {"PrewarmPrompts": "default:default"},
        "VerifySchedule": {"Judge": "gpt-4o-mini"},
    }
    events = {
        "IndexerSchedule": "indexer-schedule",
        "PrewarmSchedule": "prewarm-schedule",
        "PrewarmLists": "prewarm-prompts",
        "VerifySchedule": "verify-schedule",
    }
    assert set(schedules) == set(states)
    for name, schedule in schedules.items():
        assert template.resolve(schedule["State"], {}) == "DISABLED"
        assert template.resolve(schedule["State"], states[name]) == "ENABLED"
        assert json.loads(schedule["Target"]["Input"]) == json.loads((ROOT / f"events/{events[name]}.json").read_text())


def test_versions_come_with_the_modes_that_need_them_and_the_url_is_theirs(template):
    versioned = {name for name, one in template.source["Resources"].items() if one.get("Condition") == "Versioned"}
    assert versioned == {
        "StreamingParts",
        "StreamingTexts",
        "StreamingAllowed",
        "StreamingVersion",
        "StreamingLive",
        "StreamingLiveUrl",
        "StreamingLiveUrlPermission",
        "StreamingLiveInvokePermission",
    }
    modes = template.source["Parameters"]["WarmMode"]["AllowedValues"]
    assert {mode for mode in modes if template.holds("Versioned", {"WarmMode": mode})} == {"SnapStart", "Provisioned"}
    assert template.holds("Versioned", {"DeploymentPreference": "Canary10Percent5Minutes"})
    applied = template.resources["Streaming"]["Properties"]["SnapStart"]["ApplyOn"]
    for mode in modes:
        wanted = "PublishedVersions" if mode == "SnapStart" else "None"
        assert template.resolve(applied, {"WarmMode": mode}) == wanted
    plain, live = (template.resources[name]["Properties"] for name in ("StreamingUrl", "StreamingLiveUrl"))
    for name in ("AuthType", "InvokeMode", "Cors"):
        assert plain[name] == live[name]


def texts_of_the_version(template):
    """What stands in the texts of the layers that a version is told apart by: a description and a licence of each."""
    layers = [template.source["Resources"][name] for name in ("StreamingParts", "StreamingTexts")]
    assert all(layer["Condition"] == "Versioned" for layer in layers)
    return [layer["Properties"][name]["Fn::Sub"] for layer in layers for name in ("Description", "LicenseInfo")]


def test_a_version_is_made_anew_by_whatever_it_is_made_of(template):
    """An update of a version's description replaces it, and one of a layer's content or texts its ARN."""
    named = set(re.findall(r"\$\{(\w+)\}", " ".join(texts_of_the_version(template))))
    function = dict(template.resources["Streaming"]["Properties"])
    # Of the function, and not of a version.
    del function["ReservedConcurrentExecutions"]
    text = json.dumps(function)
    parts = set(re.findall(r'"Ref": "(\w+)"|\$\{(\w+)\}', text))
    used = {one for pair in parts for one in pair if one in template.source["Parameters"]}
    for condition in re.findall(r'"Fn::If": \["(\w+)"', text):
        used |= set(re.findall(r'"Ref": "(\w+)"', json.dumps(template.source["Conditions"][condition])))
    assert used <= named, "name the new parameter in StreamingParts"


@pytest.mark.parametrize("parameters", [{"WarmMode": "SnapStart"}, {"WarmMode": "Provisioned", "Embedder": "minilm"}])
def test_a_versions_description_names_every_layer_of_the_function_and_one_has_its_code(parameters, template):
    _, parts = template.resources["StreamingVersion"]["Properties"]["Description"]["Fn::Join"]
    conditional = [part["Fn::If"] for part in parts if "Fn::If" in part]
    numbers = [part for part in parts if "Fn::If" not in part]
    numbers += [part for condition, part, _ in conditional if template.holds(condition, parameters)]
    # Of an ARN (arn:aws:lambda:REGION:ACCOUNT:layer:NAME:NUMBER) the number, which no two versions share.
    split = [number["Fn::Select"] for number in numbers]
    assert {at for at, _ in split} == {7}
    described = [of["Fn::Split"][1]["Ref"] for _, of in split]
    # Lambda publishes no version of a function that is the same as before: what is named is the function's as well.
    assert set(described) == set(layers_of(template, "Streaming", **parameters))
    assert len(described) == (4 if "Embedder" in parameters else 3)
    for layer in ("StreamingParts", "StreamingTexts"):
        code = template.source["Resources"][layer]["Properties"]["Content"]
        assert code == template.functions["Streaming"]["CodeUri"]


def longest(parameter) -> str:
    return "x" * (parameter.get("MaxLength") or max(len(str(one)) for one in parameter["AllowedValues"]))


def test_the_texts_of_a_version_hold_the_longest_parameters(template):
    parameters = template.source["Parameters"]
    values = {name: "9" * len(str(one["MaxValue"])) for name, one in parameters.items() if "MaxValue" in one}
    values |= {name: longest(one) for name, one in parameters.items() if "MaxLength" in one or "AllowedValues" in one}
    for text, limit in zip(texts_of_the_version(template), (256, 512) * 2, strict=True):
        assert set(re.findall(r"\$\{(\w+)\}", text)) <= set(values)
        assert len(template.resolve({"Fn::Sub": text}, values)) <= limit
    azure = "https://a-resource-of-our-company-with-a-long-name.openai.azure.com/openai/deployments/gpt-4o-mini-2024"
    nested = "companies/our-company/environments/production/applications/gateway/upstreams/azure#openai.key-1"
    for name, value in (("UpstreamUrl", azure), ("UpstreamSecret", nested)):
        assert len(value) <= parameters[name]["MaxLength"]
        assert re.fullmatch(parameters[name]["AllowedPattern"], value)


def test_provisioned_environments_come_and_go_by_the_clock(template):
    scaling = template.source["Resources"]["StreamingScaling"]
    assert scaling["Condition"] == "Provisioned"
    properties = scaling["Properties"]
    assert properties["ResourceId"] == {"Fn::Sub": "function:${Streaming}:live"}
    assert template.resolve(properties["ScheduledActions"], {}) == "AWS::NoValue"
    [begin, end] = template.resolve(properties["ScheduledActions"], {"WarmFrom": "cron(0 6 * * ? *)"})
    assert begin["ScalableTargetAction"] == {"MinCapacity": {"Ref": "WarmEnvironments"}} | {
        "MaxCapacity": {"Ref": "WarmEnvironments"}
    }
    # One stays: an alias that has none cannot be moved (ProvisionedConcurrencyConfigNotFoundException).
    assert end["ScalableTargetAction"] == {"MinCapacity": 1, "MaxCapacity": 1}


@pytest.mark.parametrize("way", ["Canary10Percent5Minutes", "Linear10PercentEvery1Minute"])
def test_traffic_moves_step_by_step_and_back_when_an_alarm_rings(way, template):
    resources = template.source["Resources"]
    [condition, [(kind, update)]] = (
        resources["StreamingLive"]["UpdatePolicy"]["Fn::If"][0],
        resources["StreamingLive"]["UpdatePolicy"]["Fn::If"][1].items(),
    )
    assert (condition, kind) == ("Gradual", "CodeDeployLambdaAliasUpdate")
    assert not template.holds("Gradual", {})
    assert template.holds("Gradual", {"DeploymentPreference": way})
    group = resources[update["DeploymentGroupName"]["Ref"]]
    assert group["Condition"] == "Gradual"
    assert template.resolve(group["Properties"]["DeploymentConfigName"], {"DeploymentPreference": way}) == (
        f"CodeDeployDefault.Lambda{way}"
    )
    assert "DEPLOYMENT_STOP_ON_ALARM" in group["Properties"]["AutoRollbackConfiguration"]["Events"]
    for alarm in group["Properties"]["AlarmConfiguration"]["Alarms"]:
        made = resources[alarm["Name"]["Ref"]]["Condition"]
        assert template.holds(made, {"DeploymentPreference": way})


def test_the_prewarming_function_warms_those_that_answer(template):
    settings = settings_of(template, "Prewarm", WarmEnvironments="3", PrewarmPrompts="a:b,c:d")
    assert settings.warm_functions == "Streaming,Completion"
    assert settings_of(template, "Prewarm", WarmMode="SnapStart").warm_functions == "StreamingLive,Completion"
    assert (settings.warm_environments, settings.warm_prompts) == (3, "a:b,c:d")
    # A prompt may take as long as any, and is begun until warm_environments.LONGEST_S.
    assert settings.total_timeout + warm_environments.LONGEST_S < template.functions["Prewarm"]["Timeout"] <= 900
    assert template.source["Parameters"]["WarmEnvironments"]["MaxValue"] == warm_environments.MOST
