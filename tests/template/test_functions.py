"""The functions, their settings and their stores, against the code that is deployed."""

from __future__ import annotations

import os
import re

import boto3
import pytest
from moto import mock_aws

from subsecond.config import Settings
from subsecond.semantic.verification.checks import WAITING
from subsecond.semantic.verification.queue import LIFE
from subsecond.setting_values import PREFIX
from subsecond_local.emulator.aws_emulator import create_stores
from subsecond_local.run.stores import Stores
from tests.support.template import (
    ANSWERING,
    FOLDERS,
    ROOT,
    SHIPPED,
    TWO_DAYS,
    WITH_URL,
    settings_of,
)


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
    layers = template.of_type("AWS::Lambda::LayerVersion")
    [shared] = [name for name in layers if name.startswith("Shared")]
    for properties in layers.values():
        assert properties["CompatibleRuntimes"] == ["python3.13"]
        assert properties["CompatibleArchitectures"] == [{"Ref": "Architecture"}]
    for name in FOLDERS:
        function = template.resources[name]["Properties"]
        assert function["Layers"][0] == {"Ref": shared}
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


@pytest.mark.parametrize("function", FOLDERS)
def test_every_variable_is_a_setting_and_fits(function, template):
    fields = {PREFIX + name.upper() for name in (*Settings.__dataclass_fields__, "settings")}
    variables = template.variables(function)
    assert {name for name in variables if name.startswith(PREFIX)} <= fields
    settings = settings_of(template, function)
    assert settings.keys == "dynamodb"
    assert settings.ledger == ("memory" if function in ("Prewarm", "Verify") else "dynamodb")
    assert settings.state_table == "State"
    assert template.variables(function)["OPENBLAS_NUM_THREADS"] == "1"


@pytest.mark.parametrize("function", ANSWERING)
def test_answering_functions_use_the_stores_of_the_stack(function, template):
    settings = settings_of(template, function)
    assert (settings.exact, settings.answers_table, settings.bucket) == ("layered", "Answers", "Bucket")
    assert settings.upstream == "openai"
    assert settings.upstream_url == template.default("UpstreamUrl")


def test_statistics_know_neither_an_upstream_nor_the_answers(template):
    names = template.variables("CacheStats")
    assert not [name for name in names if "UPSTREAM" in name or "ANSWERS" in name]


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
    assert 'f"answers/{' in (SHIPPED / "stores" / "dynamodb" / "answers.py").read_text()
    assert rules[2]["AbortIncompleteMultipartUpload"]


def test_texts_that_wait_for_a_check_are_gone_within_days(template):
    rules = template.of_type("AWS::S3::Bucket")["Bucket"]["LifecycleConfiguration"]["Rules"]
    [rule] = [rule for rule in rules if rule.get("Prefix") == WAITING]
    # The lifecycle's days begin at midnight.
    assert rule["ExpirationInDays"] == LIFE / 86_400 + 1


def test_the_tables_are_those_that_make_run_creates(template):
    with mock_aws():
        create_stores(Stores(None, emulated=False, answers_table="Answers", state_table="State", bucket="bucket"))
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
        # By DynamoDB's own key: `SSEEnabled` would mean a key of the account, which is charged for each call.
        assert "SSESpecification" not in table
    bucket = template.of_type("AWS::S3::Bucket")["Bucket"]
    assert bucket["BucketEncryption"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    [statement] = template.of_type("AWS::S3::BucketPolicy")["BucketPolicy"]["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
