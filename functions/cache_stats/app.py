"""Statistics on a BUFFERED Function URL: the same app, with neither an upstream nor the answers behind it."""

from subsecond import bootstrap
from subsecond.api.app import create_app
from subsecond.lambda_runtime import telemetry
from subsecond.lambda_runtime.buffered import BufferedHandler

serve = BufferedHandler(create_app(telemetry.observed(bootstrap.gateway())), at_end=(telemetry.flush,))

# log_event=False: an event holds the prompt and the key, and a variable could switch it on.
handler = telemetry.logger.inject_lambda_context(serve, log_event=False, correlation_id_path=telemetry.CORRELATION_ID)
