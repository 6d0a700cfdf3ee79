"""The indexer as Lambda calls it: the events of `events/`, with table and bucket in moto, and under the Lambda host."""

from __future__ import annotations

import asyncio
import json
import logging
from base64 import b64decode
from io import StringIO
from pathlib import Path

import boto3
import pytest

from subsecond.aws.client import aws_of
from subsecond.config import Settings
from subsecond.semantic.embedders import static
from subsecond.semantic.index.reader import Reader
from subsecond.stores.s3 import objects as s3
from subsecond_local.lambda_host import Function, LambdaHost
from tests.support.functions import load_function

ROOT = Path(__file__).parents[2]
ARN = "arn:aws:lambda:us-east-1:123456789012:function:indexer"
EMBEDDER = static.build(Settings())
BUCKET = Settings().bucket


class Context:
    function_name, memory_limit_in_mb, invoked_function_arn, aws_request_id = "indexer", 1024, ARN, "id"


def event_of(case):
    return json.loads((ROOT / "events" / f"indexer-{case}.json").read_text())


def images(case):
    return [record["dynamodb"].get("NewImage") for record in event_of(case)["Records"]]


@pytest.fixture
def load(aws_tables, monkeypatch):
    """`load()`: the function as a new environment has it, and a list of what it has logged."""
    from subsecond.lambda_runtime import telemetry

    log = StringIO()
    core, handler = logging.getLogger("subsecond"), telemetry.logger.logger_handler
    core.addHandler(handler)
    monkeypatch.setattr(handler, "stream", log)
    loaded = []

    def make(**variables):
        for name, value in {"SUBSECOND_STORES": "aws", "SUBSECOND_STORE_TIMEOUT": "10", **variables}.items():
            monkeypatch.setenv(name, value)
        module = load_function("indexer")
        loaded.append(module)
        return lambda event: module.handler(event, Context())

    make.lines = lambda: [json.loads(line) for line in log.getvalue().splitlines()]
    yield make
    for module in loaded:
        module.loop.close()
        aws_of(module.settings).close()
    asyncio.set_event_loop(None)
    core.removeHandler(handler)


def found(text):
    """The keys that another environment finds for a text, the nearest first, and how near they are."""
    settings = Settings(objects="s3")
    scope = images("insert")[0]["scope"]["S"]

    async def search():
        reader = Reader(s3.build(settings), EMBEDDER.id, EMBEDDER.dim)
        await reader.refresh("t:n")
        return reader.search("t:n", scope, EMBEDDER.vector(text), 5)

    try:
        return {one.key: round(one.similarity, 3) for one in asyncio.run(search())}
    finally:
        aws_of(settings).close()


def keys(*cases):
    return [image["pk"]["S"].rpartition("#")[2] for case in cases for image in images(case)]


def names():
    listed = boto3.client("s3").list_objects_v2(Bucket=BUCKET)
    return sorted(one["Key"] for one in listed.get("Contents", []))


NOTHING_FAILED = {"batchItemFailures": []}


def test_what_the_stream_tells_is_found_by_another_environment(load):
    assert load()(event_of("insert")) == NOTHING_FAILED
    first, second = keys("insert")
    nearest = found("how do i reset my password")
    assert list(nearest) == [first, second]
    assert nearest[first] > 0.9


def test_the_same_batch_again_and_in_a_new_environment_changes_nothing(load):
    handle = load()
    handle(event_of("insert"))
    before = names()
    for again in (handle, load()):
        assert again(event_of("insert")) == NOTHING_FAILED
    assert names() == before


def test_an_entry_that_dynamodbs_ttl_removed_is_found_no_more(load):
    handle = load()
    handle(event_of("insert"))
    assert handle(event_of("remove")) == NOTHING_FAILED
    assert list(found("How do I reset my password?")) == keys("insert")[1:]


def test_a_removal_that_comes_first_is_not_undone(load):
    handle = load()
    assert handle(event_of("remove")) == NOTHING_FAILED
    handle(event_of("insert"))
    assert list(found("How do I reset my password?")) == keys("insert")[1:]


def test_poisoned_records_are_counted_and_hold_up_nothing(load):
    assert load()(event_of("poisoned")) == NOTHING_FAILED
    assert list(found("Which museums open on Mondays?")) == keys("insert")[1:]
    last = load.lines()[-1]
    assert last["message"] == "indexed"
    assert last["counts"] == {"written": 1, "poisoned": 7}


def test_what_the_store_refuses_comes_again(load):
    bucket = boto3.client("s3")
    bucket.delete_bucket(Bucket=BUCKET)
    handle = load()
    numbers = [record["dynamodb"]["SequenceNumber"] for record in event_of("insert")["Records"]]
    failed = {"batchItemFailures": [{"itemIdentifier": number} for number in numbers]}
    assert handle(event_of("insert")) == failed
    bucket.create_bucket(Bucket=BUCKET)
    assert handle(event_of("insert")) == NOTHING_FAILED
    assert set(found("How do I reset my password?")) == set(keys("insert"))


def test_the_schedule_rebuilds_what_was_lost_from_the_table(load):
    handle = load()
    handle(event_of("insert"))
    for image in images("insert"):
        boto3.client("dynamodb").put_item(TableName="subsecond-answers", Item=stored(image))
    for name in names():
        if "segment-" in name:
            boto3.client("s3").delete_object(Bucket=BUCKET, Key=name)
    assert found("How do I reset my password?") == {}
    counts = load()(event_of("schedule"))["counts"]
    assert (counts["bad"], counts["rebuilt"]) == (1, 1)
    assert set(found("How do I reset my password?")) == set(keys("insert"))


def stored(image):
    """The item as the gateway writes it: boto3 takes bytes, a stream's JSON has base64."""
    return {name: {"B": b64decode(value["B"])} if "B" in value else value for name, value in image.items()}


def test_a_place_is_kept_within_the_settings_bound(load):
    handle = load(SUBSECOND_INDEX_BYTES="1000")
    for _ in range(2):
        handle(event_of("insert"))
    handle(event_of("schedule"))
    assert list(found("How do I reset my password?")) == keys("insert")[1:]


def test_neither_questions_nor_answers_are_logged(load, monkeypatch):
    monkeypatch.setenv("POWERTOOLS_LOGGER_LOG_EVENT", "true")
    handle = load()
    for case in ("insert", "poisoned", "remove"):
        handle(event_of(case))
    printed = json.dumps(load.lines())
    for image in images("insert"):
        assert image["text"]["S"] not in printed
        assert image["vector"]["B"] not in printed


def test_the_file_of_variables_makes_it_run_without_an_account(load):
    handle = load(**json.loads((ROOT / "events" / "env.json").read_text())["Indexer"])
    for case in ("insert", "remove", "poisoned"):
        assert handle(event_of(case)) == NOTHING_FAILED
    assert handle(event_of("schedule")) == {"counts": {"merged": 1}}
    assert names() == []


async def test_under_the_runtime_client_it_answers_batch_after_batch(tmp_path):
    function = Function(
        name="indexer",
        directory=ROOT / "functions" / "indexer",
        environment={"SUBSECOND_OBJECTS": "memory", "AWS_REGION": "us-east-1"},
        runtime="awslambdaric",
        timeout=60,
        maximum=1,
    )
    with (tmp_path / "output").open("wb") as output:
        async with LambdaHost([function], [], output=output) as host:
            for case in ("insert", "insert", "poisoned", "remove", "schedule"):
                result = await host.invoke("indexer", event_of(case))
                assert not result.failed, result.payload
                assert json.loads(result.payload) in (NOTHING_FAILED, {"counts": {"merged": 1}})
            # It is one loop and one writer that see them all.
            lines = [line for line in (tmp_path / "output").read_text().splitlines() if '"indexed"' in line]
            counted = {"written": 2, "repeated": 3, "poisoned": 7, "deleted": 1, "merged": 1}
            assert json.loads(lines[-1])["counts"] == counted
