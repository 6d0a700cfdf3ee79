"""Answers in DynamoDB; those over 300 KB lie in S3 and the item points to them.

Item: pk `<partition>#<key>`, scope, text, answer (bytes) or s3 (object key), created, expires (the table's TTL).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from subsecond.aws import Aws, aws_of
from subsecond.cacheability import COMPARED_TEXT
from subsecond.config import Settings
from subsecond.model import Entry, Prompt
from subsecond.stored import pack, unpack

# An item may hold 400 KB, names, text and a vector included.
INLINE_LIMIT = 300 * 1024


class DynamoStore:
    """Reads are eventually consistent: half the price, and a miss only costs a call."""

    def __init__(self, aws: Aws, table: str, bucket: str, clock: Callable[[], float] = time.time) -> None:
        self._aws = aws
        self._table = table
        self._bucket = bucket
        self._clock = clock

    async def get(self, partition: str, key: str) -> Entry | None:
        item = await self._aws.run(lambda: self._read(f"{partition}#{key}"))
        return _entry(partition, key, item) if item else None

    async def put(self, entry: Entry) -> float | None:
        return await self._aws.run(lambda: self._write(entry))

    def _read(self, pk: str) -> dict[str, Any] | None:
        found = self._aws.dynamodb.get_item(TableName=self._table, Key={"pk": {"S": pk}})
        item: dict[str, Any] | None = found.get("Item")
        # TTL deletes within days, not at once: an expired item can still be read.
        if item is None or float(item["expires"]["N"]) <= self._clock():
            return None
        if "s3" in item:
            item["answer"] = {"B": self._fetch(item["s3"]["S"])}
        return item if item["answer"]["B"] is not None else None

    def _fetch(self, name: str) -> bytes | None:
        s3 = self._aws.s3
        try:
            blob: bytes = s3.get_object(Bucket=self._bucket, Key=name)["Body"].read()
        except s3.exceptions.NoSuchKey:  # the bucket's lifecycle was quicker than the table's TTL
            return None
        return blob

    def _write(self, entry: Entry) -> float | None:
        blob = pack(entry.answer)
        item = _item(entry)
        if len(blob) > INLINE_LIMIT:
            name = f"answers/{entry.partition}/{entry.prompt.key}/{entry.created:.6f}"
            self._aws.s3.put_object(Bucket=self._bucket, Key=name, Body=blob)
            item["s3"] = {"S": name}
        else:
            item["answer"] = {"B": blob}
        dynamodb = self._aws.dynamodb
        try:
            old = dynamodb.put_item(
                TableName=self._table,
                Item=item,
                ConditionExpression="attribute_not_exists(pk) OR created <= :created",
                ExpressionAttributeValues={":created": item["created"]},
                ReturnValues="ALL_OLD",
            ).get("Attributes")
        except dynamodb.exceptions.ConditionalCheckFailedException:  # a newer answer is there: it stays
            return None
        expires = float(old["expires"]["N"]) if old else 0.0
        return expires if expires > self._clock() else 0.0


def _item(entry: Entry) -> dict[str, Any]:
    item: dict[str, Any] = {
        "pk": {"S": f"{entry.partition}#{entry.prompt.key}"},
        "scope": {"S": entry.prompt.scope},
        "created": {"N": f"{entry.created:.6f}"},
        # The table's TTL wants whole seconds.
        "expires": {"N": str(int(entry.expires))},
    }
    if entry.vector:
        item["vector"], item["embedder"] = {"B": entry.vector}, {"S": entry.embedder}
    text = entry.prompt.text
    if len(text) <= COMPARED_TEXT:
        item["text"] = {"S": text.encode("utf-8", "replace").decode()}
    return item


def _entry(partition: str, key: str, item: dict[str, Any]) -> Entry:
    prompt = Prompt(key, item["scope"]["S"], item["text"]["S"] if "text" in item else "")
    answer = unpack(bytes(item["answer"]["B"]))
    return Entry(partition, prompt, answer, float(item["created"]["N"]), float(item["expires"]["N"]))


def build(settings: Settings) -> DynamoStore:
    return DynamoStore(aws_of(settings), settings.answers_table, settings.bucket)
