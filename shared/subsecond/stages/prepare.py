"""What is asked, in the form in which it is compared: its exact key, its scope, its text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from subsecond.cache.key import KeyPolicy
from subsecond.cache.key import prepare as keyed
from subsecond.model import Call, Request, Tenant
from subsecond.stats.trace import Step, Trace

if TYPE_CHECKING:
    from subsecond.stages.upstream import Models


def prepare(models: Models, keying: KeyPolicy, tenant: Tenant, call: Call, trace: Trace) -> Request:
    """The value that travels through the other stages. Raises NotFound for a model that the catalogue does not have."""
    trace.model, trace.operation = call.model, call.endpoint
    with trace.step(Step.PREPARE):
        models.know(call)
        terms = keying.terms(call.model, tenant)
        return Request(tenant, call, keyed(call, tenant, terms), trace, terms)
