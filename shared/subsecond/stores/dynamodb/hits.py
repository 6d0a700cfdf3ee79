"""Hits in the state table: pk `hit#<partition>#<request id>`, sk `hit`; one write for each semantic hit, for a day.

Each has a partition key of its own, because one key takes only 1,000 writes a second.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from subsecond.aws.client import Aws, aws_of
from subsecond.config import Settings
from subsecond.model import Hit

KEPT = 86_400
SORT = "hit"


class DynamoHits:
    """`clock`: epoch seconds."""

    def __init__(self, aws: Aws, table: str, clock: Callable[[], float] = time.time) -> None:
        self._aws = aws
        self._table = table
        self._clock = clock

    async def note(self, partition: str, hit: Hit) -> None:
        item = {
            **_place(partition, hit.request_id),
            "entry": {"S": hit.entry},
            "asked": {"S": hit.asked},
            "at": {"N": f"{hit.at:.6f}"},
            "judged": {"S": json.dumps(hit.verdicts, separators=(",", ":"))},
            "ttl": {"N": str(int(hit.at) + KEPT)},
        }
        await self._aws.run(lambda: self._aws.dynamodb.put_item(TableName=self._table, Item=item))

    async def find(self, partition: str, request_id: str) -> Hit | None:
        item = await self._aws.run(lambda: self._read(partition, request_id))
        # TTL deletes within days, not at once.
        if item is None or float(item["at"]["N"]) + KEPT <= self._clock():
            return None
        verdicts = tuple(json.loads(item["judged"]["S"]))
        return Hit(request_id, item["entry"]["S"], item["asked"]["S"], float(item["at"]["N"]), verdicts)

    def _read(self, partition: str, request_id: str) -> dict[str, Any] | None:
        found = self._aws.dynamodb.get_item(
            TableName=self._table, Key=_place(partition, request_id), ConsistentRead=True
        )
        item: dict[str, Any] | None = found.get("Item")
        return item


def _place(partition: str, request_id: str) -> dict[str, dict[str, str]]:
    return {"pk": {"S": f"hit#{partition}#{request_id}"}, "sk": {"S": SORT}}


def build(settings: Settings) -> DynamoHits:
    return DynamoHits(aws_of(settings), settings.state_table)
