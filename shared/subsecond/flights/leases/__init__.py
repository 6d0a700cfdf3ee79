"""Who works on what, across environments. One file for each store, with `build(settings)`.

A lease is held by its owner until its time ends. What is left of one that has ended stays for a minute: it says when
that was, and how. Owners are compared by the clocks of their machines, so a lease must be long against their skew.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal, Protocol

# Seconds for which an ended lease can at least be seen.
REMEMBERED = 60.0

# Owner of what is released: a renewal that arrives late shall not revive it.
NOBODY = "-"

# held: somebody works on it. free: nobody does. alone: nobody does, and waiting for others is no use: what the last
# owner got could not be stored.
Standing = Literal["held", "free", "alone"]


@dataclass(frozen=True, slots=True)
class Acquired:
    """taken: it is ours now. ago: seconds since the last one ended, infinite when none did lately."""

    taken: bool
    ago: float = inf


class Leases(Protocol):
    """Every method may raise what its store's library raises."""

    async def acquire(self, partition: str, key: str, owner: str, seconds: float) -> Acquired:
        """Take it, unless somebody else holds it. Taking again what one holds is right (a reply may be lost)."""

    async def look(self, partition: str, key: str) -> Standing:
        """How it stands, perhaps a moment ago."""

    async def renew(self, partition: str, key: str, owner: str, seconds: float) -> bool:
        """Hold it for `seconds` from now. False: it is no longer the owner's."""

    async def release(self, partition: str, key: str, owner: str, *, alone: bool = False) -> None:
        """End it now, if it is still the owner's. `alone`: see Standing."""
