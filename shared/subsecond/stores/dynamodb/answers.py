"""Answers in DynamoDB: both forms in one item. Those over 150 KB lie in S3 and the item points to them.

Item: pk `<partition>#<key>`. Of each form that was recorded: `whole` (bytes) or `whole_s3` (object key),
`whole_created`, `whole_expires`, `whole_tags`; `stream` and so on. Once for both, and as the newest of them had it:
scope, text, vector and embedder, model, fields (their digests), created, expires (the table's TTL). negatives and used
(when it last served a similar question) stay when a newer answer comes.

Each form has its own tags, instead of one growing set: an answer that is refreshed for weeks would gather them until
its item is full, and go with the tags of answers that it replaced long ago.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from subsecond.aio.batcher import Batcher
from subsecond.aws.client import Aws, aws_of
from subsecond.aws.conditional import ConditionalWrite
from subsecond.cache.cacheability import COMPARED_TEXT
from subsecond.cache.codec import pack, unpack
from subsecond.config import Settings
from subsecond.model import OTHER_FORM, Entry, Form, Prompt, Recording

# Of one form. An item may hold 400 KB: both, a text of 32 KB, a vector, tags and reports fit.
INLINE_LIMIT = 150 * 1024
# DynamoDB takes 100 keys at once; with answers of 16 KB that is a tenth of what it sends in one reply.
BATCH = 100
BATCH_TRIES = 5
# Seconds between two notes of an entry's use by one environment, each a write; and how many it remembers.
TOUCHED_EVERY = 3_600.0
TOUCHES = 4_096
# What an item may have or not, whatever its forms; and what items of older versions had.
SHARED = ("text", "vector", "embedder", "model", "fields")
LEGACY = ("answer", "s3", "tags")

# Partition, key, and the form that is asked for.
Place: TypeAlias = tuple[str, str, Form]


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
        self._batcher: Batcher[Place, Entry | None] = Batcher(self._read_all, most=BATCH)
        self._consistent: Batcher[Place, Entry | None] = Batcher(partial(self._read_all, consistent=True), most=BATCH)

    async def get(self, partition: str, key: str, form: Form) -> Entry | None:
        return await self._batcher.ask((partition, key, form))

    async def fresh(self, partition: str, key: str, form: Form) -> Entry | None:
        return await self._consistent.ask((partition, key, form))

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

    async def _read_all(
        self, asked: Sequence[Place], *, consistent: bool = False
    ) -> list[Entry | BaseException | None]:
        if len(asked) == 1:
            return [await self._aws.run(lambda: self._read(*asked[0], consistent=consistent))]
        # Both forms of an answer are one item, and a batch must not name one twice.
        names = dict.fromkeys((partition, key) for partition, key, _ in asked)
        items = await self._aws.run(lambda: self._read_batch([_pk(*name) for name in names], consistent=consistent))
        # Large answers are fetched side by side.
        reads = (self._aws.run(partial(self._alive, *one, items.get(_pk(*one[:2])["pk"]["S"]))) for one in asked)
        return await asyncio.gather(*reads, return_exceptions=True)

    def _read_batch(self, keys: Sequence[dict[str, Any]], *, consistent: bool) -> dict[str, Any]:
        """The items by their keys. What DynamoDB leaves out of one reply (16 MB, throttled) is asked for again."""
        found: dict[str, Any] = {}
        left: Any = {self._table: {"Keys": keys, "ConsistentRead": consistent}}
        for _ in range(BATCH_TRIES):
            reply = self._aws.dynamodb.batch_get_item(RequestItems=left)
            found |= {item["pk"]["S"]: item for item in reply["Responses"].get(self._table, ())}
            if not (left := reply.get("UnprocessedKeys")):
                break
        return found

    def _read(self, partition: str, key: str, form: Form, *, consistent: bool) -> Entry | None:
        found = self._aws.dynamodb.get_item(TableName=self._table, Key=_pk(partition, key), ConsistentRead=consistent)
        return self._alive(partition, key, form, found.get("Item"))

    def _alive(self, partition: str, key: str, form: Form, item: dict[str, Any] | None) -> Entry | None:
        """The entry of that form, else the other's; a form that has ended, or cannot be read, is not there. TTL deletes
        an item within days of its end, not at once. Items of older versions have neither form."""
        if item is None:
            return None
        live = [one for one in (form, OTHER_FORM[form]) if _ends(item, one) > self._clock()]
        for one in live:
            if recording := self._recording(item, one):
                return _entry(partition, key, item, recording, live)
        return None

    def _recording(self, item: dict[str, Any], form: Form) -> Recording | None:
        blob = item[form]["B"] if form in item else self._fetch(item[f"{form}_s3"]["S"])
        try:
            return None if blob is None else unpack(bytes(blob))
        except ValueError:
            return None  # damaged, or of another version: the answer that comes in its place is written over it

    def _fetch(self, name: str) -> bytes | None:
        s3 = self._aws.s3
        try:
            blob: bytes = s3.get_object(Bucket=self._bucket, Key=name)["Body"].read()
        except s3.exceptions.NoSuchKey:  # the bucket's lifecycle was quicker than the table's TTL
            return None
        return blob

    def _write(self, entry: Entry) -> float | None:
        form = entry.recording.form
        own = {**_own(entry), **self._placed(entry)}
        # The newest of both forms speaks for the item: else this one is put beside it. When that fails too, a newer
        # one of its form is there (or was a moment ago), and stays.
        for newest in (True, False):
            old = self._update(entry, {**own, **_shared(entry)} if newest else own, newest=newest)
            if old is not None:
                expires = _ends(old, form)
                return expires if expires > self._clock() else 0.0
        return None

    def _placed(self, entry: Entry) -> dict[str, Any]:
        """The attribute that holds the recording, or says where it is."""
        blob, form = pack(entry.recording), entry.recording.form
        if len(blob) <= INLINE_LIMIT:
            return {form: {"B": blob}}
        name = f"answers/{entry.partition}/{entry.prompt.key}/{entry.created:.6f}-{form}"
        self._aws.s3.put_object(Bucket=self._bucket, Key=name, Body=blob)
        return {f"{form}_s3": {"S": name}}

    def _update(self, entry: Entry, attributes: dict[str, Any], *, newest: bool) -> dict[str, Any] | None:
        """Write these attributes where no newer entry of the form is there; newest: nor one of the other form, else:
        but one of the other form. What was there before; None when it was not written."""
        dynamodb = self._aws.dynamodb
        gone = [name for name in _optional(entry.recording.form, attributes) if name not in attributes]
        mine, date = f"#{entry.recording.form}_created", f":{entry.recording.form}_created"
        date_of_item = f"(attribute_not_exists(#created) OR #created <= {date})" if newest else f"#created > {date}"
        try:
            # Not PutItem, which costs the same: what was reported of the key would be gone, and the other form.
            reply = dynamodb.update_item(
                TableName=self._table,
                Key=_pk(entry.partition, entry.prompt.key),
                UpdateExpression=_set(attributes, gone),
                ConditionExpression=f"(attribute_not_exists({mine}) OR {mine} <= {date}) AND {date_of_item}",
                ReturnValues="ALL_OLD",
                ExpressionAttributeNames={f"#{name}": name for name in {*attributes, *gone, "created"}},
                ExpressionAttributeValues={f":{name}": value for name, value in attributes.items()},
            )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return None
        return reply.get("Attributes", {})

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


def _set(attributes: dict[str, Any], gone: Sequence[str]) -> str:
    """These attributes, and none of those that are gone. Every name has a `#`: some are reserved."""
    return f"SET {','.join(f'#{name} = :{name}' for name in attributes)} REMOVE {','.join(f'#{name}' for name in gone)}"


def _optional(form: Form, attributes: dict[str, Any]) -> tuple[str, ...]:
    """What an older answer may have had where one with these attributes has nothing."""
    own = (form, f"{form}_s3", f"{form}_tags", *LEGACY)
    return (*own, *SHARED) if "created" in attributes else own


def _own(entry: Entry) -> dict[str, Any]:
    """The attributes of the entry's form, but for the recording."""
    form = entry.recording.form
    own: dict[str, Any] = {
        f"{form}_created": {"N": f"{entry.created:.6f}"},
        f"{form}_expires": {"N": str(int(entry.expires))},
    }
    if entry.tags:
        own[f"{form}_tags"] = {"SS": sorted(set(entry.tags))}
    return own


def _shared(entry: Entry) -> dict[str, Any]:
    """The attributes that the item has once."""
    item: dict[str, Any] = {
        "scope": {"S": entry.prompt.scope},
        "created": {"N": f"{entry.created:.6f}"},
        # The table's TTL wants whole seconds.
        "expires": {"N": str(int(entry.expires))},
    }
    if entry.vector:
        item["vector"], item["embedder"] = {"B": entry.vector}, {"S": entry.embedder}
    if entry.model:
        item["model"] = {"S": _storable(entry.model)}
    if entry.fields:
        item["fields"] = {"S": entry.fields}
    text = entry.prompt.text
    if len(text) <= COMPARED_TEXT:
        item["text"] = {"S": _storable(text)}
    return item


def _storable(text: str) -> str:
    """Without lone surrogates, which no table takes."""
    return text.encode("utf-8", "replace").decode()


def _ends(item: dict[str, Any], form: Form) -> float:
    """When the entry of that form ends, in epoch seconds; 0 where there is none."""
    return float(item[f"{form}_expires"]["N"]) if f"{form}_expires" in item else 0.0


def _entry(partition: str, key: str, item: dict[str, Any], recording: Recording, live: Sequence[Form]) -> Entry:
    prompt = Prompt(key, item["scope"]["S"], item["text"]["S"] if "text" in item else "")
    tags = (item[f"{one}_tags"]["SS"] for one in live if f"{one}_tags" in item)
    return Entry(
        partition,
        prompt,
        recording,
        created=float(item[f"{recording.form}_created"]["N"]),
        expires=_ends(item, recording.form),
        vector=bytes(item["vector"]["B"]) if "vector" in item else b"",
        embedder=item["embedder"]["S"] if "embedder" in item else "",
        tags=tuple(sorted(set().union(*tags))),
        false_hits=frozenset(item["negatives"]["SS"]) if "negatives" in item else frozenset(),
        model=item["model"]["S"] if "model" in item else "",
        fields=item["fields"]["S"] if "fields" in item else "",
    )


def build(settings: Settings) -> DynamoStore:
    return DynamoStore(aws_of(settings), settings.answers_table, settings.bucket)
