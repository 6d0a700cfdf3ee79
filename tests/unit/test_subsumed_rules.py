"""What a slow table costs whoever invalidates a namespace."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from subsecond.model import Rule
from subsecond.stores.dynamodb.invalidations import DynamoInvalidations
from tests.support import virtual_time

CALL = 0.5


class Table:
    """As much of DynamoDB as rules need."""

    def __init__(self):
        self.items = {}
        self.exceptions = SimpleNamespace(ConditionalCheckFailedException=KeyError)

    def put_item(self, *, Item, **_):  # noqa: N803 -- boto3's names
        self.items[Item["sk"]["S"]] = Item

    def delete_item(self, *, Key, **_):  # noqa: N803
        self.items.pop(Key["sk"]["S"])

    def get_paginator(self, _):
        return SimpleNamespace(paginate=lambda **_: [{"Items": list(self.items.values())}])


class SlowAws:
    """Every call takes its time."""

    def __init__(self):
        self.dynamodb = Table()

    async def run(self, call):
        await asyncio.sleep(CALL)
        return call()


def test_a_namespace_is_invalid_in_seconds_however_many_rules_it_subsumes():
    async def invalidated():
        aws = SlowAws()
        store = DynamoInvalidations(aws, "state")
        await asyncio.gather(*(store.add("p", Rule("tag", str(at), 1.0, 9e9)) for at in range(200)))
        begun = virtual_time.now()
        await store.add("p", Rule("namespace", "", 2.0, 9e9))
        return aws.dynamodb.items, virtual_time.now() - begun

    items, took = virtual_time.run(invalidated())
    assert "~namespace#" in items
    assert 1 < len(items) < 200
    assert took <= 6
