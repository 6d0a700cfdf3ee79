"""Which answers may be stored. The one place that decides it."""

from __future__ import annotations

from subsecond.model import Answer, Call
from subsecond.transcript import FINISHES

# A text that is longer is not compared with others: it would be embedded in part only, and bloat the item.
COMPARED_TEXT = 8_000


def may_read(call: Call) -> bool:
    return call.rules.read


def may_store(call: Call, answer: Answer) -> bool:
    """Complete answers only. `length` and `tool_calls` count: the limits and the tools are in the key. A filtered
    answer (`content_filter`), or one that never finished, is not stored."""
    return call.rules.write and answer.finish in FINISHES
