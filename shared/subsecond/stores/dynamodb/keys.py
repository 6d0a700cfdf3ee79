"""Keys in the state table: pk `keys`, sk the token's SHA-256, with tenant, namespace, name and `disabled`, and
where the key has its own: scope and volatile.

Whoever guesses keys shall cost next to nothing, and lock nobody out: keys that are known are remembered apart from
those that are not, and reads that find no key are bounded. Past the bound an unknown key is refused with a
`retry-after`, because nobody can say yet whether it is right. A right key that this environment has not seen meets that
once: when it comes again it is read from a second bound, kept for those that were refused before, which a flood of ever
new guesses does not touch.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from hmac import compare_digest
from time import time
from typing import Any, TypeVar

from subsecond.aws.client import Aws, aws_of
from subsecond.clock import PerSecond, within
from subsecond.config import Settings
from subsecond.errors import Unavailable
from subsecond.model import Tenant
from subsecond.ports import Believed
from subsecond.setting_values import OF_A_KEY

PARTITION = "keys"
# Remembered at the most, of each kind; an unknown key is remembered shortly, so that the same guess costs no new read.
REMEMBERED = 1_000
UNKNOWN_TTL = 2.0
# Reads in a second that find no key: of keys that come for the first time, and of those that were refused before. At
# half a read unit each, a flood costs an environment 8 units a second at the most.
WRONG, WRONG_AGAIN = 12, 4
# Reads at once of keys that are not known, which the bounds can be exceeded by.
AT_ONCE = 8

V = TypeVar("V")


class DynamoKeys:
    """`ttl` in seconds: how long a key is believed without asking, and so how late a revocation can be. Used from one
    event loop. `clock`: epoch seconds."""

    def __init__(self, aws: Aws, table: str, ttl: float, clock: Callable[[], float] = time) -> None:
        self._aws = aws
        self._table = table
        self._ttl = ttl
        self._clock = clock
        # With the time of their reading; the last is the one used last.
        self._known: OrderedDict[str, tuple[Tenant, float]] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._refused: OrderedDict[str, None] = OrderedDict()
        self._first, self._again = PerSecond(WRONG), PerSecond(WRONG_AGAIN)
        self._places = asyncio.Semaphore(AT_ONCE)

    async def tenant(self, token_hash: str) -> Tenant | None:
        """See the port. Raises Unavailable past the bounds."""
        if token_hash in self._known:
            return self._believed(token_hash) or await self._read(token_hash)
        async with self._places:
            if found := self._believed(token_hash):
                return found  # read by another request meanwhile
            now = self._clock()
            if within(self._unknown.get(token_hash, float("-inf")), UNKNOWN_TTL, now):
                return None
            bound = self._again if token_hash in self._refused else self._first
            if not bound.left(now):
                _remember(self._refused, token_hash, None)
                raise _too_many()
            self._refused.pop(token_hash, None)
            found = await self._read(token_hash)
            if found is None:
                bound.take(now)
            return found

    def believed(self, token_hash: str) -> Believed | None:
        if sure := self._believed(token_hash):
            return Believed(sure, sure=True)
        known = self._known.get(token_hash)
        return Believed(known[0], sure=False) if known else None

    def _believed(self, token_hash: str) -> Tenant | None:
        known = self._known.get(token_hash)
        if known is None or not within(known[1], self._ttl, self._clock()):
            return None
        self._known.move_to_end(token_hash)
        return known[0]

    async def _read(self, token_hash: str) -> Tenant | None:
        now = self._clock()
        tenant = _tenant(await self._aws.run(lambda: self._item(token_hash)), token_hash)
        if tenant:
            _remember(self._known, token_hash, (tenant, now))
            self._unknown.pop(token_hash, None)
        else:
            self._known.pop(token_hash, None)
            _remember(self._unknown, token_hash, now)
        return tenant

    def _item(self, token_hash: str) -> dict[str, Any] | None:
        place = {"pk": {"S": PARTITION}, "sk": {"S": token_hash}}
        item: dict[str, Any] | None = self._aws.dynamodb.get_item(TableName=self._table, Key=place).get("Item")
        return item


def _remember(memory: OrderedDict[str, V], token_hash: str, value: V) -> None:
    memory[token_hash] = value
    memory.move_to_end(token_hash)
    if len(memory) > REMEMBERED:
        memory.popitem(last=False)


def _too_many() -> Unavailable:
    error = Unavailable("Too many unknown API keys are being tried. Try again in 1 s.")
    error.retry_after = "1"
    return error


def _tenant(item: dict[str, Any] | None, token_hash: str) -> Tenant | None:
    if item is None or not compare_digest(item["sk"]["S"], token_hash) or item["disabled"]["BOOL"]:
        return None
    own = {name: item[name]["S"] for name in OF_A_KEY if name in item}
    return Tenant(item["tenant"]["S"], item["namespace"]["S"], item["name"]["S"], **own)


def build(settings: Settings) -> DynamoKeys:
    return DynamoKeys(aws_of(settings), settings.state_table, settings.key_ttl)
