"""What fits into the time that is left. Times are seconds; deadlines and `now` are on one clock, the monotonic one."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from subsecond.errors import DeadlineExceeded
from subsecond.stats.trace import Trace

# How much the newest duration counts in the average and in the deviation, and how many deviations are kept in reserve:
# as TCP's retransmission timer has it (RFC 6298).
AVERAGE, DEVIATION, RESERVE = 1 / 8, 1 / 4, 4


def remaining(deadline: float | None, now: float) -> float:
    """Seconds that are left, not below 0; infinite without a deadline."""
    return inf if deadline is None else max(0.0, deadline - now)


def fits(deadline: float | None, cost: float, now: float) -> bool:
    """Whether what takes `cost` seconds ends in time."""
    return deadline is None or now + cost <= deadline


def check(deadline: float | None, now: float) -> None:
    """Raises DeadlineExceeded when no time is left: a model that is asked now would be paid for nothing."""
    if deadline is not None and now >= deadline:
        raise DeadlineExceeded("The time limit of this request is used up.")


class Costs:
    """How long each optional stage takes in this environment, learned from the traces. One that was never seen is free:
    it must run once to be known."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, float]] = {}

    def learn(self, steps: Mapping[str, float]) -> None:
        """`steps`: the durations of a finished trace. Their names are the pipeline's own, so they are few."""
        for step, seconds in steps.items():
            average, deviation = self._known.get(step, (seconds, seconds / 2))
            deviation += DEVIATION * (abs(seconds - average) - deviation)
            self._known[step] = average + AVERAGE * (seconds - average), deviation

    def of(self, step: str) -> float:
        """What it takes, with a reserve."""
        average, deviation = self._known.get(step, (0.0, 0.0))
        return average + RESERVE * deviation


def affords(trace: Trace, step: str, deadline: float | None, cost: float, now: float) -> bool:
    """Whether the optional stage `step` runs. `cost`: its own and that of what must come after it. If not, the trace
    says so."""
    if fits(deadline, cost, now):
        return True
    trace.skipped.append(step)
    trace.counts[f"skipped_{step}"] += 1
    return False
