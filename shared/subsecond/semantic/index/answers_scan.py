"""The answers table as the index's upkeep reads it: whole. Never on a request's path."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from subsecond.semantic.index.records import Change, Poisoned, change_of
from subsecond.semantic.index.vectors import Vector, pack

if TYPE_CHECKING:
    from subsecond.aws.client import Aws
    from subsecond.semantic.index.segments import Place

# What an index is made of. The answers stay where they are; scanning reads and bills them all the same.
INDEXED = ("pk", "scope", "vector", "embedder", "created", "expires", "used")
EMBEDDED = ("pk", "text", "embedder", "created")
# Texts embedded at once.
TEXTS = 64


class Embedder(Protocol):
    id: str

    async def embed(self, texts: Sequence[str]) -> Vector:
        """(n, dim), L2-normalised."""


class DynamoTruth:
    """Scans with consistent reads: what the index knew when the scan began is in it."""

    def __init__(self, aws: Aws, table: str) -> None:
        self._aws = aws
        self._table = table

    async def entries(self, place: Place) -> AsyncIterator[Sequence[Change]]:
        async for items in self._pages(place.partition, INDEXED):
            yield [found[1] for item in items if (found := _readable(item)) and found[0] == place]

    async def embed_anew(self, partition: str, embedder: Embedder) -> int:
        """Give every item with a text the vector of this embedder; the stream takes it to the index. Returns how many
        were written. Items that changed meanwhile are left alone: they have been embedded by who changed them."""
        written = 0
        async for items in self._pages(partition, EMBEDDED):
            stale = [item for item in items if "text" in item and item.get("embedder") != {"S": embedder.id}]
            for start in range(0, len(stale), TEXTS):
                part = stale[start : start + TEXTS]
                vectors = await embedder.embed([item["text"]["S"] for item in part])
                for item, vector in zip(part, vectors, strict=True):
                    written += await self._set_vector(item, pack(vector), embedder.id)
        return written

    async def _pages(self, partition: str, attributes: Sequence[str]) -> AsyncIterator[list[dict[str, Any]]]:
        names = {f"#{name}": name for name in attributes}
        request: dict[str, Any] = {
            "TableName": self._table,
            "FilterExpression": "begins_with(#pk, :partition)",
            "ProjectionExpression": ",".join(names),
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": {":partition": {"S": f"{partition}#"}},
            "ConsistentRead": True,
        }
        while True:
            page = await self._aws.run(lambda: self._aws.dynamodb.scan(**request))
            yield page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    async def _set_vector(self, item: Mapping[str, Any], vector: bytes, embedder: str) -> bool:
        return await self._aws.run(lambda: self._update(item, vector, embedder))

    def _update(self, item: Mapping[str, Any], vector: bytes, embedder: str) -> bool:
        dynamodb = self._aws.dynamodb
        try:
            dynamodb.update_item(
                TableName=self._table,
                Key={"pk": item["pk"]},
                UpdateExpression="SET #vector = :vector, #embedder = :embedder",
                ConditionExpression="#created = :created",
                ExpressionAttributeNames={"#vector": "vector", "#embedder": "embedder", "#created": "created"},
                ExpressionAttributeValues={
                    ":vector": {"B": vector},
                    ":embedder": {"S": embedder},
                    ":created": item["created"],
                },
            )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _readable(item: Mapping[str, Any]) -> Any:
    try:
        return change_of(item)
    except Poisoned:
        return None
