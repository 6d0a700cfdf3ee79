"""Conditional writes to DynamoDB: a condition that does not hold is an answer and no error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from mypy_boto3_dynamodb import DynamoDBClient


class ConditionalWrite:
    """`with ConditionalWrite(dynamodb) as write: dynamodb.put_item(...)`. Afterwards `write.done` says whether the
    condition held. Every other error is raised."""

    __slots__ = ("_refusal", "done")

    def __init__(self, dynamodb: DynamoDBClient) -> None:
        self._refusal = dynamodb.exceptions.ConditionalCheckFailedException
        self.done = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        self.done = error is None
        return isinstance(error, self._refusal)
