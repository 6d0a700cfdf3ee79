"""Calls of the stores that a request may wait for, one after the other, before its first byte; with a key that the
environment knows, and after a pause: rules and keys are read again, beside whatever
else there is. `tests/unit/test_round_trips.py` holds them, `make bench` takes times beside them."""

KINDS = {
    "exact hit, same environment": 1,
    "exact hit, another environment": 1,
    "semantic hit": 2,
    "lone miss": 2,
}
