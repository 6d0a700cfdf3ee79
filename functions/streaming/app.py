"""Every route on a RESPONSE_STREAM Function URL, `stream` true or false: this URL is an SDK's `base_url`."""

from functools import partial

from subsecond import bootstrap
from subsecond.api.app import create_app
from subsecond.lambda_runtime import telemetry
from subsecond.lambda_runtime.asgi import StreamingHandler
from subsecond.warmup import snapshots
from subsecond.warmup.prewarm import WarmupHandler

gateway = telemetry.observed(bootstrap.gateway())
# Any event that is no request: what keeps environments warm.
warmup = WarmupHandler(gateway)

settle = partial(bootstrap.settle, gateway)
# Metrics leave when the response has ended: the handler returns before its body has begun.
serve = StreamingHandler(
    lambda: create_app(gateway, bare=True), at_end=(telemetry.flush, warmup.served, settle), on_event=warmup
)
snapshots.start(gateway, serve.loop)

# log_event=False: an event holds the prompt and the key, and a variable could switch it on.
handler = telemetry.logger.inject_lambda_context(serve, log_event=False, correlation_id_path=telemetry.CORRELATION_ID)
