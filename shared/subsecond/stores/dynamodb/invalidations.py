"""Rules in the state table: pk `rules#<partition>`, sk `<kind>#<value>`, `before`, `expires` and the table's `ttl`.

The namespace's sk begins with a `~` and so is read last, and it is written before those that it subsumes are deleted: a
reader that comes too late for one of them still finds the namespace's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from math import ceil
from typing import Any, cast

from subsecond.aws.client import Aws, aws_of
from subsecond.aws.conditional import ConditionalWrite
from subsecond.config import Settings
from subsecond.model import Rule, RuleKind

# Subsumed rules that are deleted side by side: half of the threads stay free for requests.
DELETES = 4
# Seconds for that: with a slow table and a thousand rules whoever invalidates would wait for minutes. Those that are
# left count no more, and go with the next namespace rule or when they expire.
TIDYING = 5.0
# Above all that a kind's name begins with.
LAST = "~"


class DynamoInvalidations:
    """Reads are consistent: 1 read unit for each 4 KB of rules (about 30 of them), at most once a second while a
    partition is asked. A rule that was answered for is seen by the next read."""

    def __init__(self, aws: Aws, table: str) -> None:
        self._aws = aws
        self._table = table

    async def add(self, partition: str, rule: Rule) -> None:
        await self._aws.run(lambda: self._write(partition, rule))
        if rule.kind == "namespace":
            with suppress(TimeoutError):
                async with asyncio.timeout(TIDYING):
                    await self._delete_subsumed(partition, rule)

    async def rules(self, partition: str) -> Sequence[Rule]:
        return await self._aws.run(lambda: self._read(partition))

    def _write(self, partition: str, rule: Rule) -> None:
        dynamodb = self._aws.dynamodb
        with ConditionalWrite(dynamodb):  # refused: a later one is there: it says all that this one does
            dynamodb.put_item(
                TableName=self._table,
                Item={
                    "pk": {"S": _pk(partition)},
                    "sk": {"S": _sk(rule)},
                    "before": {"N": f"{rule.before:.6f}"},
                    "expires": {"N": f"{rule.expires:.6f}"},
                    "ttl": {"N": str(ceil(rule.expires))},
                },
                ConditionExpression="attribute_not_exists(pk) OR #before <= :before",
                ExpressionAttributeNames={"#before": "before"},
                ExpressionAttributeValues={":before": {"N": f"{rule.before:.6f}"}},
            )

    async def _delete_subsumed(self, partition: str, rule: Rule) -> None:
        """They count no more already; this saves reading them each second. 1 write unit for each."""
        # As the table has its date: the same date of another rule may have been rounded up.
        rule = replace(rule, before=float(f"{rule.before:.6f}"))
        old = [one for one in await self.rules(partition) if rule.subsumes(one) and one.kind != "namespace"]
        for at in range(0, len(old), DELETES):
            deletes = (self._aws.run(partial(self._delete, partition, one)) for one in old[at : at + DELETES])
            await asyncio.gather(*deletes)

    def _delete(self, partition: str, rule: Rule) -> None:
        dynamodb = self._aws.dynamodb
        with ConditionalWrite(dynamodb):  # refused: gone, or invalidated once more meanwhile: the later date stays
            dynamodb.delete_item(
                TableName=self._table,
                Key={"pk": {"S": _pk(partition)}, "sk": {"S": _sk(rule)}},
                ConditionExpression="#before <= :before",
                ExpressionAttributeNames={"#before": "before"},
                ExpressionAttributeValues={":before": {"N": f"{rule.before:.6f}"}},
            )

    def _read(self, partition: str) -> Sequence[Rule]:
        pages = self._aws.dynamodb.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": _pk(partition)}},
            ConsistentRead=True,
        )
        return [_rule(item) for page in pages for item in page["Items"]]


def _pk(partition: str) -> str:
    return f"rules#{partition}"


def _sk(rule: Rule) -> str:
    return f"{LAST if rule.kind == 'namespace' else ''}{rule.kind}#{rule.value}"


def _rule(item: dict[str, Any]) -> Rule:
    kind, _, value = item["sk"]["S"].removeprefix(LAST).partition("#")
    return Rule(cast("RuleKind", kind), value, float(item["before"]["N"]), float(item["expires"]["N"]))


def build(settings: Settings) -> DynamoInvalidations:
    return DynamoInvalidations(aws_of(settings), settings.state_table)
