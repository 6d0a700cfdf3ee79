"""Statistics on a BUFFERED Function URL: the same app, with neither an upstream nor the answers behind it."""

import asyncio
from typing import Any

from mangum import Mangum

from subsecond import bootstrap, telemetry
from subsecond.api.app import create_app
from subsecond.api.deadline import WithDeadline

# Mangum serves each request on its thread's current loop. This one lives as long as the environment.
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)

# Without lifespan: Mangum would start and stop the app around each request.
respond = Mangum(WithDeadline(create_app(telemetry.observed(bootstrap.gateway()))), lifespan="off")


# log_event=False: an event holds the prompt and the key, and a variable could switch it on.
@telemetry.logger.inject_lambda_context(log_event=False, correlation_id_path=telemetry.CORRELATION_ID)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    try:
        return respond(event, context)
    finally:
        telemetry.flush()
