"""The semantic cache in the template: layers, index, stream and schedule come with it."""

from __future__ import annotations

import json

import pytest

from subsecond.config import Settings
from subsecond.semantic.index.records import changes_of
from tests.support.template import (
    ANSWERING,
    FOLDERS,
    ROOT,
    SHIPPED,
    layers_of,
    settings_of,
)

SEMANTIC = {"SemanticCache": "threshold"}


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


def passes(pattern, record) -> bool:
    """Whether Lambda's event filter lets a record through: names lead down, a list holds what a leaf may be. `exists`
    is for leaves alone (AWS Lambda's guide, "Filter rule syntax")."""
    for name, wanted in pattern.items():
        value = record.get(name) if isinstance(record, dict) else None
        if isinstance(wanted, dict):
            if not passes(wanted, value):
                return False
        elif not any(
            value == one if not isinstance(one, dict) else one["exists"] == (value is not None) for one in wanted
        ):
            return False
    return True


def image(**fields):
    record, *_ = json.loads((ROOT / "events/indexer-insert.json").read_text())["Records"]
    found = record["dynamodb"]["NewImage"] | fields
    return {name: value for name, value in found.items() if value is not None}


TTL = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
RECORDS = {
    "stored": (True, {"NewImage": image()}, None),
    "served": (True, {"NewImage": image(used={"N": "1795410999"}), "OldImage": image()}, None),
    "replaced without a vector": (True, {"NewImage": image(vector=None), "OldImage": image()}, None),
    "deleted by us": (True, {"OldImage": image()}, None),
    "deleted by TTL": (False, {"OldImage": image(expires={"N": "1"})}, TTL),
    "stored without a vector": (False, {"NewImage": image(vector=None)}, None),
    "deleted without a vector": (False, {"OldImage": image(vector=None)}, None),
}


@pytest.mark.parametrize("name", RECORDS)
def test_the_indexer_is_woken_by_what_changes_the_index_and_by_nothing_else(name, template):
    wakes, images, identity = RECORDS[name]
    filters = template.source["Resources"]["Indexing"]["Properties"]["FilterCriteria"]["Filters"]
    record = {"eventName": "MODIFY", "dynamodb": {"SequenceNumber": "1", **images}}
    record |= {"userIdentity": identity} if identity else {}
    assert any(passes(json.loads(one["Pattern"]), record) for one in filters) is wakes
    # What is kept from it would change nothing: it has no vector, or has expired.
    now = 2.0
    assert wakes or not [change for _, change in changes_of(record) if change.expires > now]


def test_without_the_semantic_cache_nothing_of_it_runs_or_may_be_read(template):
    assert {
        name for name, one in template.source["Resources"].items() if one.get("Condition") in ("Semantic", "Bedrock")
    } == {"Indexing", "ReadIndex", "AskBedrock"}
    assert not template.holds("Semantic", {"SemanticCache": "off"})
    assert template.holds("Semantic", {})
    assert not template.holds("Bedrock", {})
    assert template.holds("Bedrock", {"Embedder": "bedrock"})
