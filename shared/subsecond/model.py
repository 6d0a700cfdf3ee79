"""The values that travel through the pipeline. Frozen, plain, and without behaviour of their own beyond arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from subsecond.cache.key import KeyTerms
    from subsecond.stats.trace import Trace

Endpoint = Literal["chat", "text", "embeddings", "responses", "messages"]
Source = Literal["upstream", "exact", "semantic", "coalesced"]
# How an answer travels: in one body, or as events.
Form = Literal["whole", "stream"]
OTHER_FORM: Final[Mapping[Form, Form]] = {"whole": "stream", "stream": "whole"}
# Header fields as they go on the wire: names in lower case, values without line breaks.
Headers = tuple[tuple[bytes, bytes], ...]
RuleKind = Literal["entry", "scope", "namespace", "tag", "model"]


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who asks. `key` is the API key's name, never the key. scope, volatile: what the key has in the place of
    SUBSECOND_SCOPE and SUBSECOND_VOLATILE; empty where these hold."""

    id: str
    namespace: str
    key: str
    scope: str = ""
    volatile: str = ""

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
    # Whether the objects count that an upstream makes of answers (SUBSECOND_RESPONSES_STATE).
    objects: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class RequestBytes:
    """A request's body as it came, with nothing in it that is ours, and asking for the call's form. It may be sent on
    unchanged for as long as `parsed`, the object made of it, is the call's body and `model` its model: whoever edits a
    call gives it another body or model."""

    data: bytes
    parsed: Mapping[str, Any]
    model: str


@dataclass(frozen=True, slots=True)
class Call:
    """One completion as the client asked for it.

    `body` is the client's JSON object without the fields that speak to us (`use_cache`, `max_latency_ms`) or say how
    the answer travels (`stream`, `stream_options`): those are `form` and `stream_options`, and no part of the key.
    raw: the request's own bytes, where they hold nothing that is ours. `deadline` is on the monotonic clock, in
    seconds. compared: the text to compare, where it is not the whole last turn; context: the version of what stands
    around it.
    """

    endpoint: Endpoint
    model: str
    body: Mapping[str, Any]
    rules: CacheRules = CacheRules()
    form: Form = "whole"
    stream_options: Mapping[str, Any] | None = None
    raw: RequestBytes | None = None
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
    # Of the request's headers, those that its dialect passes on: they count in the key.
    headers: Headers = ()


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """A request that passes unread but for its model: speech, pictures, moderation, a count of tokens. path: behind the
    upstream's base URL. endpoint: whose dialect it is of, None where servers of any have it. model: "" where it names
    none. span: where that name stands in a form's content."""

    path: str
    content_type: str
    content: bytes
    endpoint: Endpoint | None = None
    model: str = ""
    span: tuple[int, int] | None = None
    headers: Headers = ()
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is equal and what is similar: `key` of the same question, `scope` of comparable ones, `text` to compare.
    clocks: whether a time of asking was masked in key and scope."""

    key: str
    scope: str
    text: str
    clocks: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """What travels through the stages: who asks, what, its key and text, the trace that they fill in, and the terms by
    which the key was made (None: those of a server that nobody knows)."""

    tenant: Tenant
    call: Call
    prompt: Prompt
    trace: Trace
    terms: KeyTerms | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """One answer as the upstream gave it, in one form, and what must be known of it without reading it again.

    payloads: the body alone (whole), or the payload of each event without `[DONE]` and comments (stream).
    finish: the choices' finish reason in OpenAI's words (the least storable one where they differ); `unknown` where a
    choice never finished, the body did not end cleanly or is not JSON. usage: the upstream's own count. text: of the
    first choice, "" where it has none. acts: whether a choice calls a tool or function. by: the catalogue's name of who
    gave it, where there is one; `model` is the upstream's own name.
    """

    form: Form
    payloads: tuple[bytes, ...]
    finish: str
    model: str = ""
    usage: Mapping[str, Any] | None = None
    text: str = ""
    acts: bool = False
    by: str = ""

    @property
    def size(self) -> int:
        """Bytes that it occupies in memory, roughly."""
        return sum(map(len, self.payloads)) + 40 * len(self.payloads) + len(self.text) + 512


@dataclass(frozen=True, slots=True)
class Entry:
    """A recording in the cache, in one form; the other form of the same answer, where it was recorded too, is an entry
    of its own under the same key. `created` and `expires` are epoch seconds.

    vector: of the prompt's text, as the index stores it, made by the model `embedder`; empty where none was made.
    tags: names under which it can be invalidated. false_hits: digests of texts that it was reported to answer wrongly.
    model: as it was asked for; the answer's own may be a dated version of it. fields: the digests of the request's
    fields (`cache/fingerprint.py`), empty where there are none.
    """

    partition: str
    prompt: Prompt
    recording: Recording
    created: float
    expires: float
    vector: bytes = b""
    embedder: str = ""
    tags: tuple[str, ...] = ()
    false_hits: frozenset[str] = frozenset()
    model: str = ""
    fields: str = ""


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
    # Of the upstream's response, those that a client acts on (`x-ratelimit-*`, its request id under another name).
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """What the upstream has just said, as it said it. A stream: one event's payload (the joined `data:` lines), or one
    comment. A whole reply: the body, in one chunk. `usage` marks an event that holds usage and no choice. name: the
    event's, where it has another one than `message`."""

    data: bytes
    usage: bool = False
    comment: bool = False
    name: bytes = b""


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is complete. After a hit's head it comes alone: the recording, which is in the asked form, is then to
    be replayed."""

    recording: Recording


Event = Head | Chunk | Done
