"""The calls of DynamoDB that requests make, under the names and with the values of boto3's low-level client."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from subsecond.aws.access import Access, WireError
from subsecond.aws.wire import Answer, Rest, Wire

TARGET = "DynamoDB_20120810."
OK = 200


class ConditionFailed(WireError):
    """The condition of a write did not hold."""


class DynamoWire(Rest):
    """`boto3`: makes the client that has all other calls."""

    exceptions = SimpleNamespace(ClientError=WireError, ConditionalCheckFailedException=ConditionFailed)

    def __init__(self, access: Access, timeout: float, boto3: Callable[[], Any]) -> None:
        super().__init__(boto3)
        self._wire = Wire(access, "dynamodb", access.url("dynamodb", access.region), timeout)
        self.open, self.close = self._wire.open, self._wire.close

    def get_item(self, **call: Any) -> Any:
        return self._called("GetItem", call)

    def put_item(self, **call: Any) -> Any:
        return self._called("PutItem", call)

    def update_item(self, **call: Any) -> Any:
        return self._called("UpdateItem", call)

    def delete_item(self, **call: Any) -> Any:
        return self._called("DeleteItem", call)

    def batch_get_item(self, **call: Any) -> Any:
        return self._called("BatchGetItem", call)

    def query(self, **call: Any) -> Any:
        return self._called("Query", call)

    def get_paginator(self, operation: str) -> Any:
        return _Queries(self) if operation == "query" else super().__getattr__("get_paginator")(operation)

    def _called(self, operation: str, call: dict[str, Any]) -> Any:
        fields = {"content-type": "application/x-amz-json-1.0", "x-amz-target": TARGET + operation}
        answer = self._wire.ask("POST", "/", fields, json.dumps(call, default=_written).encode())
        if answer.status != OK:
            raise _refusal(answer)
        return json.loads(answer.body, object_hook=_read)


class _Queries:
    """boto3's paginator for queries."""

    def __init__(self, client: DynamoWire) -> None:
        self._client = client

    def paginate(self, **call: Any) -> Iterator[Any]:
        while True:
            page = self._client.query(**call)
            yield page
            if "LastEvaluatedKey" not in page:
                return
            call["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def _written(value: bytes) -> str:
    """Bytes travel as base64."""
    return b64encode(value).decode()


def _read(found: dict[str, Any]) -> dict[str, Any]:
    """A value of bytes, or any other object of the reply."""
    return {"B": b64decode(found["B"])} if found.keys() == {"B"} and isinstance(found["B"], str) else found


def _refusal(answer: Answer) -> WireError:
    try:
        said = json.loads(answer.body)
        code = str(said["__type"]).rpartition("#")[2]
    except (ValueError, KeyError, TypeError):
        return WireError(str(answer.status))
    kind = ConditionFailed if code == "ConditionalCheckFailedException" else WireError
    return kind(code, str(said.get("message") or said.get("Message") or ""))
