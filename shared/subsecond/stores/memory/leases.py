"""Leases in this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from subsecond.config import Settings
from subsecond.ports import LEASE_REMEMBERED, NOBODY, Acquired, Standing

# Past so many, those that ended long ago are looked for and forgotten.
MANY = 1_000


@dataclass(slots=True)
class _Lease:
    owner: str
    until: float
    alone: bool = False


class MemoryLeases:
    """`clock`: seconds, of any kind."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._leases: dict[tuple[str, str], _Lease] = {}
        self._many = MANY

    def __len__(self) -> int:
        return len(self._leases)

    async def acquire(self, partition: str, key: str, owner: str, seconds: float) -> Acquired:
        now = self._clock()
        place = (partition, key)
        old = self._leases.get(place)
        if old and old.until > now and old.owner != owner:
            return Acquired(taken=False)
        self._leases[place] = _Lease(owner, now + seconds)
        if len(self._leases) > self._many:
            self._forget(now)
        return Acquired(taken=True, ago=max(0.0, now - old.until)) if old else Acquired(taken=True)

    async def look(self, partition: str, key: str) -> Standing:
        lease = self._leases.get((partition, key))
        if lease and lease.until > self._clock():
            return "held"
        return "alone" if lease and lease.alone else "free"

    async def renew(self, partition: str, key: str, owner: str, seconds: float) -> bool:
        lease = self._leases.get((partition, key))
        if lease is None or lease.owner != owner:
            return False
        lease.until = self._clock() + seconds
        return True

    async def release(self, partition: str, key: str, owner: str, *, alone: bool = False) -> None:
        lease = self._leases.get((partition, key))
        if lease and lease.owner == owner:
            lease.owner, lease.until, lease.alone = NOBODY, min(lease.until, self._clock()), alone

    def _forget(self, now: float) -> None:
        self._leases = {place: lease for place, lease in self._leases.items() if lease.until > now - LEASE_REMEMBERED}
        # Where all are in use, the next search waits until there are twice as many.
        self._many = max(MANY, 2 * len(self._leases))


def build(settings: Settings) -> MemoryLeases:
    del settings
    return MemoryLeases()
