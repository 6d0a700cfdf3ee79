"""Turns records of the answers table's stream into changes of the index. Pure; what cannot be read is Poisoned.

An item is indexed when it has both `vector` (bytes: 16-bit fractions, see `vectors`) and `embedder` (the model's id).
Other attributes: pk `<partition>#<key hex>`, scope (hex), created, expires, and used: when it last served a hit.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np

from subsecond.semantic.index.segments import IDS, IndexId, Part
from subsecond.semantic.index.vectors import Rows, stacked, unpack

MICROSECONDS = 1_000_000
HASH_BYTES = 32
# 142 years: whatever is created later is no date, and would never be replaced.
LATEST_CREATED = 1 << 52
LATEST = 0xFFFFFFFF
# What reading a strange record can raise.
UNREADABLE = (KeyError, TypeError, AttributeError, ValueError, ArithmeticError)
# Together with the rest of an object's name they must stay below S3's 1,024 bytes.
LONGEST_PREFIX = 700


class Poisoned(Exception):
    """A record, or an item, that can never be indexed."""


@dataclass(frozen=True, slots=True)
class Change:
    """An entry that is to be in the index; without a row, a tombstone: `used` 0 deletes it, another dates its last hit.

    key, scope: 32 bytes. created: epoch microseconds. expires, used: epoch seconds; used: the last hit, or 0.
    """

    key: bytes
    scope: bytes
    created: int
    expires: int
    used: int = 0
    row: Rows | None = None

    @property
    def version(self) -> int:
        """Of a row or a deletion; comparable with the versions of a KeyIndex."""
        return 2 * self.created + (self.row is None)


Located: TypeAlias = tuple[IndexId, Change]


def sequence_of(record: Mapping[str, Any]) -> str:
    """The number by which Lambda knows the record. Raises Poisoned."""
    try:
        return str(record["dynamodb"]["SequenceNumber"])
    except UNREADABLE as error:
        raise Poisoned(type(error).__name__) from None


def changes_of(record: Mapping[str, Any]) -> Sequence[Located]:
    """The changes of one stream record, each with its index. Raises Poisoned."""
    try:
        images = record["dynamodb"]
        new, old = images.get("NewImage"), images.get("OldImage")
        added = change_of(new) if new else None
        removed = _removal(old, new, added)
    except UNREADABLE as error:
        raise Poisoned(type(error).__name__) from None
    return [located for located in (added, removed) if located]


def _removal(old: Any, new: Any, added: Located | None) -> Located | None:
    """The deletion of what the old image had in the index, unless the new one replaces it in the same index."""
    try:
        gone = change_of(old) if old else None
    except Poisoned:
        # It was not indexed when it came.
        return None
    if gone is None or (added and added[0] == gone[0]):
        return None
    index_id, was = gone
    created = was.created if added or not new else max(was.created, _created(new))
    return index_id, Change(was.key, was.scope, created, was.expires)


def change_of(item: Mapping[str, Any]) -> Located | None:
    """The index and row of an item in DynamoDB's JSON, None when it is not to be indexed. Raises Poisoned."""
    if "vector" not in item or "embedder" not in item:
        return None
    try:
        partition, _, key = item["pk"]["S"].rpartition("#")
        row = unpack(_bytes(item["vector"]["B"]))
        index_id = IndexId(partition, str(item["embedder"]["S"]), len(row))
        change = Change(
            key=_hash(key),
            scope=_hash(item["scope"]["S"]),
            created=_created(item),
            expires=_seconds(item["expires"]["N"]),
            used=_seconds(item["used"]["N"]) if "used" in item else 0,
            row=row,
        )
    except UNREADABLE as error:
        raise Poisoned(type(error).__name__) from None
    if not (index_id.partition and index_id.embedder and len(index_id.prefix.encode()) <= LONGEST_PREFIX):
        raise Poisoned("a name")
    return index_id, change


def _created(item: Mapping[str, Any]) -> int:
    created = int(_number(item["created"]["N"], LATEST_CREATED) * MICROSECONDS)
    if not created < LATEST_CREATED:
        raise Poisoned("a date")
    return created


def _seconds(text: str) -> int:
    return min(int(_number(text, LATEST_CREATED)), LATEST)


def _number(text: str, stop: int) -> Decimal:
    number = Decimal(text)
    if not 0 <= number < stop:
        raise Poisoned("a number")
    return number


def _hash(text: str) -> bytes:
    data = bytes.fromhex(text)
    if len(data) != HASH_BYTES:
        raise Poisoned("a hash")
    return data


def _bytes(value: Any) -> bytes:
    """Lambda's events have base64 text where boto3 gives bytes."""
    if isinstance(value, str):
        return base64.b64decode(value, validate=True)
    return bytes(memoryview(value))


def part_of(changes: Sequence[Change], dim: int) -> Part:
    """The changes as a part that is still to be merged: rows, then tombstones."""
    rows = [change for change in changes if change.row is not None]
    tombstones = [change for change in changes if change.row is None]
    fields = [(one.key, one.scope, one.created, one.expires, one.used) for one in (*rows, *tombstones)]
    return Part(stacked([one.row for one in rows if one.row is not None], dim), np.array(fields, IDS))
