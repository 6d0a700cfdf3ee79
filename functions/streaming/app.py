"""Every route on a RESPONSE_STREAM Function URL, `stream` true or false: this URL is an SDK's `base_url`."""

from typing import Any

from subsecond import bootstrap, telemetry
from subsecond.api.app import create_app
from subsecond.aws_lambda.asgi import StreamingHandler
from subsecond.prewarm import prewarm

gateway = telemetry.observed(bootstrap.gateway())


async def warm(_event: Any, _context: Any) -> dict[str, Any]:
    """Any event that is no request: the schedule that keeps one environment warm."""
    report = await prewarm(gateway)
    telemetry.logger.info("prewarmed", extra=report)
    return report


# Metrics leave when the response has ended: the handler returns before its body has begun.
serve = StreamingHandler(lambda: create_app(gateway), at_end=(telemetry.flush,), on_event=warm)

# log_event=False: an event holds the prompt and the key, and a variable could switch it on.
handler = telemetry.logger.inject_lambda_context(serve, log_event=False, correlation_id_path=telemetry.CORRELATION_ID)
