"""`GET /v1/cache/stats`: the figures of the asking key's partition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from subsecond import __version__
from subsecond.api.cache_operations import sure
from subsecond.api.models import JSON
from subsecond.api.request import RequestContext
from subsecond.api.response import JsonReply
from subsecond.cache.clock_misses import told
from subsecond.errors import InvalidRequest
from subsecond.pipeline import Gateway
from subsecond.routing.prices import money, prices_of
from subsecond.stages.upstream import Models
from subsecond.stats.summary import HOURS, MOST_HOURS
from subsecond.streaming.json_bytes import dump


def statistics(context: RequestContext) -> Response:
    """The figures of the key's own partition, this environment's merged in first; with `?of=tenant` of all namespaces
    of its tenant. `?hours=` says how far back. Sums only: what was asked there can not be seen."""

    async def make() -> tuple[str, bytes]:
        tenant = await context.authenticate()
        of, hours = context.query.get("of", "namespace"), _hours(context.query.get("hours", str(HOURS)))
        if of not in ("namespace", "tenant"):
            raise InvalidRequest("'of' is `namespace` or `tenant`.", param="of", code="invalid_value")
        ledger, settings = context.gateway.ledger, context.gateway.settings
        await sure(ledger.flush(force=True))
        found = dict(await sure(ledger.summary(tenant.partition if of == "namespace" else tenant.id, hours)))
        found |= reported(found) | {"clocks": told(found["counts"], found["misses"]), "version": __version__}
        spent = money(found["models"], await prices_of(settings.prices or settings.catalogue))
        found["money"] = spent and {**spent, "currency": settings.currency}
        return JSON, dump(found if of == "tenant" else found | await _here(context.gateway, tenant.partition))

    return JsonReply(context, make)


def _hours(said: str) -> int:
    if said.isascii() and said.isdecimal() and len(said) <= len(str(MOST_HOURS)) and 1 <= int(said) <= MOST_HOURS:
        return int(said)
    raise InvalidRequest(f"'hours' is a whole number from 1 to {MOST_HOURS}.", param="hours", code="invalid_value")


async def _here(gateway: Gateway, partition: str) -> dict[str, Any]:
    """What a namespace has beside sums: its checks, and what this environment knows of models and index."""
    routed = gateway.models.routed
    found: dict[str, Any] = {
        "health": _health(gateway.models),
        "catalogue": list(routed.router.catalogue.models) if routed else None,
        "semantic": {"accuracy": await _accuracy(gateway, partition)},
    }
    if (lazy := gateway.semantic) and (semantic := lazy.made):
        index = semantic.reader.figures(partition)
        found |= {"semantic_index": dict(index), "semantic_cache_size": index["rows"]}
    return found


async def _accuracy(gateway: Gateway, partition: str) -> dict[str, Any] | None:
    """What the checks of semantic hits have taught; None where none are made."""
    if gateway.checks is None:
        return None
    from subsecond.semantic.verification.accuracy import Accuracy  # only where hits are checked
    from subsecond.semantic.verification.learned import Learned, public

    version = await sure(gateway.checks.learned(partition))
    begun = Accuracy.begin(gateway.settings.max_error, 0.0, trial=gateway.settings.cuts_on_trial)
    return public(version.learned or Learned(begun))


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
