"""What a time in the system text costs a namespace, and where it stands in a request: for explanations."""

from __future__ import annotations

import time
from typing import Any

from subsecond.cache.clock_misses import told
from subsecond.cache.clocks import clocks_in
from subsecond.model import Request
from subsecond.pipeline import Gateway
from subsecond.stats.summary import HOURS


async def clock_report(gateway: Gateway, request: Request) -> dict[str, Any]:
    """here: where a time that is now stands in this request; masked: whether that counts no more. misses and share: of
    the last day's misses of the namespace. Raises what the ledger raises."""
    here = [
        {"where": one.where, "characters": [one.start, one.end], "place": one.place}
        for one in clocks_in(request.call.endpoint, request.call.body, time.time())
    ]
    await gateway.ledger.flush(force=True)
    summary = await gateway.ledger.summary(request.tenant.partition, HOURS)
    masked = bool(request.terms and request.terms.arrival is not None)
    return {"here": here, "masked": masked, **told(summary["counts"], summary["misses"])}


def clock_reason(clocks: dict[str, Any]) -> list[str]:
    """Why such a request is never a hit; nothing where it has no time, or that is masked."""
    if not clocks["here"] or clocks["masked"]:
        return []
    first = clocks["here"][0]
    start, end = first["characters"]
    where = f"{first['where']}, characters {start} to {end}"
    return [f"a time that is now stands in {where}: every request is another one. SUBSECOND_VOLATILE=clock masks it"]
