"""Figures in the state table: pk `health`, sk the slice's number, one number attribute for each figure, `ttl`.

All environments write the slice's one item: 20 models make it about 5 KB, so an update costs 5 write units, and the
partition's 1,000 write units a second are enough for 1,000 environments that merge every 5 seconds. Past that updates
are throttled: those environments try again 5 seconds later, and no request waits for it.
An update whose reply was lost is sent again, so a figure can be counted twice then: quantiles hardly move.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import islice
from math import ceil
from typing import Any

from subsecond.aws.client import Aws, aws_of
from subsecond.config import Settings
from subsecond.ports import HEALTH_KEPT, Figures

PK = {"S": "health"}
# Figures in one update: an expression may have 4 KB and 300 operators; a figure takes one and at most 8 bytes.
AT_ONCE = 100


class DynamoHealthStore:
    """`clock`: epoch seconds."""

    def __init__(self, aws: Aws, table: str, clock: Callable[[], float] = time.time) -> None:
        self._aws = aws
        self._table = table
        self._clock = clock

    async def merge_and_read(self, slice_: int, figures: Figures, oldest: int) -> Mapping[int, Figures]:
        return await self._aws.run(lambda: self._share(slice_, dict(figures), oldest))

    def _share(self, slice_: int, figures: dict[str, int], oldest: int) -> Mapping[int, Figures]:
        rest = iter(figures.items())
        while part := dict(islice(rest, AT_ONCE)):
            self._aws.dynamodb.update_item(TableName=self._table, **self._update(slice_, part))
        return self._read(oldest, slice_)

    def _update(self, slice_: int, figures: Figures) -> dict[str, Any]:
        values = {f":{at}": {"N": str(n)} for at, n in enumerate(figures.values())}
        return {
            "Key": {"pk": PK, "sk": {"S": _sk(slice_)}},
            "UpdateExpression": "SET #ttl = :ttl ADD " + ",".join(f"#{at} :{at}" for at in range(len(figures))),
            "ExpressionAttributeNames": {"#ttl": "ttl", **{f"#{at}": name for at, name in enumerate(figures)}},
            "ExpressionAttributeValues": {":ttl": {"N": str(ceil(self._clock() + HEALTH_KEPT))}, **values},
        }

    def _read(self, oldest: int, newest: int) -> Mapping[int, Figures]:
        # Consistent: our own update must be in it, and it is three small items at the most after the first time.
        pages = self._aws.dynamodb.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND sk BETWEEN :oldest AND :newest",
            ExpressionAttributeValues={":pk": PK, ":oldest": {"S": _sk(oldest)}, ":newest": {"S": _sk(newest)}},
            ConsistentRead=True,
        )
        return {int(item["sk"]["S"]): _figures(item) for page in pages for item in page["Items"]}


def _sk(slice_: int) -> str:
    """Of one length, so that they are sorted as numbers are."""
    return f"{max(0, slice_):012d}"


def _figures(item: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(value["N"]) for name, value in item.items() if "|" in name}


def build(settings: Settings) -> DynamoHealthStore:
    return DynamoHealthStore(aws_of(settings), settings.state_table)
