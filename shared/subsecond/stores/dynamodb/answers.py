"""Answers in DynamoDB; those over 300 KB lie in S3 and the item points to them.

Item: pk `<partition>#<key>`, scope, text, answer (bytes) or s3 (object key), created, expires (the table's TTL), vector
and embedder, tags, model; negatives and used (when it last served a similar question) stay when a newer answer comes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from subsecond.aio.batcher import Batcher
from subsecond.aws.client import Aws, aws_of
from subsecond.aws.conditional import ConditionalWrite
from subsecond.cache.cacheability import COMPARED_TEXT
from subsecond.cache.codec import pack, unpack
from subsecond.config import Settings
from subsecond.model import Entry, Prompt

# An item may hold 400 KB, names, text and a vector included.
INLINE_LIMIT = 300 * 1024
# DynamoDB takes 100 keys at once; with answers of 16 KB that is a tenth of what it sends in one reply.
BATCH = 100
BATCH_TRIES = 5
# Seconds between two notes of an entry's use by one environment, each a write; and how many it remembers.
TOUCHED_EVERY = 3_600.0
TOUCHES = 4_096
# What an answer may have or not.
OPTIONAL = ("text", "answer", "s3", "vector", "embedder", "tags", "model")


class DynamoStore:
    """`get` is eventually consistent: half the price, and a miss only costs a call. `fresh` pays for what is reported
    now to count from now on."""

    def __init__(self, aws: Aws, table: str, bucket: str, clock: Callable[[], float] = time.time) -> None:
        self._aws = aws
        self._table = table
        self._bucket = bucket
        self._clock = clock
        self._touched: dict[tuple[str, str], float] = {}
        # The prompts of a batch, and requests that meet, share a call.
        self._batcher: Batcher[tuple[str, str], Entry | None] = Batcher(self._read_all, most=BATCH)

    async def get(self, partition: str, key: str) -> Entry | None:
        return await self._batcher.ask((partition, key))

    async def fresh(self, partition: str, key: str) -> Entry | None:
        return await self._aws.run(lambda: self._read(partition, key))

    async def put(self, entry: Entry) -> float | None:
        return await self._aws.run(lambda: self._write(entry))

    async def report(self, partition: str, key: str, digest: str, *, wrong: bool) -> None:
        await self._aws.run(lambda: self._mark(partition, key, digest, "ADD" if wrong else "DELETE"))

    async def touch(self, partition: str, key: str) -> None:
        now = self._clock()
        if now - self._touched.get((partition, key), 0.0) < TOUCHED_EVERY:
            return
        self._touched[partition, key] = now
        if len(self._touched) > TOUCHES:
            del self._touched[next(iter(self._touched))]
        await self._aws.run(lambda: self._use(partition, key, int(now)))

    async def drop(self, partition: str, key: str, before: float) -> bool:
        return await self._aws.run(lambda: self._delete(partition, key, before))

    def in_memory(self, partition: str) -> Sequence[Entry]:  # noqa: ARG002 -- the port's; this adapter remembers none
        return ()

    async def _read_all(self, keys: Sequence[tuple[str, str]]) -> list[Entry | BaseException | None]:
        if len(keys) == 1:
            return [await self._aws.run(lambda: self._read(*keys[0], consistent=False))]
        items = await self._aws.run(lambda: self._read_batch([_pk(*key) for key in dict.fromkeys(keys)]))
        # Large answers are fetched side by side.
        reads = (self._aws.run(partial(self._alive, *key, items.get(_pk(*key)["pk"]["S"]))) for key in keys)
        return await asyncio.gather(*reads, return_exceptions=True)

    def _read_batch(self, keys: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The items by their keys. What DynamoDB leaves out of one reply (16 MB, throttled) is asked for again."""
        found: dict[str, Any] = {}
        left: Any = {self._table: {"Keys": keys, "ConsistentRead": False}}
        for _ in range(BATCH_TRIES):
            reply = self._aws.dynamodb.batch_get_item(RequestItems=left)
            found |= {item["pk"]["S"]: item for item in reply["Responses"].get(self._table, ())}
            if not (left := reply.get("UnprocessedKeys")):
                break
        return found

    def _read(self, partition: str, key: str, *, consistent: bool = True) -> Entry | None:
        found = self._aws.dynamodb.get_item(TableName=self._table, Key=_pk(partition, key), ConsistentRead=consistent)
        return self._alive(partition, key, found.get("Item"))

    def _alive(self, partition: str, key: str, item: dict[str, Any] | None) -> Entry | None:
        # TTL deletes within days, not at once: an expired item can still be read.
        if item is None or float(item["expires"]["N"]) <= self._clock():
            return None
        if "s3" in item:
            item["answer"] = {"B": self._fetch(item["s3"]["S"])}
        return _entry(partition, key, item) if item["answer"]["B"] is not None else None

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
        with ConditionalWrite(dynamodb) as write:
            # Not PutItem, which costs the same: what was reported of the key would be gone.
            old = dynamodb.update_item(
                TableName=self._table,
                Key=_pk(entry.partition, entry.prompt.key),
                ConditionExpression="attribute_not_exists(pk) OR #created <= :created",
                ReturnValues="ALL_OLD",
                **_update(item),
            ).get("Attributes")
        if not write.done:
            return None  # a newer answer is there: it stays
        expires = float(old["expires"]["N"]) if old else 0.0
        return expires if expires > self._clock() else 0.0

    def _mark(self, partition: str, key: str, digest: str, change: str) -> None:
        dynamodb = self._aws.dynamodb
        with ConditionalWrite(dynamodb):  # refused: gone meanwhile: there is nothing left to answer wrongly
            dynamodb.update_item(
                TableName=self._table,
                Key=_pk(partition, key),
                UpdateExpression=f"{change} negatives :digests",
                ConditionExpression="attribute_exists(pk)",
                ExpressionAttributeValues={":digests": {"SS": [digest]}},
            )

    def _use(self, partition: str, key: str, now: int) -> None:
        dynamodb = self._aws.dynamodb
        with ConditionalWrite(dynamodb):  # refused: gone meanwhile
            dynamodb.update_item(
                TableName=self._table,
                Key=_pk(partition, key),
                UpdateExpression="SET used = :now",
                ConditionExpression="attribute_exists(pk)",
                ExpressionAttributeValues={":now": {"N": str(now)}},
            )

    def _delete(self, partition: str, key: str, before: float) -> bool:
        dynamodb = self._aws.dynamodb
        with ConditionalWrite(dynamodb) as write:
            dynamodb.delete_item(
                TableName=self._table,
                Key=_pk(partition, key),
                ConditionExpression="created <= :before AND attribute_not_exists(negatives)",
                ExpressionAttributeValues={":before": {"N": f"{before:.6f}"}},
            )
        return write.done


def _pk(partition: str, key: str) -> dict[str, Any]:
    return {"pk": {"S": f"{partition}#{key}"}}


def _update(item: dict[str, Any]) -> dict[str, Any]:
    """These attributes, and none of those that an older answer had instead. Every name has a `#`: some are reserved."""
    sets = ",".join(f"#{name} = :{name}" for name in item)
    gone = [name for name in OPTIONAL if name not in item]
    return {
        "UpdateExpression": f"SET {sets} REMOVE {','.join(f'#{name}' for name in gone)}",
        "ExpressionAttributeNames": {f"#{name}": name for name in (*item, *gone)},
        "ExpressionAttributeValues": {f":{name}": value for name, value in item.items()},
    }


def _item(entry: Entry) -> dict[str, Any]:
    item: dict[str, Any] = {
        "scope": {"S": entry.prompt.scope},
        "created": {"N": f"{entry.created:.6f}"},
        # The table's TTL wants whole seconds.
        "expires": {"N": str(int(entry.expires))},
    }
    if entry.vector:
        item["vector"], item["embedder"] = {"B": entry.vector}, {"S": entry.embedder}
    if entry.tags:
        item["tags"] = {"SS": sorted(set(entry.tags))}
    if entry.model:
        item["model"] = {"S": _storable(entry.model)}
    text = entry.prompt.text
    if len(text) <= COMPARED_TEXT:
        item["text"] = {"S": _storable(text)}
    return item


def _storable(text: str) -> str:
    """Without lone surrogates, which no table takes."""
    return text.encode("utf-8", "replace").decode()


def _entry(partition: str, key: str, item: dict[str, Any]) -> Entry:
    prompt = Prompt(key, item["scope"]["S"], item["text"]["S"] if "text" in item else "")
    answer = unpack(bytes(item["answer"]["B"]))
    return Entry(
        partition,
        prompt,
        answer,
        created=float(item["created"]["N"]),
        expires=float(item["expires"]["N"]),
        vector=bytes(item["vector"]["B"]) if "vector" in item else b"",
        embedder=item["embedder"]["S"] if "embedder" in item else "",
        tags=tuple(sorted(item["tags"]["SS"])) if "tags" in item else (),
        false_hits=frozenset(item["negatives"]["SS"]) if "negatives" in item else frozenset(),
        model=item["model"]["S"] if "model" in item else "",
    )


def build(settings: Settings) -> DynamoStore:
    return DynamoStore(aws_of(settings), settings.answers_table, settings.bucket)
