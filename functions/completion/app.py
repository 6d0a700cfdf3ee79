"""Every route on a BUFFERED Function URL. A stream arrives in one piece here."""

from subsecond import bootstrap, telemetry
from subsecond.api.app import create_app
from subsecond.aws_lambda.buffered import BufferedHandler

serve = BufferedHandler(create_app(telemetry.observed(bootstrap.gateway())), at_end=(telemetry.flush,))

# log_event=False: an event holds the prompt and the key, and a variable could switch it on.
handler = telemetry.logger.inject_lambda_context(serve, log_event=False, correlation_id_path=telemetry.CORRELATION_ID)
