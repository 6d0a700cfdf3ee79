"""All namespaces of a tenant in one summary. A partition is `TENANT:NAMESPACE`; without the colon it is the tenant."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from subsecond.stats.summary import summarise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Namespaces that are added up; past it the summary is not complete.
MOST = 50
SHORT = ("requests", "hits", "misses", "hit_rate", "tokens", "exact_cache_size")


def tenant_of(partition: str) -> str:
    return partition.partition(":")[0]


def is_tenant(partition: str) -> bool:
    return ":" not in partition


def overall(
    found: Mapping[str, Sequence[tuple[str, Mapping[str, int]]]], now: float, hours: int, *, complete: bool = True
) -> dict[str, Any]:
    """`found`: the rollups by partition. The sums, and each namespace in short."""
    names = sorted(found)[:MOST]
    whole = summarise(
        chain.from_iterable(found[name] for name in names), now, hours, complete=complete and len(found) <= MOST
    )
    parts = {name.partition(":")[2]: summarise(found[name], now, hours) for name in names}
    return whole | {"namespaces": {name: {key: part[key] for key in SHORT} for name, part in parts.items()}}
