"""What the pipeline needs from outside. An adapter is a file in the port's folder, with `build(settings)`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from subsecond.model import Call, Entry, Hit, Rule, Tenant
    from subsecond.stats.trace import Trace


class Keys(Protocol):
    """API keys (folder `keys`)."""

    async def tenant(self, token_hash: str) -> Tenant | None:
        """Whose key this is, or None when it is unknown or disabled. `token_hash`: SHA-256, 64 hex digits."""


class ExactStore(Protocol):
    """Answers by exact key (folder `cache`)."""

    async def get(self, partition: str, key: str) -> Entry | None:
        """The entry, or None when there is none or it has expired."""

    async def put(self, entry: Entry) -> float | None:
        """Store it. Returns the `expires` of the live entry that it replaced, 0 when there was none, and None when it
        wrote nothing because a newer answer is there (or there is no room). What was reported of the key stays."""

    async def fresh(self, partition: str, key: str) -> Entry | None:
        """As `get`, past every memory: what all environments have written is in it."""

    async def report(self, partition: str, key: str, digest: str, *, wrong: bool) -> None:
        """Add the text's digest to the entry's negatives, or take it back. Nothing when there is no such entry."""

    async def touch(self, partition: str, key: str) -> None:
        """It has just served a similar question: an index that runs full keeps it longer. May be noted but once in a
        while. Nothing when there is no such entry."""

    async def drop(self, partition: str, key: str, before: float) -> bool:
        """Delete the entry that was created until `before`; whether there was one. One with negatives stays: what
        comes in its place must not answer wrongly again."""

    def in_memory(self, partition: str) -> Sequence[Entry]:
        """The partition's live entries that this process remembers: a part of all, found without asking a table."""


class Invalidations(Protocol):
    """Dated rules of what is served no more (folder `invalidations`)."""

    async def add(self, partition: str, rule: Rule) -> None:
        """A rule for the same kind and value takes the place of an earlier one, never of a later one. A namespace's
        rule takes the place of all that it subsumes; no reader ever sees neither."""

    async def rules(self, partition: str) -> Sequence[Rule]:
        """All that were added, in any order. Those that have expired or are subsumed may be missing."""


class HitLog(Protocol):
    """The semantic hits of the last day (folder `hits`)."""

    async def note(self, partition: str, hit: Hit) -> None:
        """Keep it for a day."""

    async def find(self, partition: str, request_id: str) -> Hit | None:
        """None when that request was no semantic hit, or is too long ago."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply of the upstream, as it came."""

    status: int
    content_type: str
    body: bytes


class Embedder(Protocol):
    """Text to vector (folder `embedders`). `id` names the model and its revision: vectors of two ids never meet."""

    id: str
    dim: int
    # Characters of the longest text that it can embed within the semantic stage's time box.
    max_chars: int

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dim), L2-normalised."""


class Upstream(Protocol):
    """A server of models (folder `upstreams`)."""

    def stream(self, call: Call) -> AsyncGenerator[bytes]:
        """The payloads of the answer's `data:` lines, as they come, without `[DONE]`.

        It ends only after the upstream said `[DONE]`; whatever else happens is an UpstreamError. Closing the generator
        closes the upstream call.
        """

    async def fetch(self, path: str, body: Mapping[str, Any] | None, deadline: float | None) -> Reply:
        """One whole call: POST where there is a body, GET without (`/embeddings`, `/models`)."""


class Ledger(Protocol):
    """Counters and histograms (folder `stats/ledgers`)."""

    def record(self, trace: Trace) -> None:
        """Count one finished request. In memory, never blocks, never fails."""

    async def flush(self, *, force: bool = False) -> None:
        """Merge into the shared table when the last merge is old enough, or at once. Store failures are counted and
        tried again later, not raised."""

    async def summary(self, partition: str) -> Mapping[str, Any]:
        """The figures of one partition (or, without a colon, of all a tenant's) from all environments, as
        `GET /v1/cache/stats` shows them."""
