"""Scheduled: has the judge check the semantic hits that wait for it, and notes for all environments what follows."""

import asyncio
from dataclasses import replace
from typing import Any

from subsecond import bootstrap
from subsecond.lambda_runtime import telemetry

# One loop for the environment's life: the connections belong to it.
loop = asyncio.new_event_loop()
# Nobody waits for it: a slow store is better than a check that is made again.
settings = bootstrap.from_environment()
settings = replace(settings, store_timeout=max(10.0, settings.store_timeout))
checker = bootstrap.checker(bootstrap.gateway(settings))


@telemetry.logger.inject_lambda_context(log_event=False, correlation_id_path=telemetry.CORRELATION_ID)
def handler(_event: dict[str, Any], _context: Any) -> dict[str, Any]:
    if checker is None:
        return {"judge": None, "counts": {}}
    before = checker.counts.copy()
    loop.run_until_complete(checker.run())
    report = {"counts": dict(checker.counts - before)}
    telemetry.logger.info("verified", extra=report)
    return report
