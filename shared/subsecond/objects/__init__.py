"""Object stores: named bytes with an ETag and conditional writes. One file each, with `build(settings)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class ObjectsFailed(Exception):
    """The store refused or did not answer. A write that ends so may have been done all the same."""


@dataclass(frozen=True, slots=True)
class Found:
    """An object. `data` is None when it still is the version that the caller knows."""

    etag: str
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Listed:
    """`size` in bytes, `modified` in epoch seconds on the store's clock."""

    name: str
    size: int
    modified: float


class Objects(Protocol):
    """Every method raises ObjectsFailed. Reads see every write that ended before they began, as S3's do."""

    async def get(self, name: str, known: str | None = None) -> Found | None:
        """The object, or None when there is none. `known`: the ETag of the version that the caller has."""

    async def put(self, name: str, data: bytes) -> str:
        """Write it whatever is there. Returns its ETag."""

    async def put_if(self, name: str, data: bytes, etag: str | None) -> str | None:
        """Write it if the version there is `etag`, or, for None, if there is none. Returns the new ETag, and None when
        somebody else was first."""

    async def listed(self, prefix: str) -> list[Listed]:
        """All objects whose name begins so."""

    async def delete(self, names: Sequence[str]) -> None:
        """Names without an object are no error."""
