"""The values that travel through the pipeline. Frozen, plain, and without behaviour of their own beyond arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Endpoint = Literal["chat", "text"]
Source = Literal["upstream", "exact", "semantic", "coalesced"]
RuleKind = Literal["entry", "scope", "namespace", "tag", "model"]


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who asks. `key` is the API key's name, never the key."""

    id: str
    namespace: str
    key: str

    @property
    def partition(self) -> str:
        """The wall between tenants: the first part of every stored name. Neither part can hold a colon."""
        return f"{self.id}:{self.namespace}"


@dataclass(frozen=True, slots=True)
class CacheRules:
    """What the request's `Cache-Control` (RFC 9111), `use_cache` and our headers allow.

    max_age: seconds. similar: whether a similar question's answer will do; similarity: only from this cosine on, where
    that is stricter than the policy. tags: names under which the answer can be invalidated. coalesce: whether it may
    share an upstream call with others.
    """

    read: bool = True
    write: bool = True
    max_age: float | None = None
    only_if_cached: bool = False
    similar: bool = True
    similarity: float = -1.0
    tags: tuple[str, ...] = ()
    coalesce: bool = True
    # Seconds that the answer may be kept, where that is shorter than the settings say.
    ttl: float | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One completion as the client asked for it.

    `body` is the client's JSON object without the fields that speak to us (`use_cache`, `max_latency_ms`); `stream` and
    `stream_options` are left out too, because the upstream is always asked to stream. `deadline` is on the monotonic
    clock, in seconds. compared: the text to compare, where it is not the whole last turn; context: the version of what
    stands around it.
    """

    endpoint: Endpoint
    model: str
    body: Mapping[str, Any]
    rules: CacheRules = CacheRules()
    deadline: float | None = None
    compared: str | None = None
    context: str | None = None
    # The request that it is part of, with other calls.
    batch: str = ""
    # What the optimiser shall do, where the request says so.
    optimise: str = ""
    # What the router shall heed: the share of calls that a strong model is worth, the lowest tier, what comes first.
    quality: float | None = None
    floor: str | None = None
    prefer: str | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is equal and what is similar: `key` of the same question, `scope` of comparable ones, `text` to compare."""

    key: str
    scope: str
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer, as it is stored and replayed.

    body: the whole OpenAI completion object as JSON bytes (usage included where the upstream gave one).
    pieces: lengths in characters of the first choice's content as it was streamed, so that a replay streams alike.
    finish: the choices' finish reason (the least storable one where they differ).
    """

    body: bytes
    pieces: tuple[int, ...]
    finish: str
    model: str

    @property
    def size(self) -> int:
        """Bytes that it occupies in memory, roughly."""
        return len(self.body) + 8 * len(self.pieces) + 256


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer in the cache. `created` and `expires` are epoch seconds.

    vector: of the prompt's text, as the index stores it, made by the model `embedder`; empty where none was made.
    tags: names under which it can be invalidated. false_hits: digests of texts that it was reported to answer wrongly.
    model: as it was asked for; the answer's own may be a dated version of it.
    """

    partition: str
    prompt: Prompt
    answer: Answer
    created: float
    expires: float
    vector: bytes = b""
    embedder: str = ""
    tags: tuple[str, ...] = ()
    false_hits: frozenset[str] = frozenset()
    model: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """What was made until `before` is served no more: an entry (`value`: its key), a scope, the namespace, a tag or a
    model. From `expires` on nothing that it speaks of can be left. Both in epoch seconds."""

    kind: RuleKind
    value: str
    before: float
    expires: float

    def subsumes(self, other: Rule) -> bool:
        """Whether this one says all that the other says. Which scope an entry is in, a rule does not know: so only the
        namespace's can."""
        return self.kind == "namespace" and other.before <= self.before


@dataclass(frozen=True, slots=True)
class Hit:
    """A semantic hit, to be explained and reported afterwards: the entry that answered, the digest of the text that it
    answered, when (epoch seconds), and the candidates' verdicts. No text."""

    request_id: str
    entry: str
    asked: str
    at: float
    verdicts: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Head:
    """The first event: from here on the status is 200. For hits: `age` and `ttl` in seconds, the entry's key. route:
    who answers and why, for the header `x-subsecond-route`; empty where nothing was routed."""

    source: Source
    model: str
    age: float | None = None
    ttl: float | None = None
    entry: str | None = None
    route: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One streamed piece: the JSON bytes of one `data:` line, without line breaks. `usage` marks the usage chunk."""

    data: bytes
    usage: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """The complete answer. After a hit's head it comes alone: the answer is then to be replayed."""

    answer: Answer


Event = Head | Chunk | Done
