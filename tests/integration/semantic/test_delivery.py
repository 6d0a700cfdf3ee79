"""From a table's stream in ministack to a function under the Lambda host."""

import asyncio
import base64
import json
import time
from contextlib import asynccontextmanager
from pathlib import Path

import boto3
import pytest

from subsecond_local.emulator.aws_emulator import create_stores
from subsecond_local.lambda_host import Function, LambdaHost
from subsecond_local.run.indexing import FUNCTION, indexed
from subsecond_local.run.stores import stores_from_env

FUNCTIONS = Path(__file__).parents[2] / "data" / "functions"


@pytest.fixture
def environ(emulator, monkeypatch):
    """Tables of their own in ministack."""
    own = f"{time.time_ns()}"
    found = {**emulator, "SUBSECOND_ANSWERS_TABLE": f"answers-{own}", "SUBSECOND_STATE_TABLE": f"state-{own}"}
    found["SUBSECOND_BUCKET"] = f"bucket-{own}"
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    create_stores(stores_from_env(found, found["AWS_ENDPOINT_URL"], emulated=True))
    return found


@pytest.fixture
def put(environ):
    """`put("a", vector=b"...")`: an item in the answers table."""
    client = boto3.client("dynamodb")

    def write(name, vector=b"\x01\xff", expires=4e9):
        item = {"pk": {"S": name}, "expires": {"N": str(int(expires))}, "whole": {"B": b"answer"}}
        if vector:
            item["vector"] = {"B": vector}
        client.put_item(TableName=environ["SUBSECOND_ANSWERS_TABLE"], Item=item)

    yield write
    client.close()


@pytest.fixture
def feeding(environ, tmp_path):
    """`async with feeding("table")`: a host whose indexer writes down what it gets."""

    @asynccontextmanager
    async def make(follow):
        function = Function(FUNCTION, FUNCTIONS, "indexing.handler", environment={"GATE": str(tmp_path)}, maximum=1)
        with (tmp_path / "output").open("wb") as output:
            async with LambdaHost([function], (), output=output) as host, indexed(host, environ, follow):
                yield host

    return make


@pytest.fixture
def events(tmp_path):
    """`await events(n)`: the first n events, as lists of (key, kind)."""

    async def wait(wanted):
        path = tmp_path / "events"
        while not path.exists() or len(path.read_text().splitlines()) < wanted:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)
        found = [json.loads(line)["Records"] for line in path.read_text().splitlines()]
        return [[(one["dynamodb"]["NewImage"]["pk"]["S"], one) for one in records] for records in found]

    return wait


def keys(event):
    return [key for key, _ in event]


async def test_what_is_stored_and_what_is_written_arrives_as_lambdas_events(feeding, put, events):
    put("early")
    put("plain", vector=None)
    put("expired", expires=1)
    async with feeding("table") as host:
        # The table, then its stream from the beginning.
        table, stream = await events(2)
        assert keys(table) == ["early"]
        assert keys(stream) == ["early", "plain", "expired"]
        image = table[0][1]["dynamodb"]["NewImage"]
        assert image["vector"] == {"B": base64.b64encode(b"\x01\xff").decode()}
        assert "whole" not in image
        put("late")
        *_, late = await events(3)
        assert keys(late) == ["late"]
        assert late[0][1]["eventName"] == "INSERT"
        assert late[0][1]["dynamodb"]["SequenceNumber"]
        assert host.environments(FUNCTION) == 1


async def test_nothing_to_index_starts_nothing(feeding, put, events):
    async with feeding("stream") as host:
        await asyncio.sleep(0.5)
        assert host.environments(FUNCTION) == 0
        put("first")
        assert keys((await events(1))[0]) == ["first"]


async def test_a_batch_that_fails_comes_again_and_one_that_kills_the_function_too(feeding, put, events, tmp_path):
    (tmp_path / "fail").touch()
    put("a")
    async with feeding("stream"):
        first, again = await events(2)
        assert keys(first) == keys(again) == ["a"]
        (tmp_path / "die").touch()
        put("b")
        *_, killed, after = await events(4)
        assert keys(killed) == keys(after) == ["b"]
