"""API keys in the state table: create, list, revoke.

An item: pk `keys`, sk = SHA-256 of the token in hex, name, tenant, namespace, created (ISO 8601), prefix (to recognise
the token by), disabled; and what it has of its own in the place of a setting: scope, volatile. The token itself is not
stored; a revoked key stays in the table, disabled.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from subsecond.setting_values import OF_A_KEY
from subsecond_local.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

PARTITION = "keys"
TOKEN_START = "sk-ss-"  # noqa: S105 (what every key begins with)
PREFIX_LENGTH = 10
# Tenant and namespace become parts of stored names: no separator of ours may occur in them.
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
# A header's value: visible ASCII, without spaces.
TOKEN = re.compile(r"[!-~]{1,512}")


@dataclass(frozen=True, slots=True)
class Key:
    """One stored key. `hash`: 64 hex digits. `created`: ISO 8601, UTC. scope, volatile: empty where the settings
    hold."""

    hash: str
    name: str
    tenant: str
    namespace: str
    created: str
    prefix: str
    disabled: bool = False
    scope: str = ""
    volatile: str = ""


@dataclass(frozen=True, slots=True)
class KeyTable:
    """The keys in the state table. Errors of boto3 pass through."""

    dynamodb: DynamoDBClient
    table: str

    def create(self, name: str, tenant: str, namespace: str, *, scope: str = "", volatile: str = "") -> tuple[str, Key]:
        """Store a new key: its token, which is shown only now, and the stored item. LocalError for bad names."""
        for what, text in (("name", name), ("tenant", tenant), ("namespace", namespace)):
            check_name(what, text)
        if any(key.name == name and not key.disabled for key in self.list()):
            raise LocalError(f"There is a key named {name!r} already. Revoke it first, or choose another name.")
        token = new_token()
        key = dataclasses.replace(describe(token, name, tenant, namespace), scope=scope, volatile=volatile)
        self._put(key)
        return token, key

    def list(self) -> list[Key]:
        """All keys, the disabled too, in the order of their creation."""
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=self.table,
            KeyConditionExpression="pk = :keys",
            ExpressionAttributeValues={":keys": {"S": PARTITION}},
            ConsistentRead=True,
        )
        keys = [read(item) for page in pages for item in page["Items"]]
        return sorted(keys, key=lambda key: (key.created, key.name))

    def revoke(self, wanted: str) -> Key:
        """Disable the one active key with this name, beginning or token. LocalError unless there is exactly one."""
        active = [key for key in self.list() if not key.disabled]
        found = [key for key in active if key.hash == hash_of(wanted) or key.name == wanted]
        if not found and wanted.startswith(TOKEN_START) and len(wanted) <= PREFIX_LENGTH:
            found = [key for key in active if key.prefix.startswith(wanted)]
        if not found:
            names = ", ".join(key.name for key in active) or "none"
            raise LocalError(f"No active key has this name, beginning or token. Active keys: {names}.")
        if len(found) > 1:
            names = ", ".join(f"{key.name} ({key.prefix}...)" for key in found)
            raise LocalError(f"That fits several keys: {names}. Name one of them.")
        self._disable(found[0])
        return self._get(found[0].hash) or found[0]

    def delete(self, token: str) -> None:
        """Take the key out of the table: for one that nobody needs to find there any more."""
        self.dynamodb.delete_item(TableName=self.table, Key={"pk": {"S": PARTITION}, "sk": {"S": hash_of(token)}})

    def is_revoked(self, token: str) -> bool:
        key = self._get(hash_of(token))
        return key is not None and key.disabled

    def replace(self, token: str, name: str, tenant: str, namespace: str) -> Key:
        """Make `token` the one active key of this name: it is stored, and any other of the name disabled."""
        key = describe(token, name, tenant, namespace)
        known = self.list()
        if not any(other.hash == key.hash and not other.disabled for other in known):
            self._put(key)
        for other in known:
            if other.name == name and other.hash != key.hash and not other.disabled:
                self._disable(other)
        return key

    def _get(self, digest: str) -> Key | None:
        found = self.dynamodb.get_item(
            TableName=self.table, Key={"pk": {"S": PARTITION}, "sk": {"S": digest}}, ConsistentRead=True
        )
        return read(found["Item"]) if "Item" in found else None

    def _put(self, key: Key) -> None:
        texts = {
            "pk": PARTITION,
            "sk": key.hash,
            "name": key.name,
            "tenant": key.tenant,
            "namespace": key.namespace,
            "created": key.created,
            "prefix": key.prefix,
        }
        texts |= {field: text for field in OF_A_KEY if (text := getattr(key, field))}
        item: dict[str, AttributeValueTypeDef] = {field: {"S": text} for field, text in texts.items()}
        self.dynamodb.put_item(TableName=self.table, Item={**item, "disabled": {"BOOL": key.disabled}})

    def _disable(self, key: Key) -> None:
        self.dynamodb.update_item(
            TableName=self.table,
            Key={"pk": {"S": PARTITION}, "sk": {"S": key.hash}},
            UpdateExpression="SET disabled = :yes",
            ConditionExpression="attribute_exists(sk)",
            ExpressionAttributeValues={":yes": {"BOOL": True}},
        )


def new_token() -> str:
    """256 random bits, so that a plain SHA-256 of it cannot be searched for."""
    return TOKEN_START + secrets.token_urlsafe(32)


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def describe(token: str, name: str, tenant: str, namespace: str) -> Key:
    """The stored item of a new key."""
    created = datetime.now(UTC).isoformat(timespec="seconds")
    # A token that somebody chose may be short: never more than a third of it is shown.
    prefix = token[: min(PREFIX_LENGTH, len(token) // 3)]
    return Key(hash_of(token), name, tenant, namespace, created, prefix)


def read(item: Mapping[str, AttributeValueTypeDef]) -> Key:
    names = ("name", "tenant", "namespace", "created", "prefix", *OF_A_KEY)
    texts = {field: item.get(field, {}).get("S", "") for field in names}
    return Key(hash=item["sk"]["S"], disabled=item.get("disabled", {}).get("BOOL", False), **texts)


def check_name(what: str, text: str) -> None:
    """LocalError unless it can be a key's name, a tenant or a namespace."""
    if not NAME.fullmatch(text) or text.startswith(TOKEN_START):
        raise LocalError(
            f"{text!r} cannot be a {what}: use 1 to 63 lower-case letters, digits, '-' and '_', beginning with a "
            f"letter or a digit, and not with {TOKEN_START!r}."
        )


def check_token(token: str) -> None:
    """LocalError unless it can be sent as `Authorization: Bearer`."""
    if not TOKEN.fullmatch(token):
        raise LocalError("SUBSECOND_API_KEY must be 1 to 512 visible ASCII characters without spaces.")
