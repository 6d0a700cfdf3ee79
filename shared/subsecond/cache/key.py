"""From a call to its exact key, its scope and its text.

The key covers every field that the client sent, known to us or not, as it was sent: nothing is stripped or normalised,
because a model continues at that very place. Left out are the fields of `KeyTerms.left_out` (`fields_left_out.py` has
why), and those that say how an answer travels (`stream`, `stream_options`) or speak to us (`use_cache`,
`max_latency_ms`, `subsecond`); the face takes them off before a Call is made.

The scope has all but the text of the last user turn: of a turn of several parts it has their order, and images and
files whole. Where the caller names the text to compare, the scope has what stands around it, or in its place the
version that the caller gives that (`context`), so that other passages in the prompt need not be another scope.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from subsecond.cache.canonical import canonical, canonical_body
from subsecond.cache.clock_misses import ClockMisses
from subsecond.cache.codec import VERSION
from subsecond.cache.end_user import wall
from subsecond.cache.fields_left_out import left_out
from subsecond.cache.system_text import MASKED
from subsecond.dialects.lookup import dialect_of
from subsecond.errors import InvalidRequest
from subsecond.model import Call, Prompt, Tenant

ROUTE = ("quality", "floor", "prefer")


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """What a key is made by, for one API key and model. left_out: fields that do not count. scope: `namespace`, or a
    wall for each end `user` or API `key`. arrival: epoch seconds, where times of asking in system texts are masked;
    None where they count."""

    left_out: frozenset[str] = left_out(["unknown"])
    scope: str = "namespace"
    arrival: float | None = None


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """The gateway's terms. `bootstrap` makes it; by default as for a server that nobody knows. left_out: of the one
    upstream; by_model: where a catalogue has several, by the names that may be asked for."""

    left_out: frozenset[str] = KeyTerms().left_out
    by_model: Mapping[str, frozenset[str]] = field(default_factory=dict)
    scope: str = "namespace"
    volatile: str = "off"
    clock_misses: ClockMisses = field(default_factory=ClockMisses)

    def terms(self, model: str, tenant: Tenant, now: float | None = None) -> KeyTerms:
        """now: when it arrived, where that was not just now: `subsecond replay` has a log's times."""
        arrival = (time.time() if now is None else now) if (tenant.volatile or self.volatile) == "clock" else None
        return KeyTerms(self.by_model.get(model, self.left_out), tenant.scope or self.scope, arrival)

    def prepare(self, call: Call, tenant: Tenant) -> Prompt:
        """The call's key, scope and text. Raises InvalidRequest."""
        return prepare(call, tenant, self.terms(call.model, tenant))


def prepare(call: Call, tenant: Tenant, terms: KeyTerms = KeyTerms()) -> Prompt:
    """Key and scope are SHA-256 in hex. Text is empty when the last turn is no user's text: then nothing is similar.
    Raises InvalidRequest when the text to compare is not in the last turn."""
    masked, texts = split(call, terms)
    clocks = MASKED in masked
    # Both digests begin with what both have, which is hashed once.
    scope = sha256(canonical_body(masked, frame(call, tenant, terms)))
    key = scope.copy()
    for text in texts:
        key.update(b"%d:" % len(data := text.encode("utf-8", "surrogatepass")) + data)
    text = "\n".join(texts)
    if not text.strip():
        key.update(b"alone")
        return Prompt(key.hexdigest(), key.hexdigest(), "", clocks)
    text, around = _compared(call, text)
    scope.update(canonical(around) if around else b"similar")
    return Prompt(key.hexdigest(), scope.hexdigest(), text, clocks)


def split(call: Call, terms: KeyTerms) -> tuple[dict[str, Any], list[str]]:
    """The fields of the body that count, without the texts of the last user turn; and these."""
    body = {name: value for name, value in call.body.items() if name not in terms.left_out}
    if terms.arrival is not None:
        from subsecond.cache.clocks import without_clocks  # its tables, where they are asked for

        body = without_clocks(call.endpoint, body, terms.arrival)
    return dialect_of(call.endpoint).split(body)


def frame(call: Call, tenant: Tenant, terms: KeyTerms) -> dict[str, Any]:
    """What counts beside the body. The version of stored answers, so that another version's are silent misses."""
    found: dict[str, Any] = {
        "version": VERSION.decode(),
        "partition": tenant.partition,
        "endpoint": call.endpoint,
        "model": call.model,
    }
    # A fast model's answer is none to who asks for the quality tier.
    found |= {name: value for name in ROUTE if (value := getattr(call, name)) is not None}
    if behind := wall(call, tenant, terms.scope):
        found["wall"] = behind
    if call.headers:
        found["headers"] = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in call.headers]
    if call.optimise:  # who asks for less context may not be served to who asks for all of it
        found["optimise"] = call.optimise
    return found


def _compared(call: Call, text: str) -> tuple[str, dict[str, Any]]:
    """The text to compare, and what the scope has of the rest of the turn. Raises InvalidRequest."""
    around: dict[str, Any] = {} if call.context is None else {"context": call.context}
    compared = call.compared
    if compared is None:
        return text, around
    if not compared.strip() or compared not in text:
        raise InvalidRequest(
            "'subsecond.compare' must be a part of the last user turn.", param="subsecond.compare", code="invalid_value"
        )
    # Every occurrence is taken out, so that what is left is the same for another question in the same template.
    return compared, around or {"around": text.split(compared)}
