"""What the functions may do, against what their code calls."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from subsecond import bootstrap
from subsecond.config import Settings
from subsecond.setting_values import ADAPTERS, module_of
from subsecond.warmup.prewarm import NOBODY
from tests.support.template import (
    ANSWERING,
    FOLDERS,
    ROOT,
    SHIPPED,
    settings_of,
)

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
AGREE |= {(f"dynamodb:{action}", "State", "owner#*") for action in ("BatchGetItem", "PutItem", "DeleteItem")}
AGREE |= {(f"dynamodb:{action}", "State", "health") for action in ("Query", "UpdateItem")}
CATALOGUE = {("ssm:GetParameter", "CatalogueParameter", ""), ("secretsmanager:GetSecretValue", "CatalogueSecret", "")}
# Of a customer's own key, through the two services that keep secrets.
DECRYPT = {("kms:Decrypt", "KmsKeyArn", "secrets")}
CATALOGUE |= DECRYPT
SECRET = {("secretsmanager:GetSecretValue", "UpstreamSecret", ""), ("ssm:GetParameter", "UpstreamParameter", "")}
SECRET |= DECRYPT
SETTINGS = {("ssm:GetParameter", "Settings", "")} | DECRYPT
# The keys of the catalogue's other servers.
OTHERS = {(action, "SecretArns", "") for action in ("secretsmanager:GetSecretValue", "ssm:GetParameter")}
LIST = {("s3:ListBucket", "Bucket", "")}
# Who reads an object may list, or S3 says 403 of one that is not there.
READ |= LIST
# The index, for those who search it: read, and say what is damaged.
SEARCH = {("s3:GetObject", "index/*", ""), ("s3:PutObject", "index/*/damaged-*", "")}
INVOKE = {("bedrock:InvokeModel", "amazon.titan-embed-text-v2:0", "")}
# The models that answer: those of the parameter, or Nova, by themselves or through a profile.
MODELS = ("BedrockModels", "inference-profile", "application-inference-profile")
ASK = ("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream")
CONVERSE = {(action, model, "") for action in ASK for model in MODELS} | {("bedrock:ApplyGuardrail", "guardrail", "")}
INVOKE |= CONVERSE
MAINTAIN = {(f"s3:{action}", "index/*", "") for action in ("GetObject", "PutObject", "DeleteObject")} | LIST
STREAM = {("dynamodb:" + action, "Answers.StreamArn", "") for action in ("DescribeStream", "GetRecords")}
STREAM |= {("dynamodb:" + action, "Answers.StreamArn", "") for action in ("GetShardIterator", "ListStreams")}
# Lambda does that in the function's name.
FEED = STREAM | {("sqs:SendMessage", "Unindexed", "")}
MEET = {(f"dynamodb:{action}", "State", "prewarm#*") for action in ("GetItem", "UpdateItem")}
# To warm the functions that answer, by their names or the alias, and the lists of prompts.
WARM = {("lambda:InvokeFunction", name, "") for name in ("Streaming", "${Streaming.Arn}:live", "Completion")}
WARM |= {("s3:GetObject", "prewarm/*", "")} | LIST
# No answer, but an answer that nobody has.
WARM |= {("dynamodb:GetItem", "Answers", f"{NOBODY}#{NOBODY}"), ("s3:GetObject", f"answers/{NOBODY}", "")}
# Hits that wait for a check, and what checks have taught.
SAMPLE = {("s3:PutObject", "checks/*", ""), ("s3:GetObject", "accuracy/*", "")}
CHECK = {(f"s3:{action}Object", "accuracy/*", "") for action in ("Get", "Put")}
CHECK |= {(f"s3:{action}Object", "checks/*", "") for action in ("Get", "Delete")} | LIST
ANSWER = SAMPLE | AUTHENTICATE | MEET | COUNT | READ | STORE | AGREE | SECRET | CATALOGUE | OTHERS | SEARCH | INVOKE
ALLOWED = {
    "Streaming": ANSWER,
    "Completion": ANSWER,
    "CacheStats": AUTHENTICATE | COUNT | CATALOGUE | LIST | {("s3:GetObject", "accuracy/*", "")},
    "Prewarm": AUTHENTICATE | SECRET | WARM,
    "Indexer": MAINTAIN | FEED | {("dynamodb:Scan", "Answers", "")},
    "Verify": CHECK | SECRET | CATALOGUE | OTHERS | CONVERSE,
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


ALLOWED = {function: found | SETTINGS for function, found in ALLOWED.items()}


# What is asked of Bedrock over our own transport.
BEDROCK = {
    "/converse": "bedrock:InvokeModel",
    "/converse-stream": "bedrock:InvokeModelWithResponseStream",
    "guardrailConfig": "bedrock:ApplyGuardrail",
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
    # The models: see test_the_models_of_bedrock_are_named. Beside them all profiles, and guardrails.
    if found := re.search(r"BedrockModels|(?<=AccountId\}:)[a-z-]+(?=/\*)", text):
        return found[0]
    if found := re.search(r"\$\{Bucket\.Arn\}/((?:answers|index|prewarm|checks|accuracy)/[^\"]+)", text):
        return found[1]
    assert "*" not in text.replace("??????", "")
    if resource in ({"Fn::Split": [",", {"Ref": "SecretArns"}]}, {"Ref": "KmsKeyArn"}):
        return "SecretArns" if "Fn::Split" in resource else "KmsKeyArn"
    if resource.get("Fn::Sub") == "${Streaming.Arn}:live":
        return "${Streaming.Arn}:live"
    named = r"(?:Upstream|Catalogue)(?:Secret|Parameter)|(?<=Ref.: .)Settings|(?<=foundation-model/)[\w.:-]+"
    [name] = re.findall(named, text)
    return name


def bound(condition) -> str:
    """The leading key that it allows."""
    if condition is None:
        return ""
    [(operator, test)] = condition.items()
    if "kms:ViaService" in test:
        assert {one["Fn::Sub"].split(".")[0] for one in test["kms:ViaService"]} == {"secretsmanager", "ssm"}
        return "secrets"
    [key] = test["dynamodb:LeadingKeys"]
    assert operator == ("ForAllValues:StringLike" if "*" in key else "ForAllValues:StringEquals")
    assert key.count("*") == ("*" in key[-1:])
    return key


@pytest.mark.parametrize("function", FOLDERS)
def test_a_function_may_do_this_and_nothing_else(function, template):
    found = {grant[1:] for grant in grants(template) if grant[0] == f"{function}Role"}
    assert found == ALLOWED[function]
    role = template.resources[f"{function}Role"]["Properties"]
    assert managed(role, template) == ["AWSLambdaBasicExecutionRole"]
    inside = {"VpcSubnets": "subnet-1", "VpcSecurityGroups": "sg-1", "Tracing": "Active"}
    assert managed(role, template, **inside)[1:] == ["AWSLambdaVPCAccessExecutionRole", "AWSXRayDaemonWriteAccess"]
    assert "Policies" not in role
    boundary = "arn:aws:iam::123456789012:policy/developers"
    assert template.resolve(role["PermissionsBoundary"], {}) == "AWS::NoValue"
    assert template.resolve(role["PermissionsBoundary"], {"PermissionsBoundary": boundary}) == boundary


def managed(role, template, **parameters) -> list[str]:
    """The names of AWS's own policies that the role has."""
    arns = (template.resolve(arn, parameters) for arn in role["ManagedPolicyArns"])
    return [arn.rpartition("/")[2] for arn in arns if arn != "AWS::NoValue"]


def test_every_role_is_bounded_and_only_services_take_it(template):
    for name, role in template.of_type("AWS::IAM::Role").items():
        assert role["PermissionsBoundary"]["Fn::If"][0] == "HasBoundary", name
        [statement] = role["AssumeRolePolicyDocument"]["Statement"]
        assert set(statement["Principal"]) == {"Service"}


def test_a_version_waits_for_every_policy_of_its_function(template):
    """Its snapshot has read the index. DependsOn knows no conditions, so a resource made of nothing names them."""
    named = template.source["Resources"]["StreamingAllowed"]["Metadata"]["Policies"]
    assert template.source["Resources"]["StreamingVersion"]["DependsOn"] == "StreamingAllowed"
    policies = template.of_type("AWS::IAM::Policy")
    wanted = {name for name, one in policies.items() if {"Ref": "StreamingRole"} in one["Roles"]}
    assert {(one["Fn::If"][1] if "Fn::If" in one else one)["Ref"] for one in named} == wanted
    for one in named:
        condition, name = (one["Fn::If"][0], one["Fn::If"][1]["Ref"]) if "Fn::If" in one else (None, one["Ref"])
        assert template.source["Resources"][name].get("Condition") == condition


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
    "Verify": {"upstream"},
    "Prewarm": {"keys", "exact", "ledger", "upstream", "hits", "invalidations"},
}
# Of the semantic cache, what those have to do with it that have it not.
CHECKS = {"CacheStats": {"checks", "learned"}, "Verify": {"checks", "queue", "checker", "budget"}}
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
        if function in CHECKS:
            off = off and path.stem not in CHECKS[function]
        elif path.stem == "queue":  # plain servers check, and `Verify`
            off = True
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
        found |= {action for path, action in BEDROCK.items() if f'"{path}"' in source}
        found |= {
            OBJECTS[method] for method in re.findall(r"\bobjects\.(\w+)\(", source.replace("_objects", "objects"))
        }
    return found


@pytest.mark.parametrize("function", FOLDERS)
def test_a_function_may_do_just_what_its_code_calls(function, template):
    chosen = {"SemanticCache": "threshold", "Embedder": "bedrock", "Upstream": "bedrock"}
    parameters = chosen if function in (*ANSWERING, "Verify") else {}
    called = calls(reached(function, settings_of(template, function, **parameters)))
    allowed = {action for action, _, _ in ALLOWED[function] - SECRET - CATALOGUE - SETTINGS - OTHERS - FEED}
    if function == "Prewarm":
        # It only touches: the writing half of the stores' files is never called there. It may list, so that S3
        # says 404 of what is not there.
        assert allowed - {"s3:ListBucket"} < called
    elif function == "CacheStats":
        # Samples are written by those that answer. It may list, as above.
        assert allowed - {"s3:ListBucket"} == called - {"s3:PutObject"}
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


def test_the_models_of_bedrock_are_named(template):
    """In every region, as a profile asks where it likes; no model that was not chosen."""
    policy = template.source["Resources"]["AskModels"]
    assert policy["Condition"] == "AsksModels"
    first = policy["Properties"]["PolicyDocument"]["Statement"][0]
    chosen = {"BedrockModels": "anthropic.claude-opus-4-6-v1,amazon.nova-*"}
    assert template.resolve(first["Resource"], chosen) == [
        "arn:aws:bedrock:*::foundation-model/anthropic.claude-opus-4-6-v1",
        "arn:aws:bedrock:*::foundation-model/amazon.nova-*",
    ]
    usual = [one["Fn::Sub"].rpartition("/")[2] for one in template.resolve(first["Resource"], {})]
    for function in (*ANSWERING, "Prewarm", "Verify"):
        told = template.variables(function, Upstream="bedrock")
        assert told["SUBSECOND_BEDROCK_MODELS"].split(",") == usual
        assert template.variables(function, **chosen)["SUBSECOND_BEDROCK_MODELS"] == chosen["BedrockModels"]
    assert not template.holds("AsksModels", {})
    assert template.holds("AsksModels", {"Upstream": "bedrock"})
    assert template.holds("AsksModels", chosen)  # for the regions of a catalogue
