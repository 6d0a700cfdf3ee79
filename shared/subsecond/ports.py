"""What the gateway needs from outside. An adapter is a file with `build(settings)`: a store in its engine's folder
under `stores/`, an embedder in `semantic/embedders/`, a policy in `semantic/policies/`, a server of models in
`upstreams/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from subsecond.model import Call, Chunk, Entry, Form, Headers, Hit, Passage, Rule, Tenant
    from subsecond.semantic.verification.checks import Version
    from subsecond.semantic.verification.samples import Sample
    from subsecond.stats.trace import Trace


@dataclass(frozen=True, slots=True)
class Believed:
    """sure: it was read so lately that no answer need wait for its being read again."""

    tenant: Tenant
    sure: bool


class Keys(Protocol):
    """API keys (`stores/*/keys.py`)."""

    async def tenant(self, token_hash: str) -> Tenant | None:
        """Whose key this is, or None when it is unknown or disabled. `token_hash`: SHA-256, 64 hex digits."""

    def believed(self, token_hash: str) -> Believed | None:
        """Whose key it was when it was last read, without asking anybody; None where nobody knows here."""


class ExactStore(Protocol):
    """Answers by exact key (`stores/*/answers.py`)."""

    async def get(self, partition: str, key: str, form: Form) -> Entry | None:
        """The live entry of that form, else the one of the other form; None when neither is there."""

    async def put(self, entry: Entry) -> float | None:
        """Store it beside the other form's. Returns the `expires` of the live entry of its form that it replaced, 0
        when there was none, and None when it wrote nothing because a newer one is there (or there is no room). What was
        reported of the key stays, and the tags of both forms count for both."""

    async def fresh(self, partition: str, key: str, form: Form) -> Entry | None:
        """As `get`, past every memory: what all environments have written is in it."""

    async def report(self, partition: str, key: str, digest: str, *, wrong: bool) -> None:
        """Add the text's digest to the entry's false hits, or take it back. Nothing when there is no such entry."""

    async def touch(self, partition: str, key: str) -> None:
        """It has just served a similar question: an index that runs full keeps it longer. May be noted but once in a
        while. Nothing when there is no such entry."""

    async def drop(self, partition: str, key: str, before: float) -> bool:
        """Delete both forms where the later one was created until `before`; whether there was one. An entry with
        negatives stays: what comes in its place must not answer wrongly again."""

    def in_memory(self, partition: str) -> Sequence[Entry]:
        """The partition's live entries that this process remembers, of each key the newer form: a part of all, found
        without asking a table."""


class Invalidations(Protocol):
    """Dated rules of what is served no more (`stores/*/invalidations.py`)."""

    async def add(self, partition: str, rule: Rule) -> None:
        """A rule for the same kind and value takes the place of an earlier one, never of a later one. A namespace's
        rule takes the place of all that it subsumes; no reader ever sees neither."""

    async def rules(self, partition: str) -> Sequence[Rule]:
        """All that were added, in any order. Those that have expired or are subsumed may be missing."""


class HitLog(Protocol):
    """The semantic hits of the last day (`stores/*/hits.py`)."""

    async def note(self, partition: str, hit: Hit) -> None:
        """Keep it for a day."""

    async def find(self, partition: str, request_id: str) -> Hit | None:
        """None when that request was no semantic hit, or is too long ago."""


# Seconds for which OpenAI keeps an object that was not deleted.
OWNED = 30 * 86_400.0
# Names that an `Owners` is asked for at a time, as many as a batch of DynamoDB's holds.
OWNERS_BATCH = 100


class Owners(Protocol):
    """Whose the objects are that upstreams keep (`stores/*/owners.py`)."""

    async def add(self, partition: str, names: Sequence[str], place: str) -> None:
        """They are the partition's from now on, for OWNED seconds. place: the model that made them."""

    async def places(self, partition: str, names: Sequence[str]) -> Mapping[str, str]:
        """The place of each of them that is the partition's. What another partition has is not among them. names: no
        more than OWNERS_BATCH."""

    async def drop(self, partition: str, name: str) -> None:
        """It is gone."""


class CheckLog(Protocol):
    """Hits that wait for a check, and what was learned from checks (`semantic/verification/checks.py`)."""

    async def add(self, sample: Sample) -> None:
        """Keep it until it is checked, for days at the longest."""

    async def learned(self, partition: str, known: str | None = None) -> Version:
        """What the partition has learned. known: the version that the caller has."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply of the upstream, as it came (a content coding undone). headers: those that a client acts on."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: Headers = ()


class EventStream(Protocol):
    """An answer that comes as events. headers: those that a client acts on."""

    headers: Headers

    async def next(self) -> Chunk | None:
        """The next event or comment; None at the end: `[DONE]`, or the end of the body behind a whole event.

        Raises UpstreamError when it breaks off inside an event or a chunk, is too late or too large.
        """

    def close(self) -> None:
        """Ends the upstream call, unless it has ended. May be called again."""


class ByteStream(Protocol):
    """An answer that is passed on unread. headers: those that a client acts on."""

    content_type: str
    headers: Headers

    async def next(self) -> bytes | None:
        """What has come; None at the end. Raises UpstreamError when it breaks off, is too late or too large."""

    def close(self) -> None:
        """Ends the upstream call, unless it has ended. May be called again."""


class Embedder(Protocol):
    """Text to vector (`semantic/embedders/`). `id` names the model and its revision: vectors of two ids never meet."""

    id: str
    dim: int
    # Characters of the longest text that it can embed within the semantic stage's time box.
    max_chars: int

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dim), L2-normalised."""


class Upstream(Protocol):
    """A server of models (`upstreams/`)."""

    async def ask(self, call: Call) -> Reply | EventStream:
        """The answer, asked for in the call's form; it comes in the form that the server chose, recognised by the body
        where the content type lies. A stream is handed out with its first event read, so that what fails before it can
        be asked again. A reply's status is below 400.

        Raises UpstreamError with the server's own status, words and headers; Unavailable without configuration.
        """

    async def fetch(self, path: str, body: Mapping[str, Any] | None, deadline: float | None) -> Reply:
        """One whole call: POST where there is a body, GET without (`/embeddings`, `/models`)."""

    async def pass_on(self, passage: Passage) -> ByteStream:
        """The answer, its head read. Raises as `ask`; NotFound where the server has no such path."""


class Keeping(Protocol):
    """An upstream that keeps objects (`/responses/ID`)."""

    async def kept(self, method: str, path: str, deadline: float | None) -> Reply | EventStream:
        """What it says of an object; the events of one that is still made, or is told again, where the query asks for
        a stream. Raises UpstreamError."""


class Ledger(Protocol):
    """Counters and histograms (`stores/*/ledger.py`)."""

    def record(self, trace: Trace) -> None:
        """Count one finished request. In memory, never blocks, never fails."""

    async def flush(self, *, force: bool = False) -> None:
        """Merge into the shared table when the last merge is old enough, or at once. Store failures are counted and
        tried again later, not raised."""

    async def summary(self, partition: str, hours: int) -> Mapping[str, Any]:
        """The figures of one partition (or, without a colon, of all a tenant's) from all environments, as
        `GET /v1/cache/stats` shows them. hours: how far back, this one included; 720 at the most."""


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


@dataclass(frozen=True, slots=True)
class StoredQuestion:
    """A stored question. `similarity`: the cosine of its vector with the request's, -1 to 1. `age`: seconds."""

    text: str
    similarity: float
    age: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`unsure` is served as a miss; a later stage may ask a model. `score`: how surely the candidate may answer, on the
    policy's own scale, higher is surer; so that a stricter cut can be tried on the same verdicts."""

    decision: Literal["hit", "miss", "unsure"]
    reasons: tuple[str, ...]
    score: float


# A policy's reason for a miss: the texts are too long to be compared word by word. The semantic stage counts these.
TOO_LONG = "long, and not the same words"


class Policy(Protocol):
    # The similarity below which no text could make a hit: such a candidate is not even fetched.
    floor: float
    # The score from which on it says hit.
    cut: float

    def judge(self, asked: str, candidate: StoredQuestion) -> Verdict:
        """Pure: no clock, no I/O."""


# Seconds for which an ended lease can at least be seen.
LEASE_REMEMBERED = 60.0

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
    """Who works on what, across environments (`stores/*/leases.py`).

    A lease is held by its owner until its time ends. What is left of one that has ended stays for a minute: it says
    when that was, and how. Owners are compared by the clocks of their machines, so a lease must be long against their
    skew. Every method may raise what its store's library raises."""

    async def acquire(self, partition: str, key: str, owner: str, seconds: float) -> Acquired:
        """Take it, unless somebody else holds it. Taking again what one holds is right (a reply may be lost)."""

    async def look(self, partition: str, key: str) -> Standing:
        """How it stands, perhaps a moment ago."""

    async def renew(self, partition: str, key: str, owner: str, seconds: float) -> bool:
        """Hold it for `seconds` from now. False: it is no longer the owner's."""

    async def release(self, partition: str, key: str, owner: str, *, alone: bool = False) -> None:
        """End it now, if it is still the owner's. `alone`: see Standing."""


# Seconds for which a slice can at least be read. What is older than that counts nothing (see `routing/health.py`).
HEALTH_KEPT = 600.0

Figures = Mapping[str, int]


class HealthStore(Protocol):
    """May raise what the store's library raises."""

    async def merge_and_read(self, slice_: int, figures: Figures, oldest: int) -> Mapping[int, Figures]:
        """Add `figures` to those of `slice_`; then the figures of all environments, by slice, from `oldest` to it.

        One write and one read, whatever the number of models (past 100 figures, one more write for each 100).
        """
