"""What is not a completion: passed through to the upstream, or answered from the figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from subsecond.api.request import Exchange
from subsecond.api.response import JsonReply
from subsecond.api.wire import EmbeddingsBody, check
from subsecond.errors import InvalidRequest
from subsecond.resending import counted_in
from subsecond.stages.upstream import Models
from subsecond.stats.prices import money, prices_of
from subsecond.stats.trace import Step
from subsecond.streaming.transcript import dump

JSON = "application/json"


def embeddings(exchange: Exchange) -> Response:
    async def make() -> tuple[str, bytes]:
        await exchange.authenticate()
        body = await exchange.body()
        check(EmbeddingsBody, body)
        exchange.watch()
        exchange.trace.operation = "embeddings"
        return await _passed_through(exchange, "/embeddings", body)

    return JsonReply(exchange, make)


def models(exchange: Exchange) -> Response:
    async def make() -> tuple[str, bytes]:
        await exchange.authenticate()
        return await _listed(exchange)

    return JsonReply(exchange, make)


def model(exchange: Exchange) -> Response:
    """One of the list: not every upstream serves `/models/NAME`."""

    async def make() -> tuple[str, bytes]:
        from subsecond.routing.catalogue import unknown  # noqa: PLC0415 -- routing, which nothing else here needs

        await exchange.authenticate()
        _, listed = await _listed(exchange)
        found = {str(one.get("id")): one for one in json.loads(listed).get("data") or ()}
        name = exchange.name
        if name not in found:
            raise unknown(name, found)
        return JSON, dump(found[name])

    return JsonReply(exchange, make)


async def _listed(exchange: Exchange) -> tuple[str, bytes]:
    if routed := exchange.gateway.models.routed:
        return JSON, dump(routed.router.catalogue.listing())
    exchange.watch()
    return await _passed_through(exchange, "/models", None)


def statistics(exchange: Exchange) -> Response:
    """The figures of the key's own partition, this environment's merged in first; with `?of=tenant` of all namespaces
    of its tenant. Sums only: what was asked there can not be seen."""

    async def make() -> tuple[str, bytes]:
        tenant = await exchange.authenticate()
        of = exchange.query.get("of", "namespace")
        if of not in ("namespace", "tenant"):
            raise InvalidRequest("'of' is `namespace` or `tenant`.", param="of", code="invalid_value")
        ledger, settings = exchange.gateway.ledger, exchange.gateway.settings
        await ledger.flush(force=True)
        found = dict(await ledger.summary(tenant.partition if of == "namespace" else tenant.id))
        found |= reported(found)
        found["money"] = money(found["models"], await prices_of(settings.prices or settings.catalogue))
        if of == "tenant":
            return JSON, dump(found)
        found["health"] = _health(exchange.gateway.models)
        if (lazy := exchange.gateway.semantic) and (semantic := lazy.made):
            index = semantic.reader.figures(tenant.partition)
            found |= {"semantic_index": dict(index), "semantic_cache_size": index["rows"]}
        return JSON, dump(found)

    return JsonReply(exchange, make)


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


async def _passed_through(exchange: Exchange, path: str, body: Mapping[str, Any] | None) -> tuple[str, bytes]:
    trace = exchange.trace
    trace.model = str(body["model"]) if body else None
    trace.source = "upstream"
    counted_in(trace.counts)
    with trace.step(Step.UPSTREAM):
        reply = await exchange.gateway.models.fetch(path, body, exchange.deadline(None), trace)
    await exchange.gateway.record(trace)
    return reply.content_type, reply.body
