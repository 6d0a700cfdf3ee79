"""Which answers may be stored. The one place that decides it."""

from __future__ import annotations

from subsecond.model import Answer, Call
from subsecond.transcript import FINISHES

# A text that is longer is not compared with others: it would be embedded in part only, and bloat the item.
COMPARED_TEXT = 8_000


def may_read(call: Call) -> bool:
    return call.rules.read


def may_compare(call: Call, text: str) -> bool:
    """Whether the answer to a similar question could do: one answer in words, to a text that is compared whole. Calls
    with tools act; what is nearly the same call may not be the same act."""
    if not call.rules.similar or not (call.rules.read or call.rules.write):
        return False
    return bool(text) and len(text) <= COMPARED_TEXT and not call.body.get("tools") and call.body.get("n") in (None, 1)


def may_serve_others(answer: Answer) -> bool:
    """Whether similar questions may be answered with it: it was finished, not cut by a limit."""
    return answer.finish == "stop"


def may_store(call: Call, answer: Answer) -> bool:
    """Complete answers only. `length` and `tool_calls` count: the limits and the tools are in the key. A filtered
    answer (`content_filter`), or one that never finished, is not stored."""
    return call.rules.write and answer.finish in FINISHES
