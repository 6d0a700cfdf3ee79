"""What a function tells CloudWatch: a structured line and a few metrics for each request. For functions only.

Nothing goes there but what a trace holds: no prompt, no answer, no key. What OpenTelemetry's GenAI conventions
(in development) have a name for comes under that name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from time import time
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from subsecond.clock import PerSecond
from subsecond.pipeline import Gateway
from subsecond.ports import Ledger
from subsecond.stats.trace import Trace

# A Powertools logger has the name of its service. This one is the core's, so the core's own lines become structured.
logger = Logger(service="subsecond")
# The dimension `service` comes from POWERTOOLS_SERVICE_NAME: the stack's name, so that two stacks stay apart. It is the
# only dimension, because each combination of values is a metric of its own on the bill.
metrics = Metrics(namespace="Subsecond")

# The id of the Function URL's request, which AWS gives the client as x-amzn-RequestId, or of a schedule's event.
CORRELATION_ID = "requestContext.requestId || id"
# Requests without a valid key that have a line and metrics, in a second. The others are added to the next line.
GUESSES = 5
# A client may send any text as a model's name.
MODEL_CHARACTERS = 100
# Of OpenTelemetry, by our own.
OPERATIONS = {"chat": "chat", "text": "text_completion", "embeddings": "embeddings"}
TOKENS = {"prompt_tokens": "gen_ai.usage.input_tokens", "completion_tokens": "gen_ai.usage.output_tokens"}


class ObservedLedger:
    """A ledger whose requests are told to CloudWatch as well."""

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time) -> None:
        self._ledger = ledger
        self._clock = clock
        self._cold = True
        self._guesses = PerSecond(GUESSES)
        self._untold = 0

    def record(self, trace: Trace) -> None:
        if self._cold:
            trace.counts["cold_starts"] += 1
            metrics.add_metric(name="ColdStart", unit=MetricUnit.Count, value=1)
            self._cold = False
        self._ledger.record(trace)
        if trace.error and trace.partition is None and not self._guesses.take(self._clock()):
            self._untold += 1
            return
        untold, self._untold = self._untold, 0
        logger.info("request", extra=_line(trace) | ({"untold": untold} if untold else {}))
        for name in ("Requests", "Errors") if untold else ():
            metrics.add_metric(name=name, unit=MetricUnit.Count, value=untold)
        for name, unit, value in _metrics(trace):
            metrics.add_metric(name=name, unit=unit, value=value)

    async def flush(self, *, force: bool = False) -> None:
        await self._ledger.flush(force=force)

    async def summary(self, partition: str, hours: int) -> Mapping[str, Any]:
        return await self._ledger.summary(partition, hours)


def observed(gateway: Gateway) -> Gateway:
    """The same gateway; each trace that it records is logged and measured."""
    return replace(gateway, ledger=ObservedLedger(gateway.ledger))


def flush() -> None:
    """Print the metrics of the requests since the last flush (EMF). To be called when a response has ended: a
    streaming handler returns before its body has begun."""
    if metrics.metric_set:
        metrics.flush_metrics()


def _line(trace: Trace) -> dict[str, Any]:
    model = trace.model and trace.model[:MODEL_CHARACTERS]
    usage = {name: n for name, n in (trace.usage or {}).items() if isinstance(n, int)}
    found = {
        "request_id": trace.request_id,
        "partition": trace.partition,
        "model": model,
        "source": trace.source,
        "status": trace.status,
        "error": trace.error,
        "first_ms": _milliseconds(trace.first),
        "total_ms": _milliseconds(trace.total),
        "steps_ms": {name: _milliseconds(seconds) for name, seconds in trace.steps.items()},
        "usage": usage,
        "counts": dict(trace.counts),
        "gen_ai.operation.name": OPERATIONS.get(trace.operation or ""),
        "gen_ai.request.model": model,
        "gen_ai.response.model": trace.served and trace.served[:MODEL_CHARACTERS],
        "error.type": trace.error,
        **{told: usage.get(name) for name, told in TOKENS.items()},
    }
    return {name: value for name, value in found.items() if value not in (None, {})}


def _metrics(trace: Trace) -> list[tuple[str, MetricUnit, float]]:
    count, time = MetricUnit.Count, MetricUnit.Milliseconds
    found = [
        ("Requests", count, 1.0),
        ("Hits", count, float(trace.source not in (None, "upstream"))),
        ("Errors", count, float(trace.error is not None)),
        ("FailedOpen", count, float(sum(n for name, n in trace.counts.items() if name.endswith("_failed")))),
    ]
    if trace.retreated:
        found.append(("Retreated", count, 1.0))
    if trace.first is not None:
        found.append(("TimeToFirstByte", time, trace.first * 1000))
    if trace.total is not None:
        found.append(("Duration", time, trace.total * 1000))
    return found


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
