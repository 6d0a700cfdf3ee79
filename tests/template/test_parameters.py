"""Parameters, outputs and events, against what the documentation says of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from subsecond.config import Settings
from subsecond.setting_values import OF_THE_STACK, PREFIX
from tests.support.template import (
    DOCUMENTATION,
    FOLDERS,
    ROOT,
    SHIPPED,
    WITH_URL,
    settings_of,
)


def test_the_file_of_variables_sets_what_the_template_names(template):
    given = json.loads((ROOT / "events" / "env.json").read_text())
    assert set(given) == set(FOLDERS)
    for function, variables in given.items():
        # `sam local invoke` silently ignores a variable that the template does not name.
        assert set(variables) <= set(template.variables(function))
        Settings.from_env(variables)


def test_every_sam_local_line_names_a_function_an_event_and_the_variables():
    lines = re.findall(r"sam local invoke (\w+) -e (\S+) --env-vars (\S+)", DOCUMENTATION)
    assert {function for function, _, _ in lines} == set(FOLDERS)
    for function, event, variables in lines:
        assert (ROOT / event).is_file()
        assert Path(event).name.startswith(f"{FOLDERS[function]}-")
        assert variables == "events/env.json"
    assert "Docker" in DOCUMENTATION


def test_the_outputs_lead_to_everything(template):
    outputs = template.source["Outputs"]
    plain, live = ({"Fn::Sub": f"${{{name}.FunctionUrl}}v1"} for name in ("StreamingUrl", "StreamingLiveUrl"))
    assert outputs["BaseUrl"]["Value"] == {"Fn::If": ["Versioned", live, plain]}
    assert outputs["PrewarmFunction"]["Value"] == {"Ref": "Prewarm"}
    assert outputs["StateTable"]["Value"] == {"Ref": "State"}
    assert outputs["AnswersTable"]["Value"] == {"Ref": "Answers"}
    assert outputs["Bucket"]["Value"] == {"Ref": "Bucket"}
    assert {f"{name}FunctionUrl" for name in WITH_URL} <= set(outputs)


def test_no_parameter_has_the_name_of_a_resource_that_sam_makes(template):
    assert not set(template.source["Parameters"]) & set(template.resources)


def test_every_parameter_is_used_and_shown(template):
    text = (ROOT / "template.yaml").read_text()
    shown = template.source["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    names = [name for group in shown for name in group["Parameters"]]
    assert sorted(names) == sorted(template.source["Parameters"])
    for name in names:
        assert re.search(rf"(!Ref {name}\b|\$\{{{name}\}})", text), name


def test_every_parameter_is_documented_and_no_other(template):
    parameters = set(template.source["Parameters"])
    operations = (ROOT / "docs" / "operations.md").read_text()
    [listed] = re.findall(r"^\| parameter \| default \|.*\n((?:\|.*\n)+)", DOCUMENTATION, re.MULTILINE)
    rows = [row.split("|")[1] for row in listed.splitlines()]
    named = set(re.findall(r"`(\w+)`", " ".join(rows)))
    assert named <= parameters
    for name, default in re.findall(r"^\| `(\w+)` \| (?:`(.+?)`)? ?\|", listed, re.MULTILINE):
        assert str(template.default(name)) == default
    for text in (DOCUMENTATION, operations):
        # As they are set: on a line, or in the text.
        assert set(re.findall(r"[ `]([A-Z][a-z]\w+)=", text)) <= parameters
    found = set(re.findall(r"`([A-Z][a-z]\w+)[`=]", operations))
    values = {str(value) for one in template.source["Parameters"].values() for value in one.get("AllowedValues", ())}
    others = values | set(template.source["Outputs"]) | set(template.source["Resources"]) | {"ColdStart", "Overloaded"}
    assert found - others <= parameters
    assert parameters <= named | found


def test_every_environment_of_samconfig_sets_parameters_that_there_are(template):
    environments = tomllib.loads((ROOT / "samconfig.toml").read_text())
    assert {"default", "dev", "prod"} <= environments.keys()
    stacks = [one["global"]["parameters"]["stack_name"] for name, one in environments.items() if name != "version"]
    assert len(set(stacks)) == len(stacks)
    for name, environment in environments.items():
        overrides = [] if name == "version" else environment["deploy"]["parameters"].get("parameter_overrides", [])
        for parameter, value in (one.split("=", 1) for one in overrides):
            allowed = template.source["Parameters"][parameter]
            assert value in [str(one) for one in allowed.get("AllowedValues", [value])]
            assert re.fullmatch(allowed.get("AllowedPattern", ".*"), value)


def test_any_other_setting_is_json_or_lies_in_a_parameter(template):
    pattern = template.source["Parameters"]["Settings"]["AllowedPattern"]
    told = '{"max_batch": 128, "ttl_rules": "model:a/b=60"}'
    for text in ("", told, "/subsecond/settings"):
        assert re.fullmatch(pattern, text)
        for function in FOLDERS:
            assert template.variables(function, Settings=text)["SUBSECOND_SETTINGS"] == text
    # A role may read what is named, and of JSON nothing.
    [statement] = template.of_type("AWS::IAM::Policy")["ReadSettings"]["PolicyDocument"]["Statement"]
    name = statement["Resource"]["Fn::Sub"][1]["Name"]
    assert [template.resolve(name, {"Settings": one}) for one in ("", told, "/subsecond/settings")] == [
        "",
        "",
        "/subsecond/settings",
    ]
    assert settings_of(template, "Streaming", Settings=told).max_batch == 128
    assert not re.fullmatch(pattern, "subsecond/settings")


def test_the_catalogues_other_keys_are_named_by_whole_arns(template):
    pattern = template.source["Parameters"]["SecretArns"]["AllowedPattern"]
    secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:groq-??????"
    for text in ("", secret, "arn:aws:secretsmanager:eu-west-1:123456789012:secret:keys/*", f"{secret},{secret}"):
        assert re.fullmatch(pattern, text), text
    assert re.fullmatch(pattern, "arn:aws:ssm:eu-west-1:123456789012:parameter/keys/groq")
    for text in (
        "*",
        "groq",
        f"{secret},",
        f"{secret},*",
        "arn:aws:s3:::bucket",
        "arn:aws:secretsmanager:*:*:secret:*",
    ):
        assert not re.fullmatch(pattern, text), text


def test_conditions_ask_what_the_emulator_and_the_documentation_know(template):
    """Of a parameter's value, or of other conditions: CloudFormation documents no more (and takes it all the same)."""
    asked = json.dumps(template.source["Conditions"])
    assert set(re.findall(r'"(Fn::\w+|Ref|Condition)"', asked)) <= {
        "Fn::Equals",
        "Fn::Not",
        "Fn::Or",
        "Ref",
        "Condition",
    }


def test_what_a_parameter_says_is_not_said_by_the_settings_as_well(template):
    """And nothing else is kept from them: every setting can be set."""
    own = {name.removeprefix(PREFIX).lower() for function in FOLDERS for name in template.variables(function)}
    own &= set(Settings.__dataclass_fields__) - {"ttl"}
    assert own <= OF_THE_STACK.keys()
    for name, parameter in OF_THE_STACK.items():
        assert not parameter or parameter in template.source["Parameters"]
        with pytest.raises(ValueError, match=parameter or "the stack sets it"):
            Settings.from_env({"SUBSECOND_SETTINGS": json.dumps({name: getattr(Settings(), name)})})


def test_the_upstream_is_one_of_the_adapters(template):
    allowed = template.source["Parameters"]["Upstream"]["AllowedValues"]
    files = (SHIPPED / "upstreams").glob("*.py")
    assert set(allowed) == {one.stem for one in files if "\ndef build(" in one.read_text()}
    for function in ("Streaming", "Completion", "Prewarm"):
        assert settings_of(template, function, Upstream="openai_package").upstream == "openai_package"


def test_the_linter_has_nothing_to_say():
    main = "from cfnlint.runner import main; main()"
    command = [sys.executable, "-c", main, "--include-checks", "I", "--template", str(ROOT / "template.yaml")]
    linted = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert linted.stdout == ""
