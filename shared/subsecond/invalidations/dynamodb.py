"""Rules in the state table: pk `rules#<partition>`, sk `<kind>#<value>`, `before`, `expires` and the table's `ttl`."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any, cast

from subsecond.aws import Aws, aws_of
from subsecond.config import Settings
from subsecond.model import Rule, RuleKind


class DynamoInvalidations:
    """Reads are consistent: 1 read unit for each 4 KB of rules (about 30 of them), at most once a second while a
    partition is asked. A rule that was answered for is seen by the next read."""

    def __init__(self, aws: Aws, table: str) -> None:
        self._aws = aws
        self._table = table

    async def add(self, partition: str, rule: Rule) -> None:
        await self._aws.run(lambda: self._write(partition, rule))

    async def rules(self, partition: str) -> Sequence[Rule]:
        return await self._aws.run(lambda: self._read(partition))

    def _write(self, partition: str, rule: Rule) -> None:
        dynamodb = self._aws.dynamodb
        try:
            dynamodb.put_item(
                TableName=self._table,
                Item={
                    "pk": {"S": _pk(partition)},
                    "sk": {"S": f"{rule.kind}#{rule.value}"},
                    "before": {"N": f"{rule.before:.6f}"},
                    "expires": {"N": f"{rule.expires:.6f}"},
                    "ttl": {"N": str(ceil(rule.expires))},
                },
                ConditionExpression="attribute_not_exists(pk) OR #before <= :before",
                ExpressionAttributeNames={"#before": "before"},
                ExpressionAttributeValues={":before": {"N": f"{rule.before:.6f}"}},
            )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return  # a later one is there: it says all that this one does

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


def _rule(item: dict[str, Any]) -> Rule:
    kind, _, value = item["sk"]["S"].partition("#")
    return Rule(cast("RuleKind", kind), value, float(item["before"]["N"]), float(item["expires"]["N"]))


def build(settings: Settings) -> DynamoInvalidations:
    return DynamoInvalidations(aws_of(settings), settings.state_table)
