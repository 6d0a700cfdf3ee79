"""Scans the answers table for compaction, rebuilds and checks of the index. Never on a request's path."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from subsecond.aws.conditional import ConditionalWrite
from subsecond.semantic.index import INDEXED
from subsecond.semantic.index.records import Change, Located, Poisoned, change_of
from subsecond.semantic.index.vectors import pack

if TYPE_CHECKING:
    from subsecond.aws.client import Aws
    from subsecond.ports import Embedder
    from subsecond.semantic.index.segments import IndexId

EMBEDDED = ("pk", "text", "embedder", "created")
# Texts in one call of the embedder.
TEXTS_AT_ONCE = 64


class AnswersScan:
    """Reads consistently: every entry that the index had when the scan began is found. Implements `AnswersTable`."""

    def __init__(self, aws: Aws, table: str) -> None:
        self._aws = aws
        self._table = table

    async def entries(self, index_id: IndexId) -> AsyncIterator[Sequence[Change]]:
        async for items in self._pages(index_id.partition, INDEXED):
            yield [found[1] for item in items if (found := _readable(item)) and found[0] == index_id]

    async def embed_anew(self, partition: str, embedder: Embedder) -> int:
        """Write this embedder's vector to every item that has a text and another embedder's vector. The stream carries
        it to the index. Returns how many were written. An item that changed meanwhile is skipped: whoever changed it
        embedded it."""
        written = 0
        async for items in self._pages(partition, EMBEDDED):
            outdated = [item for item in items if "text" in item and item.get("embedder") != {"S": embedder.id}]
            for start in range(0, len(outdated), TEXTS_AT_ONCE):
                part = outdated[start : start + TEXTS_AT_ONCE]
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
        with ConditionalWrite(dynamodb) as write:
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
        return write.done


def _readable(item: Mapping[str, Any]) -> Located | None:
    try:
        return change_of(item)
    except Poisoned:
        return None
