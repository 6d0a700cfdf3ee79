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
BATCH_TRIES = 5


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
        wanted = {_key(partition, name)["pk"]["S"]: name for name in names}
        found = await self._aws.run(lambda: self._read([_key(partition, name) for name in wanted.values()]))
        # TTL deletes within days, not at once.
        alive = (item for item in found if float(item["ttl"]["N"]) > self._clock())
        return {wanted[item["pk"]["S"]]: item["place"]["S"] for item in alive}

    async def drop(self, partition: str, name: str) -> None:
        key = _key(partition, name)
        await self._aws.run(lambda: self._aws.dynamodb.delete_item(TableName=self._table, Key=key))

    async def _put(self, item: Mapping[str, Any]) -> None:
        await self._aws.run(lambda: self._aws.dynamodb.put_item(TableName=self._table, Item=item))

    def _read(self, keys: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Those that there are, by one call. What a throttled table leaves out is asked for again: to say that it is
        nobody's would be wrong."""
        found: list[Mapping[str, Any]] = []
        left: Any = {self._table: {"Keys": keys, "ConsistentRead": True}}
        for _ in range(BATCH_TRIES):
            reply = self._aws.dynamodb.batch_get_item(RequestItems=left)
            found += reply["Responses"].get(self._table, ())
            if not (left := reply.get("UnprocessedKeys")):
                return found
        raise TimeoutError("The table leaves keys out of its replies.")


def _key(partition: str, name: str) -> dict[str, dict[str, str]]:
    return {"pk": {"S": f"owner#{partition}#{name}"}, "sk": {"S": SORT}}


def build(settings: Settings) -> DynamoOwners:
    return DynamoOwners(aws_of(settings), settings.state_table)
