"""What is read to be acted on is read as it is now: an emulator is always consistent, so the argument is looked at."""

import pytest

from subsecond.stores.dynamodb.health import DynamoHealthStore
from subsecond.stores.dynamodb.hits import DynamoHits
from subsecond.stores.dynamodb.invalidations import DynamoInvalidations
from subsecond.stores.dynamodb.ledger import DynamoLedger
from subsecond.stores.dynamodb.owners import DynamoOwners


class Aws:
    """As much of `Aws` as the stores use; the table is empty. reads: whether each was consistent."""

    errors = ()

    def __init__(self):
        self.dynamodb = self
        self.reads = []

    def get_item(self, **asked):
        self.reads.append(asked.get("ConsistentRead", False))
        return {}

    def batch_get_item(self, RequestItems):  # noqa: N803 -- boto3's name
        self.reads += [one.get("ConsistentRead", False) for one in RequestItems.values()]
        return {"Responses": {}}

    def get_paginator(self, name):
        assert name == "query"
        return self

    def paginate(self, **asked):
        self.get_item(**asked)
        return []

    def update_item(self, **_written):
        return {}

    async def run(self, work):
        return work()


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda aws: DynamoHits(aws, "t").find("acme:prod", "req_1"), id="the hit that a report is about"),
        pytest.param(lambda aws: DynamoOwners(aws, "t").places("acme:prod", ["resp_1"]), id="whose an object is"),
        pytest.param(lambda aws: DynamoInvalidations(aws, "t").rules("acme:prod"), id="what was invalidated"),
        pytest.param(lambda aws: DynamoHealthStore(aws, "t").merge_and_read(7, {"m|n": 1}, 5), id="our own figures"),
        pytest.param(lambda aws: DynamoLedger(aws, "t", 60.0).summary("acme:prod"), id="the statistics"),
    ],
)
async def test_it_is_consistent(read):
    aws = Aws()
    await read(aws)
    assert aws.reads
    assert all(aws.reads)
