"""Where samples wait for their check, and where what was learned is kept: objects beside the index.

`checks/<partition>/<request id>` is a sample, written by the gateway after its answer's last byte and deleted by the
checker. `accuracy/<partition>` is what was learned, written by the checker alone, if nobody else has written it since.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, zip_longest

from subsecond.ports import Objects
from subsecond.semantic.verification import learned as codec
from subsecond.semantic.verification import samples
from subsecond.semantic.verification.learned import Learned
from subsecond.semantic.verification.samples import Sample

WAITING, KEPT = "checks/", "accuracy/"
# Seconds that a sample waits at the longest: it holds texts.
LIFE = 3 * 86_400.0


@dataclass(frozen=True, slots=True)
class Version:
    """What was read, and as which version: etag None where there is nothing. unchanged: it still is the version that
    the reader knows, and was not read again."""

    etag: str | None
    learned: Learned | None
    unchanged: bool = False


class Checks:
    """make: makes the store of objects, when it is first needed. Raises ObjectsFailed, every method."""

    def __init__(self, make: Callable[[], Objects]) -> None:
        self._make = make

    @cached_property
    def objects(self) -> Objects:
        return self._make()

    async def add(self, sample: Sample) -> None:
        await self.objects.put(_name(sample), samples.encode(sample))

    async def waiting(self, now: float) -> Sequence[str]:
        """The names of the samples: of each partition in turn, so that none holds up the others, and in the order of
        their requests' names, which are random. What waits for too long is deleted."""
        found = await self.objects.listed(WAITING)
        if old := [one.name for one in found if one.modified <= now - LIFE]:
            await self.objects.delete(old)
        lines: defaultdict[str, list[str]] = defaultdict(list)
        for name in sorted(one.name for one in found if one.modified > now - LIFE):
            lines[name.rpartition("/")[0]].append(name)
        return [name for name in chain.from_iterable(zip_longest(*lines.values())) if name]

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

    async def learned(self, partition: str, known: str | None = None) -> Version:
        """Damaged ones raise ValueError: whoever serves must not begin anew with less than is known."""
        found = await self.objects.get(KEPT + partition, known)
        if found is None:
            return Version(None, None)
        if found.data is None:
            return Version(found.etag, None, unchanged=True)
        return Version(found.etag, codec.decode(found.data))

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


# No partition is called so: theirs have a colon.
BUDGET = KEPT + "budget"


def _name(sample: Sample) -> str:
    return f"{WAITING}{sample.partition}/{sample.request_id}"
