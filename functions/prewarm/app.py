"""Scheduled: reaches for everything that a request needs, without spending a token, and reports what answered."""

import asyncio
from typing import Any

from subsecond import bootstrap, telemetry
from subsecond.prewarm import prewarm

# One loop for the environment's life: the connections belong to it.
loop = asyncio.new_event_loop()
gateway = bootstrap.gateway()


@telemetry.logger.inject_lambda_context(log_event=False, correlation_id_path=telemetry.CORRELATION_ID)
def handler(_event: dict[str, Any], _context: Any) -> dict[str, Any]:
    report = loop.run_until_complete(prewarm(gateway))
    telemetry.logger.info("prewarmed", extra=report)
    return report
