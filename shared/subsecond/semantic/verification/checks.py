"""Where samples wait for their check, and where what was learned is kept: objects beside the index.

`checks/<partition>/<request id>` is a sample, written by the gateway after its answer's last byte and deleted by the
checker. `accuracy/<partition>` is what was learned, written by the checker alone, if nobody else has written it since.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from subsecond.ports import Objects
from subsecond.semantic.verification import learned as codec
from subsecond.semantic.verification import samples
from subsecond.semantic.verification.learned import Learned
from subsecond.semantic.verification.samples import Sample

WAITING, KEPT = "checks/", "accuracy/"


@dataclass(frozen=True, slots=True)
class Version:
    """What was read, and as which version: etag None where there is nothing. unchanged: it still is the version that
    the reader knows, and was not read again."""

    etag: str | None
    learned: Learned | None
    unchanged: bool = False


class Checks:
    """The gateway's half: it adds samples, and reads what was learned. make: makes the store of objects, when it is
    first needed. Raises ObjectsFailed, every method."""

    def __init__(self, make: Callable[[], Objects]) -> None:
        self._make = make

    @cached_property
    def objects(self) -> Objects:
        return self._make()

    async def add(self, sample: Sample) -> None:
        await self.objects.put(_name(sample), samples.encode(sample))

    async def learned(self, partition: str, known: str | None = None) -> Version:
        """Damaged ones raise ValueError: whoever serves must not begin anew with less than is known."""
        found = await self.objects.get(KEPT + partition, known)
        if found is None:
            return Version(None, None)
        if found.data is None:
            return Version(found.etag, None, unchanged=True)
        return Version(found.etag, codec.decode(found.data))


def _name(sample: Sample) -> str:
    return f"{WAITING}{sample.partition}/{sample.request_id}"
