"""By which terms this gateway makes its keys: of the upstream that may answer, and of the API key that asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from subsecond.cache.key import KeyTerms, prepare
from subsecond.model import Call, Prompt, Request, Tenant


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """`bootstrap` makes it; by default as for a server that nobody knows. left_out: fields that do not count for the
    one upstream; by_model: where a catalogue has several, by the names that may be asked for."""

    left_out: frozenset[str] = KeyTerms().left_out
    by_model: Mapping[str, frozenset[str]] = field(default_factory=dict)
    scope: str = "namespace"

    def terms(self, model: str, tenant: Tenant) -> KeyTerms:
        return KeyTerms(self.by_model.get(model, self.left_out), tenant.scope or self.scope)

    def prepare(self, call: Call, tenant: Tenant) -> Prompt:
        """The call's key, scope and text. Raises InvalidRequest."""
        return prepare(call, tenant, self.terms(call.model, tenant))

    def fields(self, request: Request) -> str:
        """The digests of the request's fields, which are kept with its answer."""
        from subsecond.cache.fingerprint import fingerprint  # noqa: PLC0415 -- a hit stores nothing

        return fingerprint(request.call, request.tenant, self.terms(request.call.model, request.tenant))
