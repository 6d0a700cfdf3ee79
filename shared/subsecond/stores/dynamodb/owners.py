"""The owners of upstreams' objects in the state table: pk `owner#<partition>#<the object's id>`, sk `owner`.

One item for each object, so that an object of another partition is not there at all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from subsecond.aws.client import Aws, aws_of
from subsecond.config import Settings
from subsecond.ports import OWNED

SORT = "owner"


class DynamoOwners:
    """`clock`: epoch seconds."""

    def __init__(self, aws: Aws, table: str, clock: Callable[[], float] = time.time) -> None:
        self._aws = aws
        self._table = table
        self._clock = clock

    async def add(self, partition: str, names: Sequence[str], place: str) -> None:
        until = str(int(self._clock() + OWNED))
        items = [{**_key(partition, name), "place": {"S": place}, "ttl": {"N": until}} for name in names]
        await asyncio.gather(*map(self._put, items))

    async def places(self, partition: str, names: Sequence[str]) -> Mapping[str, str]:
        found = await asyncio.gather(*(self._read(partition, name) for name in names))
        # TTL deletes within days, not at once.
        return {
            name: item["place"]["S"]
            for name, item in zip(names, found, strict=True)
            if item and float(item["ttl"]["N"]) > self._clock()
        }

    async def drop(self, partition: str, name: str) -> None:
        key = _key(partition, name)
        await self._aws.run(lambda: self._aws.dynamodb.delete_item(TableName=self._table, Key=key))

    async def _put(self, item: Mapping[str, Any]) -> None:
        await self._aws.run(lambda: self._aws.dynamodb.put_item(TableName=self._table, Item=item))

    async def _read(self, partition: str, name: str) -> Mapping[str, Any] | None:
        key = _key(partition, name)
        found: Mapping[str, Any] = await self._aws.run(
            lambda: self._aws.dynamodb.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        )
        return found.get("Item")


def _key(partition: str, name: str) -> dict[str, dict[str, str]]:
    return {"pk": {"S": f"owner#{partition}#{name}"}, "sk": {"S": SORT}}


def build(settings: Settings) -> DynamoOwners:
    return DynamoOwners(aws_of(settings), settings.state_table)
