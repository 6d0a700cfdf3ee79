"""What CloudWatch is told of those who guess keys."""

import logging

from subsecond.lambda_runtime.telemetry import GUESSES, ObservedLedger, logger, metrics
from subsecond.stats.trace import Trace
from subsecond.stores.memory.ledger import MemoryLedger


class Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


def test_a_flood_of_wrong_keys_has_a_bounded_number_of_lines_and_none_goes_uncounted():
    lines, ledger, now = Lines(), ObservedLedger(MemoryLedger(), clock=lambda: now), 100.0
    logger.addHandler(lines)
    try:
        for _ in range(GUESSES + 15):
            ledger.record(Trace(error="Unauthorized", status=401))
            ledger.record(Trace(error="Unavailable", status=503))
        assert len(lines.records) == GUESSES
        ledger.record(Trace(error="UpstreamError", status=502, partition="t:n"))
        ledger.record(Trace())
        now += 1
        ledger.record(Trace(error="Unauthorized", status=401))
    finally:
        logger.removeHandler(lines)
        metrics.clear_metrics()
    assert len(lines.records) == GUESSES + 3
    assert [getattr(record, "untold", 0) for record in lines.records[GUESSES:]] == [GUESSES + 30, 0, 0]
