"""The template against the code that it deploys."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from subsecond import bootstrap
from subsecond.config import PREFIX, Settings
from subsecond_local.stand_in import create_stores
from subsecond_local.stores import Stores

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "shared" / "subsecond"
FOLDERS = {"Streaming": "streaming", "Completion": "completion", "CacheStats": "cache_stats", "Prewarm": "prewarm"}
ANSWERING = ("Streaming", "Completion")
WITH_URL = (*ANSWERING, "CacheStats")
TWO_DAYS = 2 * 86_400
DOCUMENTATION = (ROOT / "README.md").read_text()


# Functions


def test_every_folder_of_functions_is_deployed_and_holds_its_handler(template):
    assert set(template.functions) == set(FOLDERS)
    assert {path.parent.name for path in ROOT.glob("functions/*/app.py")} == set(FOLDERS.values())
    for name, function in template.functions.items():
        assert function["CodeUri"] == f"functions/{FOLDERS[name]}/"
        assert template.resources[name]["Properties"]["Handler"] == "app.handler"
        source = (ROOT / function["CodeUri"] / "app.py").read_text()
        assert re.search(r"^(def handler\(|handler = )", source, re.MULTILINE)
        assert source.count("\n") <= 40


def test_every_function_has_the_layer_and_one_architecture_with_it(template):
    [(layer, properties)] = template.of_type("AWS::Lambda::LayerVersion").items()
    assert properties["CompatibleRuntimes"] == ["python3.13"]
    assert properties["CompatibleArchitectures"] == [{"Ref": "Architecture"}]
    for name in FOLDERS:
        function = template.resources[name]["Properties"]
        assert function["Layers"] == [{"Ref": layer}]
        assert function["Runtime"] == "python3.13"
        assert function["Architectures"] == [{"Ref": "Architecture"}]


def test_the_streaming_function_alone_streams_through_the_wrapper_at_the_layers_root(template):
    for name in WITH_URL:
        streams = name == "Streaming"
        mode = template.resources[f"{name}Url"]["Properties"]["InvokeMode"]
        assert mode == ("RESPONSE_STREAM" if streams else "BUFFERED")
        wrapper = template.variables(name).get("AWS_LAMBDA_EXEC_WRAPPER")
        assert wrapper == ("/opt/stream-runtime" if streams else None)
    assert os.access(ROOT / "shared" / "stream-runtime", os.X_OK)


def test_functions_outlive_the_longest_upstream_call_and_its_records(template):
    for name in ANSWERING:
        settings = settings_of(template, name)
        function = template.functions[name]
        assert settings.total_timeout + 4 * settings.store_timeout < function["Timeout"] <= 900


def test_reserved_concurrency_is_a_ceiling_only_where_one_is_set(template):
    for name in WITH_URL:
        value = template.functions[name]["ReservedConcurrentExecutions"]
        assert template.resolve(value, {}) == "AWS::NoValue"
        assert int(template.resolve(value, {"ReservedConcurrency": "5"})) in (2, 5)


def test_every_function_logs_to_a_group_of_its_own_that_forgets(template):
    groups = template.of_type("AWS::Logs::LogGroup")
    used = [template.resources[name]["Properties"]["LoggingConfig"]["LogGroup"]["Ref"] for name in FOLDERS]
    assert sorted(used) == sorted(groups)
    assert all(group["RetentionInDays"] == {"Ref": "LogRetentionDays"} for group in groups.values())


# Settings


def settings_of(template, function, **parameters) -> Settings:
    found = template.variables(function, **parameters)
    return Settings.from_env({name: str(value) for name, value in found.items()})


@pytest.mark.parametrize("function", FOLDERS)
def test_every_variable_is_a_setting_and_fits(function, template):
    fields = {PREFIX + name.upper() for name in Settings.__dataclass_fields__}
    variables = template.variables(function)
    assert {name for name in variables if name.startswith(PREFIX)} <= fields
    settings = settings_of(template, function)
    assert settings.keys == "dynamodb"
    assert settings.ledger == ("memory" if function == "Prewarm" else "dynamodb")
    assert settings.state_table == "State"


@pytest.mark.parametrize("function", ANSWERING)
def test_answering_functions_use_the_stores_of_the_stack(function, template):
    settings = settings_of(template, function)
    assert (settings.exact, settings.answers_table, settings.bucket) == ("layered", "Answers", "Bucket")
    assert settings.upstream == "openai"
    assert settings.upstream_url == template.default("UpstreamUrl")


def test_statistics_know_neither_an_upstream_nor_the_answers(template):
    names = template.variables("CacheStats")
    assert not [name for name in names if "UPSTREAM" in name or "ANSWERS" in name or "BUCKET" in name]


@pytest.mark.parametrize("function", FOLDERS)
def test_no_secret_stands_in_a_variable(function, template):
    assert "SUBSECOND_UPSTREAM_KEY" not in template.variables(function)
    assert template.resources[function]["Properties"]["Environment"]["Variables"]["SUBSECOND_API_KEY"] == ""


@pytest.mark.parametrize(
    ("parameters", "reference"),
    [
        ({}, ""),
        ({"UpstreamSecret": "openai"}, "secretsmanager:openai"),
        ({"UpstreamSecret": "keys#openai"}, "secretsmanager:keys#openai"),
        ({"UpstreamParameter": "/subsecond/openai"}, "ssm:/subsecond/openai"),
    ],
)
def test_the_upstreams_key_is_named_by_a_reference(parameters, reference, template):
    assert template.variables("Streaming", **parameters)["SUBSECOND_UPSTREAM_SECRET"] == reference
    for name, value in parameters.items():
        assert re.fullmatch(template.source["Parameters"][name]["AllowedPattern"], value)


def test_objects_outlive_the_items_that_point_to_them(template):
    for days, row in template.source["Mappings"]["Keep"].items():
        seconds = int(row["Seconds"])
        assert seconds == int(days) * 86_400
        # DynamoDB deletes an expired item within two days.
        assert row["ObjectDays"] * 86_400 > seconds + TWO_DAYS
    allowed = template.source["Parameters"]["KeepDays"]["AllowedValues"]
    assert [str(days) for days in allowed] == list(template.source["Mappings"]["Keep"])
    rules = template.of_type("AWS::S3::Bucket")["Bucket"]["LifecycleConfiguration"]["Rules"]
    assert rules[0]["Prefix"] == "answers/"
    assert 'f"answers/{' in (SHIPPED / "cache" / "dynamodb.py").read_text()
    assert rules[1]["AbortIncompleteMultipartUpload"]


# Stores


def test_the_tables_are_those_that_make_run_creates(template):
    with mock_aws():
        create_stores(Stores(None, stand_in=False, answers_table="Answers", state_table="State", bucket="bucket"))
        dynamodb = boto3.client("dynamodb")
        for name, table in template.of_type("AWS::DynamoDB::Table").items():
            made = dynamodb.describe_table(TableName=name)["Table"]
            assert made["KeySchema"] == table["KeySchema"]
            assert made["AttributeDefinitions"] == table["AttributeDefinitions"]
            stream = made.get("StreamSpecification", {}).get("StreamViewType")
            assert stream == table.get("StreamSpecification", {}).get("StreamViewType")
            ttl = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
            assert ttl["AttributeName"] == table["TimeToLiveSpecification"]["AttributeName"]


def test_the_stores_are_encrypted_and_cost_nothing_idle(template):
    for table in template.of_type("AWS::DynamoDB::Table").values():
        assert table["BillingMode"] == "PAY_PER_REQUEST"
        assert table["SSESpecification"] == {"SSEEnabled": True}
    bucket = template.of_type("AWS::S3::Bucket")["Bucket"]
    assert bucket["BucketEncryption"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    [statement] = template.of_type("AWS::S3::BucketPolicy")["BucketPolicy"]["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


# Policies

KEYS = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["keys"]}}
STATISTICS = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["stats#*"]}}
OBJECTS = {"Fn::Sub": "${Bucket.Arn}/answers/*"}
AUTHENTICATE = {("dynamodb:GetItem", "State", "keys")}
COUNT = {("dynamodb:UpdateItem", "State", "stats#*"), ("dynamodb:Query", "State", "stats#*")}
READ = {("dynamodb:GetItem", "Answers", ""), ("s3:GetObject", "answers/*", "")}
STORE = {("dynamodb:PutItem", "Answers", ""), ("s3:PutObject", "answers/*", "")}
SECRET = {("secretsmanager:GetSecretValue", "UpstreamSecret", ""), ("ssm:GetParameter", "UpstreamParameter", "")}
ALLOWED = {
    "Streaming": AUTHENTICATE | COUNT | READ | STORE | SECRET,
    "Completion": AUTHENTICATE | COUNT | READ | STORE | SECRET,
    "CacheStats": AUTHENTICATE | COUNT,
    "Prewarm": AUTHENTICATE | READ | SECRET,
}
# What boto3 calls a method, IAM calls an action.
METHODS = {
    "get_item": "dynamodb:GetItem",
    "put_item": "dynamodb:PutItem",
    "update_item": "dynamodb:UpdateItem",
    "delete_item": "dynamodb:DeleteItem",
    "query": "dynamodb:Query",
    "scan": "dynamodb:Scan",
    "batch_get_item": "dynamodb:BatchGetItem",
    "batch_write_item": "dynamodb:BatchWriteItem",
    "transact_get_items": "dynamodb:GetItem",
    "transact_write_items": "dynamodb:PutItem",
    "get_object": "s3:GetObject",
    "put_object": "s3:PutObject",
    "delete_object": "s3:DeleteObject",
    "list_objects_v2": "s3:ListBucket",
}


def grants(template):
    """(role, action, resource, the partition it is bound to) of every statement that names a function's role."""
    for properties in template.of_type("AWS::IAM::Policy").values():
        for statement in properties["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            actions = statement["Action"]
            for action in [actions] if isinstance(actions, str) else actions:
                for role in properties["Roles"]:
                    yield role["Ref"], action, place(statement["Resource"]), bound(statement.get("Condition"))


def place(resource) -> str:
    if "Fn::GetAtt" in resource:
        return resource["Fn::GetAtt"][0]
    if resource == OBJECTS:
        return "answers/*"
    text = json.dumps(resource)
    [name] = re.findall(r"Upstream(?:Secret|Parameter)", text)
    assert '"*"' not in text
    assert "*" not in text.replace("??????", "")
    return name


def bound(condition) -> str:
    return {json.dumps(KEYS): "keys", json.dumps(STATISTICS): "stats#*", "null": ""}[json.dumps(condition)]


@pytest.mark.parametrize("function", FOLDERS)
def test_a_function_may_do_this_and_nothing_else(function, template):
    found = {grant[1:] for grant in grants(template) if grant[0] == f"{function}Role"}
    assert found == ALLOWED[function]
    role = template.resources[f"{function}Role"]["Properties"]
    assert [arn.rpartition("/")[2] for arn in role["ManagedPolicyArns"]] == ["AWSLambdaBasicExecutionRole"]
    assert "Policies" not in role


def imported(path: Path) -> set[str]:
    """The modules of ours that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "subsecond":
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def reached(function: str, settings: Settings) -> set[Path]:
    """The files that a function can run: what its handler imports, and the adapters that its settings name."""
    waiting = imported(ROOT / "functions" / FOLDERS[function] / "app.py")
    waiting |= {f"subsecond.{folder}.{getattr(settings, port)}" for port, folder in bootstrap.FOLDERS.items()}
    found: set[Path] = set()
    while waiting:
        path = SHIPPED.parent / (waiting.pop().replace(".", "/") + ".py")
        if path.is_file() and path not in found:
            found.add(path)
            waiting |= imported(path)
    return found


@pytest.mark.parametrize("function", FOLDERS)
def test_a_function_may_do_just_what_its_code_calls(function, template):
    source = "\n".join(path.read_text() for path in reached(function, settings_of(template, function)))
    called = set(re.findall(r"\.(\w+)\(", source)) & set(METHODS) | set(re.findall(r'get_paginator\("(\w+)"\)', source))
    allowed = {action for action, _, _ in ALLOWED[function] - SECRET}
    calls = {METHODS[method] for method in called}
    # It only touches: the writing half of the store's file is never called there.
    assert allowed < calls if function == "Prewarm" else allowed == calls


def test_only_a_stored_secret_can_be_read_and_only_where_one_is_named(template):
    policies = template.source["Resources"]
    assert policies["ReadSecret"]["Condition"] == "HasSecret"
    assert policies["ReadParameter"]["Condition"] == "HasParameter"


# Faces and events


def test_the_urls_are_public_because_the_app_checks_the_key(template):
    urls = template.of_type("AWS::Lambda::Url")
    assert set(urls) == {f"{name}Url" for name in WITH_URL}
    for name in WITH_URL:
        url = urls[f"{name}Url"]
        assert url["AuthType"] == "NONE"
        assert "authorization" in url["Cors"]["AllowHeaders"]
        actions = [
            permission["Action"]
            for permission in template.of_type("AWS::Lambda::Permission").values()
            if permission["FunctionName"] == {"Ref": name}
        ]
        assert sorted(actions) == ["lambda:InvokeFunction", "lambda:InvokeFunctionUrl"]


def test_schedules_are_off_until_asked_for_and_send_the_event_in_the_folder(template):
    schedules = template.of_type("AWS::Scheduler::Schedule")
    assert len(schedules) == 2
    assert template.default("PrewarmState") == "DISABLED"
    for schedule in schedules.values():
        target = schedule["Target"]
        assert schedule["State"] == {"Ref": "PrewarmState"}
        event = ROOT / "events" / f"{FOLDERS[target['Arn']['Fn::GetAtt'][0]]}-schedule.json"
        assert json.loads(target["Input"]) == json.loads(event.read_text())


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
    assert outputs["BaseUrl"]["Value"] == {"Fn::Sub": "${StreamingUrl.FunctionUrl}v1"}
    assert outputs["StateTable"]["Value"] == {"Ref": "State"}
    assert outputs["AnswersTable"]["Value"] == {"Ref": "Answers"}
    assert outputs["Bucket"]["Value"] == {"Ref": "Bucket"}
    assert {f"{name}FunctionUrl" for name in WITH_URL} <= set(outputs)


def test_every_parameter_is_used_and_shown(template):
    text = (ROOT / "template.yaml").read_text()
    shown = template.source["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    names = [name for group in shown for name in group["Parameters"]]
    assert sorted(names) == sorted(template.source["Parameters"])
    for name in names:
        assert re.search(rf"(!Ref {name}\b|\$\{{{name}\}})", text), name


def test_the_linter_has_nothing_to_say():
    main = "from cfnlint.runner import main; main()"
    command = [sys.executable, "-c", main, "--include-checks", "I", "--template", str(ROOT / "template.yaml")]
    linted = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert linted.stdout == ""
