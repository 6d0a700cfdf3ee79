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
from subsecond.config import ADAPTERS, PREFIX, Settings, module_of
from subsecond.warmup import warm_environments as fleet
from subsecond.warmup.prewarm import NOBODY
from subsecond_local.emulator.aws_emulator import create_stores
from subsecond_local.run.stores import Stores

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "shared" / "subsecond"
FOLDERS = {
    "Streaming": "streaming",
    "Completion": "completion",
    "CacheStats": "cache_stats",
    "Prewarm": "prewarm",
    "Indexer": "indexer",
}
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
    assert template.variables(function)["OPENBLAS_NUM_THREADS"] == "1"


@pytest.mark.parametrize("function", ANSWERING)
def test_answering_functions_use_the_stores_of_the_stack(function, template):
    settings = settings_of(template, function)
    assert (settings.exact, settings.answers_table, settings.bucket) == ("layered", "Answers", "Bucket")
    assert settings.upstream == "openai"
    assert settings.upstream_url == template.default("UpstreamUrl")


# The semantic cache

SEMANTIC = {"SemanticCache": "threshold"}


def layers_of(template, function, **parameters):
    """The logical ids of the layers that it has then."""
    found = template.resources[function]["Properties"]["Layers"]
    return [name for name in (template.resolve(layer, parameters) for layer in found) if name != "AWS::NoValue"]


def test_the_semantic_cache_is_what_the_settings_say_until_it_is_chosen(template):
    policy = template.source["Parameters"]["SemanticCache"]
    assert policy["Default"] == Settings().semantic
    assert template.default("Embedder") == Settings().embedder
    policies = {path.stem for path in (SHIPPED / "semantic" / "policies").glob("[!_]*.py")}
    assert policies | {"off"} <= set(policy["AllowedValues"])
    embedders = {path.stem for path in (SHIPPED / "semantic" / "embedders").glob("[!_]*.py")} - {"hashing"}
    assert set(template.source["Parameters"]["Embedder"]["AllowedValues"]) == embedders


@pytest.mark.parametrize("function", ANSWERING)
def test_answering_functions_read_the_index_that_the_indexer_writes(function, template):
    indexer = settings_of(template, "Indexer")
    reader = settings_of(template, function, **SEMANTIC, Embedder="bedrock")
    assert (reader.semantic, reader.embedder) == ("threshold", "bedrock")
    assert (reader.objects, reader.bucket, reader.answers_table) == ("s3", "Bucket", "Answers")
    assert (indexer.objects, indexer.bucket, indexer.answers_table) == ("s3", "Bucket", "Answers")
    # A quarter of an index may be garbage, and the whole of it is in memory.
    assert reader.index_memory >= indexer.index_bytes * 4 / 3
    used = 150 * 1024 * 1024 + reader.index_memory
    assert template.source["Parameters"]["MemorySize"]["MinValue"] * 1024 * 1024 >= used
    assert indexer.store_timeout == 10


@pytest.mark.parametrize("function", FOLDERS)
def test_the_second_layer_comes_with_its_embedder_and_only_to_those_who_embed(function, template):
    names = [name.removesuffix(name[6:]) for name in layers_of(template, function, Embedder="minilm")]
    assert names == (["Shared", "MiniLm"] if function in ANSWERING else ["Shared"])
    assert len(layers_of(template, function)) == 1
    [layer] = [one for one in template.source["Resources"].values() if one.get("Condition") == "MiniLm"]
    assert layer["Type"] == "AWS::Serverless::LayerVersion"


def test_the_indexer_gets_the_streams_records_at_once_and_none_can_block_them_for_ever(template):
    mapping = template.source["Resources"]["Indexing"]
    properties = mapping["Properties"]
    assert mapping["Condition"] == "Semantic"
    assert mapping["DependsOn"] == "Index"
    assert properties["EventSourceArn"] == {"Fn::GetAtt": ["Answers", "StreamArn"]}
    assert properties["FunctionName"] == {"Ref": "Indexer"}
    assert properties["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert 100 <= properties["BatchSize"] <= 500
    assert properties["MaximumBatchingWindowInSeconds"] <= 1
    assert properties["BisectBatchOnFunctionError"] is True
    assert 0 < properties["MaximumRetryAttempts"] <= 100
    assert 0 < properties["MaximumRecordAgeInSeconds"] < 86_400
    assert properties["DestinationConfig"] == {"OnFailure": {"Destination": {"Fn::GetAtt": ["Unindexed", "Arn"]}}}
    stream = template.of_type("AWS::DynamoDB::Table")["Answers"]["StreamSpecification"]
    assert stream == {"StreamViewType": "NEW_AND_OLD_IMAGES"}


def test_without_the_semantic_cache_nothing_of_it_runs_or_may_be_read(template):
    assert {
        name for name, one in template.source["Resources"].items() if one.get("Condition") in ("Semantic", "Bedrock")
    } == {"Indexing", "ReadIndex", "AskBedrock"}
    assert not template.holds("Semantic", {"SemanticCache": "off"})
    assert template.holds("Semantic", {})
    assert not template.holds("Bedrock", {})
    assert template.holds("Bedrock", {"Embedder": "bedrock"})


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
    assert 'f"answers/{' in (SHIPPED / "stores" / "dynamodb" / "answers.py").read_text()
    assert rules[1]["AbortIncompleteMultipartUpload"]


# Stores


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
        assert table["SSESpecification"] == {"SSEEnabled": True}
    bucket = template.of_type("AWS::S3::Bucket")["Bucket"]
    assert bucket["BucketEncryption"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    [statement] = template.of_type("AWS::S3::BucketPolicy")["BucketPolicy"]["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


# Policies

AUTHENTICATE = {("dynamodb:GetItem", "State", "keys")}
COUNT = {("dynamodb:UpdateItem", "State", "stats#*"), ("dynamodb:Query", "State", "stats#*")}
READ = {
    ("dynamodb:GetItem", "Answers", ""),
    ("dynamodb:BatchGetItem", "Answers", ""),
    ("s3:GetObject", "answers/*", ""),
}
STORE = {
    ("dynamodb:UpdateItem", "Answers", ""),
    ("dynamodb:DeleteItem", "Answers", ""),
    ("s3:PutObject", "answers/*", ""),
}
AGREE = {(f"dynamodb:{action}", "State", "flight#*") for action in ("GetItem", "PutItem", "UpdateItem")}
AGREE |= {(f"dynamodb:{action}", "State", "rules#*") for action in ("Query", "PutItem", "DeleteItem")}
AGREE |= {(f"dynamodb:{action}", "State", "hit#*") for action in ("GetItem", "PutItem")}
AGREE |= {(f"dynamodb:{action}", "State", "health") for action in ("Query", "UpdateItem")}
CATALOGUE = {("ssm:GetParameter", "CatalogueParameter", "")}
AGREE |= CATALOGUE
SECRET = {("secretsmanager:GetSecretValue", "UpstreamSecret", ""), ("ssm:GetParameter", "UpstreamParameter", "")}
LIST = {("s3:ListBucket", "Bucket", "")}
# The index, for those who search it: read, and say what is damaged.
SEARCH = {("s3:GetObject", "index/*", ""), ("s3:PutObject", "index/*/damaged-*", "")} | LIST
INVOKE = {("bedrock:InvokeModel", "amazon.titan-embed-text-v2:0", "")}
MAINTAIN = {(f"s3:{action}", "index/*", "") for action in ("GetObject", "PutObject", "DeleteObject")} | LIST
STREAM = {("dynamodb:" + action, "Answers.StreamArn", "") for action in ("DescribeStream", "GetRecords")}
STREAM |= {("dynamodb:" + action, "Answers.StreamArn", "") for action in ("GetShardIterator", "ListStreams")}
# Lambda does that in the function's name.
FEED = STREAM | {("sqs:SendMessage", "Unindexed", "")}
MEET = {(f"dynamodb:{action}", "State", "prewarm#*") for action in ("GetItem", "UpdateItem")}
# To warm the functions that answer, by their names or the alias, and the lists of prompts.
WARM = {("lambda:InvokeFunction", name, "") for name in ("Streaming", "${Streaming.Arn}:live", "Completion")}
WARM |= {("s3:GetObject", "prewarm/*", "")}
# No answer, but an answer that nobody has.
WARM |= {("dynamodb:GetItem", "Answers", f"{NOBODY}#{NOBODY}"), ("s3:GetObject", f"answers/{NOBODY}", "")}
ANSWER = AUTHENTICATE | MEET | COUNT | READ | STORE | AGREE | SECRET | SEARCH | INVOKE
ALLOWED = {
    "Streaming": ANSWER,
    "Completion": ANSWER,
    "CacheStats": AUTHENTICATE | COUNT | CATALOGUE,
    "Prewarm": AUTHENTICATE | SECRET | WARM,
    "Indexer": MAINTAIN | FEED | {("dynamodb:Scan", "Answers", "")},
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
    "invoke_model": "bedrock:InvokeModel",
    "invoke": "lambda:InvokeFunction",
}


def grants(template):
    """(role, action, resource, the partition it is bound to) of every statement that names a function's role."""
    for properties in template.of_type("AWS::IAM::Policy").values():
        for statement in properties["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            actions = statement["Action"]
            for action in [actions] if isinstance(actions, str) else actions:
                resources = statement["Resource"]
                for resource in resources if isinstance(resources, list) else [resources]:
                    for role in properties["Roles"]:
                        yield role["Ref"], action, place(resource), bound(statement.get("Condition"))


def place(resource) -> str:
    if "Fn::GetAtt" in resource:
        return ".".join(resource["Fn::GetAtt"]).removesuffix(".Arn")
    text = json.dumps(resource)
    assert '"*"' not in text
    if found := re.search(r"\$\{Bucket\.Arn\}/((?:answers|index|prewarm)/[^\"]+)", text):
        return found[1]
    assert "*" not in text.replace("??????", "")
    if resource.get("Fn::Sub") == "${Streaming.Arn}:live":
        return "${Streaming.Arn}:live"
    [name] = re.findall(r"Upstream(?:Secret|Parameter)|CatalogueParameter|(?<=foundation-model/)[\w.:-]+", text)
    return name


def bound(condition) -> str:
    """The leading key that it allows."""
    if condition is None:
        return ""
    [(operator, test)] = condition.items()
    [key] = test["dynamodb:LeadingKeys"]
    assert operator == ("ForAllValues:StringLike" if "*" in key else "ForAllValues:StringEquals")
    assert key.count("*") == ("*" in key[-1:])
    return key


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


# The ports of each function; without a word here: all of them.
PORTS = {
    "Indexer": {"objects"},
    "CacheStats": {"keys", "exact", "ledger", "upstream"},
    "Prewarm": {"keys", "exact", "ledger", "upstream", "hits", "invalidations"},
}
# What an object store is asked for, as IAM calls it.
OBJECTS = {
    "get": "s3:GetObject",
    "put": "s3:PutObject",
    "put_if": "s3:PutObject",
    "listed": "s3:ListBucket",
    "delete": "s3:DeleteObject",
}


def reached(function: str, settings: Settings) -> set[Path]:
    """The files that a function can run: what its handler imports, and the adapters that its settings name."""
    waiting = imported(ROOT / "functions" / FOLDERS[function] / "app.py")
    ports = PORTS.get(function, set(ADAPTERS))
    if settings.semantic == "off" and function != "Indexer":
        ports -= set(bootstrap.SEMANTIC)
    waiting |= {module_of(port, getattr(settings, port)) for port in ports}
    found: set[Path] = set()
    while waiting:
        path = SHIPPED.parent / (waiting.pop().replace(".", "/") + ".py")
        off = settings.semantic == "off" and path.is_relative_to(SHIPPED / "semantic")
        if path.is_file() and path not in found and (function == "Indexer" or not off):
            found.add(path)
            waiting |= imported(path)
    return found


def calls(files: set[Path]) -> set[str]:
    """The actions that these files ask of AWS."""
    found = set()
    for path in files:
        source = path.read_text()
        # The way there, and the object store's adapter, which can do more than is asked of it.
        if path.parent.name in ("aws", "s3"):
            continue
        called = set(re.findall(r"\.(\w+)\(", source)) & set(METHODS)
        found |= {METHODS[method] for method in called | set(re.findall(r'get_paginator\("(\w+)"\)', source))}
        found |= {
            OBJECTS[method] for method in re.findall(r"\bobjects\.(\w+)\(", source.replace("_objects", "objects"))
        }
    return found


@pytest.mark.parametrize("function", FOLDERS)
def test_a_function_may_do_just_what_its_code_calls(function, template):
    parameters = {"SemanticCache": "threshold", "Embedder": "bedrock"} if function in ANSWERING else {}
    called = calls(reached(function, settings_of(template, function, **parameters)))
    allowed = {action for action, _, _ in ALLOWED[function] - SECRET - CATALOGUE - FEED}
    if function == "Prewarm":
        # It only touches: the writing half of the stores' files is never called there.
        assert allowed < called
    elif function == "Indexer":
        # To embed anew is the command line's.
        assert allowed == called - {"dynamodb:UpdateItem"}
    else:
        assert allowed == called


def test_only_a_stored_secret_can_be_read_and_only_where_one_is_named(template):
    policies = template.source["Resources"]
    assert policies["ReadSecret"]["Condition"] == "HasSecret"
    assert policies["ReadParameter"]["Condition"] == "HasParameter"


def test_the_models_health_is_shared_only_where_a_catalogue_is_named(template):
    policies = template.of_type("AWS::IAM::Policy", source=True)
    about = {
        name
        for name, one in policies.items()
        if any(bound(st.get("Condition")) == "health" for st in one["PolicyDocument"]["Statement"])
    }
    assert about == {"AgreeOnHealth"}
    assert template.source["Resources"]["AgreeOnHealth"]["Condition"] == "HasCatalogue"


# Faces and events


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


def test_schedules_are_off_until_asked_for_and_send_the_event_in_the_folder(template):
    schedules = template.of_type("AWS::Scheduler::Schedule")
    states = {
        "IndexerSchedule": {"UpkeepState": "ENABLED"},
        "PrewarmSchedule": {"WarmMode": "Ping"},
        "PrewarmLists": {"PrewarmPrompts": "default:default"},
    }
    events = {
        "IndexerSchedule": "indexer-schedule",
        "PrewarmSchedule": "prewarm-schedule",
        "PrewarmLists": "prewarm-prompts",
    }
    assert set(schedules) == set(states)
    for name, schedule in schedules.items():
        assert template.resolve(schedule["State"], {}) == "DISABLED"
        assert template.resolve(schedule["State"], states[name]) == "ENABLED"
        assert json.loads(schedule["Target"]["Input"]) == json.loads((ROOT / f"events/{events[name]}.json").read_text())


# Warm environments


def test_versions_come_with_the_modes_that_need_them_and_the_url_is_theirs(template):
    versioned = {name for name, one in template.source["Resources"].items() if one.get("Condition") == "Versioned"}
    assert versioned == {
        "StreamingParts",
        "StreamingVersion",
        "StreamingLive",
        "StreamingLiveUrl",
        "StreamingLiveUrlPermission",
        "StreamingLiveInvokePermission",
    }
    modes = template.source["Parameters"]["WarmMode"]["AllowedValues"]
    assert {mode for mode in modes if template.holds("Versioned", {"WarmMode": mode})} == {"SnapStart", "Provisioned"}
    applied = template.resources["Streaming"]["Properties"]["SnapStart"]["ApplyOn"]
    for mode in modes:
        wanted = "PublishedVersions" if mode == "SnapStart" else "None"
        assert template.resolve(applied, {"WarmMode": mode}) == wanted
    plain, live = (template.resources[name]["Properties"] for name in ("StreamingUrl", "StreamingLiveUrl"))
    for name in ("AuthType", "InvokeMode", "Cors"):
        assert plain[name] == live[name]


def texts_of_the_version(template):
    """What stands in the texts of the layer that a version is told apart by."""
    layer = template.source["Resources"]["StreamingParts"]
    assert layer["Condition"] == "Versioned"
    return [layer["Properties"][name]["Fn::Sub"] for name in ("Description", "LicenseInfo")]


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
    described = template.resolve(template.resources["StreamingVersion"]["Properties"]["Description"], parameters)
    # Lambda publishes no version of a function that is the same as before: what is named is the function's as well.
    assert set(described.split()) == set(layers_of(template, "Streaming", **parameters))
    assert len(described.split()) == (3 if "Embedder" in parameters else 2)
    code = template.source["Resources"]["StreamingParts"]["Properties"]["Content"]
    assert code == template.functions["Streaming"]["CodeUri"]
    arn = "arn:aws-us-gov:lambda:ap-southeast-1:123456789012:layer:StreamingParts:123456"
    assert len(" ".join([arn] * 3)) <= 256


def longest(parameter) -> str:
    return "x" * (parameter.get("MaxLength") or max(len(str(one)) for one in parameter["AllowedValues"]))


def test_the_texts_of_a_version_hold_the_longest_parameters(template):
    parameters = template.source["Parameters"]
    values = {name: "9" * len(str(one["MaxValue"])) for name, one in parameters.items() if "MaxValue" in one}
    values |= {name: longest(one) for name, one in parameters.items() if "MaxLength" in one or "AllowedValues" in one}
    for text, limit in zip(texts_of_the_version(template), (256, 512), strict=True):
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
    assert end["ScalableTargetAction"] == {"MinCapacity": 0, "MaxCapacity": 0}


def test_the_prewarming_function_warms_those_that_answer(template):
    settings = settings_of(template, "Prewarm", WarmEnvironments="3", PrewarmPrompts="a:b,c:d")
    assert settings.warm_functions == "Streaming,Completion"
    assert settings_of(template, "Prewarm", WarmMode="SnapStart").warm_functions == "StreamingLive,Completion"
    assert (settings.warm_environments, settings.warm_prompts) == (3, "a:b,c:d")
    # A prompt may take as long as any, and is begun until fleet.LONGEST.
    assert settings.total_timeout + fleet.LONGEST < template.functions["Prewarm"]["Timeout"] <= 900
    assert template.source["Parameters"]["WarmEnvironments"]["MaxValue"] == fleet.MOST


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


def test_the_linter_has_nothing_to_say():
    main = "from cfnlint.runner import main; main()"
    command = [sys.executable, "-c", main, "--include-checks", "I", "--template", str(ROOT / "template.yaml")]
    linted = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert linted.stdout == ""
