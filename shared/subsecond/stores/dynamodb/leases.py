"""Leases in the state table: pk `flight#<partition>#<key>`, sk `lease`, with owner, until, alone, `ttl`.

Every key is a partition of the table of its own, so only those who ask the same meet. A release keeps the item, and the
table's TTL deletes it: that costs what deleting would cost, and the next owner is told for nothing when it ended.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from subsecond.aws.client import Aws, aws_of
from subsecond.aws.conditional import ConditionalWrite
from subsecond.config import Settings
from subsecond.ports import LEASE_REMEMBERED, NOBODY, Acquired, Standing

# Owner and until are words of DynamoDB's own, so they need other names here.
FREE = "attribute_not_exists(pk) OR #until <= :now OR #owner = :owner"


class DynamoLeases:
    """`clock`: epoch seconds."""

    def __init__(self, aws: Aws, table: str, clock: Callable[[], float] = time.time) -> None:
        self._aws = aws
        self._table = table
        self._clock = clock

    async def acquire(self, partition: str, key: str, owner: str, seconds: float) -> Acquired:
        return await self._aws.run(lambda: self._acquire(_place(partition, key), owner, seconds))

    async def look(self, partition: str, key: str) -> Standing:
        return await self._aws.run(lambda: self._look(_place(partition, key)))

    async def renew(self, partition: str, key: str, owner: str, seconds: float) -> bool:
        new = _item(owner, self._clock() + seconds)
        return await self._aws.run(lambda: self._update(_place(partition, key), owner, new))

    async def release(self, partition: str, key: str, owner: str, *, alone: bool = False) -> None:
        new = _item(NOBODY, self._clock(), alone=alone)
        await self._aws.run(lambda: self._update(_place(partition, key), owner, new))

    def _acquire(self, place: dict[str, Any], owner: str, seconds: float) -> Acquired:
        now = self._clock()
        dynamodb = self._aws.dynamodb
        with ConditionalWrite(dynamodb) as write:
            old = dynamodb.put_item(
                TableName=self._table,
                Item={**place, **_item(owner, now + seconds)},
                ConditionExpression=FREE,
                ExpressionAttributeNames={"#owner": "owner", "#until": "until"},
                ExpressionAttributeValues={":now": _time(now), ":owner": {"S": owner}},
                ReturnValues="ALL_OLD",
            ).get("Attributes")
        if not write.done:
            return Acquired(taken=False)
        return Acquired(taken=True, ago=max(0.0, now - float(old["until"]["N"]))) if old else Acquired(taken=True)

    def _look(self, place: dict[str, Any]) -> Standing:
        # Eventually consistent, for half the price: who is told what was a moment ago looks again, or fails to acquire.
        item = self._aws.dynamodb.get_item(TableName=self._table, Key=place).get("Item")
        if item and float(item["until"]["N"]) > self._clock():
            return "held"
        return "alone" if item and item["alone"]["BOOL"] else "free"

    def _update(self, place: dict[str, Any], owner: str, new: dict[str, Any]) -> bool:
        dynamodb = self._aws.dynamodb
        with ConditionalWrite(dynamodb) as write:
            dynamodb.update_item(
                TableName=self._table,
                Key=place,
                UpdateExpression="SET " + ",".join(f"#{name} = :{name}" for name in new),
                ConditionExpression="#owner = :ours",
                ExpressionAttributeNames={f"#{name}": name for name in new},
                ExpressionAttributeValues={":ours": {"S": owner}, **{f":{name}": new[name] for name in new}},
            )
        return write.done


def _place(partition: str, key: str) -> dict[str, Any]:
    return {"pk": {"S": f"flight#{partition}#{key}"}, "sk": {"S": "lease"}}


def _time(epoch: float) -> dict[str, Any]:
    return {"N": f"{epoch:.3f}"}


def _item(owner: str, until: float, *, alone: bool = False) -> dict[str, Any]:
    # The table's TTL wants whole seconds.
    ttl = {"N": str(math.ceil(until + LEASE_REMEMBERED))}
    return {"owner": {"S": owner}, "until": _time(until), "alone": {"BOOL": alone}, "ttl": ttl}


def build(settings: Settings) -> DynamoLeases:
    return DynamoLeases(aws_of(settings), settings.state_table)
