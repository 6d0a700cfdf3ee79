"""How often a call was sent to its upstream again, for the statistics of the request that it is part of.

Whether that happens is decided far below the request, behind the port `Upstream` and an SDK that know no trace. So the
request's counts lie in a context variable, which the tasks that a request starts inherit.
"""

from __future__ import annotations

from collections import Counter
from contextvars import ContextVar

_counts: ContextVar[Counter[str] | None] = ContextVar("counts", default=None)


def counted_in(counts: Counter[str]) -> None:
    """From here on, what this task and those that it starts send again is counted in `counts`, as `retries`."""
    _counts.set(counts)


def count() -> None:
    """A call is about to be sent again. Nothing where nobody counts, as in warming up."""
    counts = _counts.get()
    if counts is not None:
        counts["retries"] += 1
