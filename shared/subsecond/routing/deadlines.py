"""What fits into the time that is left. Times are seconds; deadlines and `now` are on one clock, the monotonic one."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from time import monotonic

from subsecond.errors import DeadlineExceeded
from subsecond.stats.trace import Step, Trace

# How much the newest duration counts in the average and in the deviation, and how many deviations are kept in reserve:
# as TCP's retransmission timer has it (RFC 6298).
AVERAGE, DEVIATION, RESERVE = 1 / 8, 1 / 4, 4
SEMANTIC = (Step.EMBED, Step.SEMANTIC)
# What a request's time is made of beside the model's: the steps before it, and those after the last byte.
APART = (Step.AUTHENTICATE, Step.PARSE, Step.PREPARE, Step.EXACT, *SEMANTIC, Step.STORE, Step.RECORD)


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
    """How long each part of a request takes in this environment, learned from the traces. What was never seen is free:
    it must run once to be known."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, float]] = {}

    def learn(self, part: str, seconds: float) -> None:
        """Of a finished request. The parts' names are ours, so they are few."""
        average, deviation = self._known.get(part, (seconds, seconds / 2))
        deviation += DEVIATION * (abs(seconds - average) - deviation)
        self._known[part] = average + AVERAGE * (seconds - average), deviation

    def decay(self, part: str) -> None:
        """What is left out is not learned: it gets cheaper, and so is tried again when it has been a while."""
        average, deviation = self._known[part]
        self._known[part] = average * (1 - AVERAGE), deviation * (1 - AVERAGE)

    def estimate(self, part: str) -> float:
        """What it takes, with a reserve."""
        average, deviation = self._known.get(part, (0.0, 0.0))
        return average + RESERVE * deviation


class SemanticBudget:
    """The time that a deadline leaves for the semantic stage, before a model that takes what it took lately.

    ticks: the deadlines' clock, monotonic seconds."""

    def __init__(self, ticks: Callable[[], float] = monotonic) -> None:
        self._costs = Costs()
        self._ticks = ticks

    def allows(self, deadline: float | None, trace: Trace) -> bool:
        """Whether the semantic stage runs. If not, the trace says so. Where the model alone is too slow, only a
        neighbour can answer in time, and there is nothing to lose."""
        now, model = self._ticks(), self._costs.estimate("model")
        if fits(deadline, model + self._costs.estimate("semantic"), now) or not fits(deadline, model, now):
            return True
        self._costs.decay("semantic")
        trace.skipped.append(Step.SEMANTIC)
        trace.counts["skipped_semantic"] += 1
        return False

    def learn(self, trace: Trace) -> None:
        """From a trace that has ended."""
        semantic = [trace.steps[step] for step in SEMANTIC if step in trace.steps]
        if semantic:
            self._costs.learn("semantic", sum(semantic))
        if trace.source == "upstream" and trace.error is None and trace.total is not None:
            self._costs.learn("model", trace.total - sum(trace.steps.get(step, 0.0) for step in APART))
