"""What is no answer of a model: the list of models, passed through or the catalogue's, and the figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from subsecond.api.cache_operations import sure
from subsecond.api.request import RequestContext
from subsecond.api.response import JsonReply
from subsecond.cache.clock_misses import told
from subsecond.errors import InvalidRequest
from subsecond.pipeline import Gateway
from subsecond.resending import counted_in
from subsecond.routing.prices import money, prices_of
from subsecond.stages.upstream import Models
from subsecond.stats.trace import Step
from subsecond.streaming.events import parsed
from subsecond.streaming.json_bytes import dump

JSON = "application/json"


def models(context: RequestContext) -> Response:
    async def make() -> tuple[str, bytes]:
        await context.authenticate()
        return await _listed(context)

    return JsonReply(context, make)


def model(context: RequestContext) -> Response:
    """One of the list: not every upstream serves `/models/NAME`."""

    async def make() -> tuple[str, bytes]:
        from subsecond.routing.catalogue import unknown  # noqa: PLC0415 -- routing, which nothing else here needs

        await context.authenticate()
        _, listed = await _listed(context)
        data = (parsed(listed) or {}).get("data")
        found = {str(one.get("id")): one for one in data or () if isinstance(one, dict)}
        name = context.name
        if name not in found:
            raise unknown(name, found)
        return JSON, dump(found[name])

    return JsonReply(context, make)


async def _listed(context: RequestContext) -> tuple[str, bytes]:
    """The models that there are, as OpenAI's list object; some servers answer with the bare array."""
    if routed := context.gateway.models.routed:
        return JSON, dump(routed.router.catalogue.listing())
    context.watch()
    trace = context.trace
    trace.source = "upstream"
    counted_in(trace.counts)
    with trace.step(Step.UPSTREAM):
        reply = await context.gateway.models.listed(context.deadline(None), trace)
    await context.gateway.record(trace)
    found = parsed(reply.body)
    return (
        (JSON, dump({"object": "list", "data": found})) if isinstance(found, list) else (reply.content_type, reply.body)
    )


def statistics(context: RequestContext) -> Response:
    """The figures of the key's own partition, this environment's merged in first; with `?of=tenant` of all namespaces
    of its tenant. Sums only: what was asked there can not be seen."""

    async def make() -> tuple[str, bytes]:
        tenant = await context.authenticate()
        of = context.query.get("of", "namespace")
        if of not in ("namespace", "tenant"):
            raise InvalidRequest("'of' is `namespace` or `tenant`.", param="of", code="invalid_value")
        ledger, settings = context.gateway.ledger, context.gateway.settings
        await ledger.flush(force=True)
        found = dict(await ledger.summary(tenant.partition if of == "namespace" else tenant.id))
        found |= reported(found) | {"clocks": told(found["counts"], found["misses"])}
        found["money"] = money(found["models"], await prices_of(settings.prices or settings.catalogue))
        if of == "tenant":
            return JSON, dump(found)
        found["health"] = _health(context.gateway.models)
        found["semantic"] = {"accuracy": await _accuracy(context.gateway, tenant.partition)}
        if (lazy := context.gateway.semantic) and (semantic := lazy.made):
            index = semantic.reader.figures(tenant.partition)
            found |= {"semantic_index": dict(index), "semantic_cache_size": index["rows"]}
        return JSON, dump(found)

    return JsonReply(context, make)


async def _accuracy(gateway: Gateway, partition: str) -> dict[str, Any] | None:
    """What the checks of semantic hits have taught; None where none are made."""
    if gateway.checks is None:
        return None
    from subsecond.semantic.verification.accuracy import Accuracy  # noqa: PLC0415 -- only where hits are checked
    from subsecond.semantic.verification.learned import Learned, public  # noqa: PLC0415

    version = await sure(gateway.checks.learned(partition))
    return public(version.learned or Learned(Accuracy.begin(gateway.settings.max_error, 0.0)))


def reported(found: Mapping[str, Any]) -> dict[str, Any]:
    """What users said of semantic hits. The rate is of all semantic hits, so it says how many are wrong at least."""
    wrong = max(0, found["counts"].get("false_hits_reported", 0))
    hits = found["hits"]["semantic"]
    return {"false_hits_reported": wrong, "false_hit_rate_reported": round(wrong / hits, 4) if hits else None}


def _health(models: Models) -> dict[str, Any]:
    """What this environment's router expects of each model now; empty without a catalogue."""
    if models.routed is None:
        return {}
    health = models.routed.terms.health
    predicted = {name: health.predict(name) for name in models.routed.router.catalogue.models}
    return {
        name: {
            "circuit_open": one.circuit_open,
            "error_rate": round(one.error_rate, 4),
            "ttft_p50_ms": round(one.ttft_p50 * 1000, 3),
            "ttft_p95_ms": round(one.ttft_p95 * 1000, 3),
            "tokens_per_second": round(one.tokens_per_second, 1),
        }
        for name, one in predicted.items()
    }
