"""The checker's half of the objects in `checks.py`: what waits, and noting what follows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, zip_longest

from subsecond.semantic.verification import learned as codec
from subsecond.semantic.verification import samples
from subsecond.semantic.verification.checks import KEPT, WAITING, Checks
from subsecond.semantic.verification.learned import Learned
from subsecond.semantic.verification.samples import Sample

# Seconds that a sample waits at the longest: it holds texts.
LIFE = 3 * 86_400.0
# Samples that wait at the most. What comes beyond them is never reached within a day's budget, and would be listed at
# every run. The names decide which stay, and these are random.
MOST_WAITING = 2_000
# Of what is spent, and whose turn it is. No partition is called so: theirs have a colon.
BUDGET = KEPT + "budget"


class Queue(Checks):
    """Raises ObjectsFailed, every method."""

    async def waiting(self, now: float) -> Sequence[str]:
        """The names of the samples: of each partition in turn, so that none holds up the others, and in the order of
        their requests' names, which are random. What waits for too long, or is too much, is deleted."""
        found = await self.objects.listed(WAITING)
        if old := [one.name for one in found if one.modified <= now - LIFE]:
            await self.objects.delete(old)
        lines: defaultdict[str, list[str]] = defaultdict(list)
        for name in sorted(one.name for one in found if one.modified > now - LIFE):
            lines[name.rpartition("/")[0]].append(name)
        names = [name for name in chain.from_iterable(zip_longest(*lines.values())) if name]
        if len(names) > MOST_WAITING:
            await self.objects.delete(names[MOST_WAITING:])
        return names[:MOST_WAITING]

    async def sample(self, name: str) -> Sample | None:
        """None where it is gone, or cannot be read: then it is deleted."""
        found = await self.objects.get(name)
        if found is None or found.data is None:
            return None
        try:
            return samples.decode(found.data)
        except ValueError:
            await self.done(name)
            return None

    async def done(self, name: str) -> None:
        await self.objects.delete([name])

    async def save(self, partition: str, learned: Learned, etag: str | None) -> bool:
        """False where somebody else was first."""
        return await self.objects.put_if(KEPT + partition, codec.encode(learned), etag) is not None

    async def budget(self) -> tuple[bytes | None, str | None]:
        """What of today's budget is spent, and its version: `budget.py` reads it."""
        found = await self.objects.get(BUDGET)
        return (found.data, found.etag) if found else (None, None)

    async def spend(self, data: bytes, etag: str | None) -> bool:
        """False where somebody else was first."""
        return await self.objects.put_if(BUDGET, data, etag) is not None
