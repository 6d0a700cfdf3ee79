"""Which fields part a request from what is stored of its very text: the commonest reason for a miss."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from subsecond.cache.fingerprint import fingerprint, parting
from subsecond.model import Entry, Request
from subsecond.pipeline import Gateway

if TYPE_CHECKING:
    # numpy, which an environment without the semantic stage never loads
    from subsecond.semantic.index.vectors import Vector
    from subsecond.stages.semantic import SemanticCache

# Entries of the index that are read from the table. Of one text there are rarely more.
READ = 10


@dataclass(frozen=True, slots=True)
class Parted:
    """A stored entry of the same text, and the fields that part the request from it."""

    entry: str
    fields: list[str]

    @property
    def reason(self) -> str:
        return f"the same text is stored, and parted by: {', '.join(self.fields)}"

    def public(self) -> dict[str, Any]:
        return {"entry": self.entry, "fields": self.fields}


async def parted(
    gateway: Gateway, request: Request, semantic: SemanticCache | None, vector: Vector | None
) -> Parted | None:
    """The nearest one, by the number of fields, then by age. In a scope of its own the index would not find it, so all
    scopes are searched, and what this environment remembers. Raises what the store and the embedder raise."""
    text = request.prompt.text
    if not text:
        return None
    near = [] if semantic is None else await _anywhere(request, semantic, vector)
    known = {one.prompt.key: one for one in gateway.exact.in_memory(request.tenant.partition)}
    fresh = gateway.exact.fresh
    read = [await fresh(request.tenant.partition, key, request.call.form) for key in near if key not in known]
    alike = [one for one in (*known.values(), *read) if one and one.prompt.text == text]
    return _nearest((one for one in alike if not gateway.rules.cover(one)), request, fingerprint(request))


async def _anywhere(request: Request, semantic: SemanticCache, vector: Vector | None) -> list[str]:
    """The keys of the nearest entries, also for a request that takes no part in similarity itself."""
    text, partition = request.prompt.text, request.tenant.partition
    if vector is None:
        if len(text) > semantic.embedder.max_chars:
            return []
        (vector,) = await semantic.embedder.embed([text])
    await semantic.reader.refresh(partition)
    return semantic.reader.anywhere(partition, vector, READ)


def _nearest(entries: Iterable[Entry], request: Request, asked: str) -> Parted | None:
    found = [(one, parting(one.fields, asked)) for one in entries if one.prompt.key != request.prompt.key]
    apart = [(one, fields) for one, fields in found if fields]
    if not apart:
        return None
    entry, fields = min(apart, key=lambda pair: (len(pair[1]), -pair[0].created))
    return Parted(entry.prompt.key, fields)
