"""Scheduled, and by hand (`subsecond prewarm`): warms environments of the functions that answer, and says how many were
cold; asks what a list says into the cache; reports which part of the gateway does not answer."""

import asyncio
from typing import Any

from subsecond import bootstrap
from subsecond.lambda_runtime import telemetry
from subsecond.warmup import warm_environments as fleet

# One loop for the environment's life: the connections belong to it.
loop = asyncio.new_event_loop()
gateway = bootstrap.gateway()


@telemetry.logger.inject_lambda_context(log_event=False, correlation_id_path=telemetry.CORRELATION_ID)
def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    report = loop.run_until_complete(fleet.run(gateway, event))
    telemetry.logger.info("prewarmed", extra=report)
    return report
