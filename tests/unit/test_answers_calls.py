"""What the store of answers asks of DynamoDB and S3: arguments that an emulator does not heed, and limits from both
sides."""

import asyncio
import os
from dataclasses import replace

import pytest

from subsecond.stores.dynamodb.answers import BATCH_TRIES, TOUCHED_EVERY, TOUCHES, DynamoStore
from tests.support.clock import Clock

PARTITION = "acme:prod"


class Refused(Exception):
    """A condition that does not hold."""


class Aws:
    """As much of `Aws` as the store uses. `calls`: name and arguments. `left`: replies that leave all keys out."""

    class exceptions:  # noqa: N801 -- boto3's name
        ConditionalCheckFailedException = Refused

    def __init__(self):
        self.dynamodb = self.s3 = self
        self.calls = []
        self.left = 0

    def __getattr__(self, name):
        def call(**arguments):
            self.calls.append((name, arguments))
            return {}

        return call

    def batch_get_item(self, RequestItems):  # noqa: N803 -- boto3's name
        self.calls.append(("batch_get_item", RequestItems))
        self.left -= 1
        return {"Responses": {}, "UnprocessedKeys": RequestItems if self.left >= 0 else {}}

    async def run(self, work):
        await asyncio.sleep(0)
        return work()

    def named(self, name):
        return [arguments for called, arguments in self.calls if called == name]


@pytest.fixture
def aws():
    return Aws()


@pytest.fixture
def clock():
    return Clock(1_000_000.0)


@pytest.fixture
def store(aws, clock):
    return DynamoStore(aws, "answers", "bucket", clock)


@pytest.mark.parametrize(("read", "consistent"), [("get", False), ("fresh", True)])
async def test_only_a_fresh_read_is_consistent(store, aws, read, consistent):
    ask = getattr(store, read)
    await ask(PARTITION, "k", "whole")
    assert [one["ConsistentRead"] for one in aws.named("get_item")] == [consistent]
    await asyncio.gather(*(ask(PARTITION, key, "whole") for key in "abc"))
    assert [one["answers"]["ConsistentRead"] for one in aws.named("batch_get_item")] == [consistent]
    assert len(aws.named("get_item")) == 1


@pytest.mark.parametrize(("left", "asked"), [(0, 1), (2, 3), (BATCH_TRIES - 1, BATCH_TRIES), (99, BATCH_TRIES)])
async def test_what_a_reply_leaves_out_is_asked_again_some_times(store, aws, left, asked):
    aws.left = left
    await asyncio.gather(*(store.get(PARTITION, key, "whole") for key in "ab"))
    assert len(aws.named("batch_get_item")) == asked


async def test_a_batch_names_at_most_a_hundred_keys(store, aws):
    await asyncio.gather(*(store.get(PARTITION, str(number), "whole") for number in range(201)))
    sizes = [len(one["answers"]["Keys"]) for one in aws.named("batch_get_item")]
    assert max(sizes) == 100
    assert sum(sizes) + len(aws.named("get_item")) == 201


@pytest.mark.parametrize(("kilobytes", "in_line"), [(100, True), (149, True), (151, False), (500, False)])
async def test_an_answer_up_to_150_kilobytes_is_in_line(store, aws, entry, kilobytes, in_line):
    made = entry(created=1.0, expires=9e9)
    body = os.urandom(kilobytes * 1024)
    await store.put(replace(made, recording=replace(made.recording, payloads=(body,))))
    [update] = aws.named("update_item")
    values = update["ExpressionAttributeValues"]
    assert (":whole" in values, ":whole_s3" in values) == (in_line, not in_line)
    assert len(aws.named("put_object")) == (not in_line)


async def test_a_use_is_noted_once_an_hour_and_of_so_many_entries(store, aws, clock):
    for seconds, writes in ((0.0, 1), (TOUCHED_EVERY - 1, 1), (1.0, 2)):
        clock.now += seconds
        await store.touch(PARTITION, "k")
        assert len(aws.named("update_item")) == writes
    for number in range(TOUCHES + 10):
        await store.touch(PARTITION, str(number))
    assert len(store._touched) == TOUCHES == 4_096
    await store.touch(PARTITION, str(TOUCHES + 9))
    assert len(aws.named("update_item")) == 2 + TOUCHES + 10
