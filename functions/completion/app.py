"""Every route on a BUFFERED Function URL. A stream arrives in one piece here."""

from subsecond import bootstrap
from subsecond.api.app import create_app
from subsecond.lambda_runtime import telemetry
from subsecond.lambda_runtime.buffered import BufferedHandler
from subsecond.warmup import snapshots
from subsecond.warmup.prewarm import WarmupHandler

gateway = telemetry.observed(bootstrap.gateway())
# Any event that is no request: what keeps environments warm.
warmup = WarmupHandler(gateway)
serve = BufferedHandler(create_app(gateway, bare=True), at_end=(telemetry.flush, warmup.served), on_event=warmup)
snapshots.start(gateway, serve.loop)

# log_event=False: an event holds the prompt and the key, and a variable could switch it on.
handler = telemetry.logger.inject_lambda_context(serve, log_event=False, correlation_id_path=telemetry.CORRELATION_ID)
