"""Keys in the state table: pk `keys`, sk the token's SHA-256, with tenant, namespace, name and `disabled`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hmac import compare_digest
from time import monotonic
from typing import Any

from subsecond.aws.client import Aws, aws_of
from subsecond.config import Settings
from subsecond.model import Tenant

PARTITION = "keys"
# Remembered at the most; an unknown key is remembered shortly, so that guessing costs us no read a guess.
REMEMBERED = 1_000
UNKNOWN_TTL = 2.0


class DynamoKeys:
    """`ttl` in seconds: how long a key is believed without asking, and so how late a revocation can be."""

    def __init__(self, aws: Aws, table: str, ttl: float, clock: Callable[[], float] = monotonic) -> None:
        self._aws = aws
        self._table = table
        self._ttl = ttl
        self._clock = clock
        self._known: OrderedDict[str, tuple[Tenant | None, float]] = OrderedDict()

    async def tenant(self, token_hash: str) -> Tenant | None:
        known = self._known.get(token_hash)
        if known and self._clock() < known[1]:
            return known[0]
        item = await self._aws.run(lambda: self._read(token_hash))
        tenant = _tenant(item, token_hash)
        self._known[token_hash] = (tenant, self._clock() + (self._ttl if tenant else UNKNOWN_TTL))
        self._known.move_to_end(token_hash)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return tenant

    def _read(self, token_hash: str) -> dict[str, Any] | None:
        place = {"pk": {"S": PARTITION}, "sk": {"S": token_hash}}
        item: dict[str, Any] | None = self._aws.dynamodb.get_item(TableName=self._table, Key=place).get("Item")
        return item


def _tenant(item: dict[str, Any] | None, token_hash: str) -> Tenant | None:
    if item is None or not compare_digest(item["sk"]["S"], token_hash) or item["disabled"]["BOOL"]:
        return None
    return Tenant(item["tenant"]["S"], item["namespace"]["S"], item["name"]["S"])


def build(settings: Settings) -> DynamoKeys:
    return DynamoKeys(aws_of(settings), settings.state_table, settings.key_ttl)
