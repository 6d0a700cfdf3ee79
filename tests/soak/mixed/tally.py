"""What was asked and how it ended, by kind and by phase, in sizes that do not grow with the time."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.soak.mixed.weather import Phase
from tests.soak.mixed.wire import BROKE_OFF, Answer

# Of the times of one phase, chosen evenly: enough for a p99.
KEPT = 4_000
# Their times are not those of one question: an answer in a pipeline waits for those before it, a whole one for a slow
# model, and vectors are made otherwise.
WAIT_FOR_OTHERS = frozenset({"pipelined", "joined", "embeddings"})


@dataclass
class Times:
    """Seconds; at most KEPT of them, each with the same chance."""

    count: int = 0
    kept: list[float] = field(default_factory=list)
    _random: Random = field(default_factory=lambda: Random(1))

    def add(self, seconds: float) -> None:
        self.count += 1
        if len(self.kept) < KEPT:
            self.kept.append(seconds)
        elif (at := self._random.randrange(self.count)) < KEPT:
            self.kept[at] = seconds

    def milliseconds(self, share: float) -> float | None:
        """The quantile; None where there are no times."""
        found = sorted(self.kept)
        return round(1000 * found[min(len(found) - 1, int(share * len(found)))], 1) if found else None


@dataclass
class Ends:
    """Of requests. found: where the good answers came from, as Cache-Status has it."""

    ends: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)

    def told(self) -> dict[str, Any]:
        most = {"ends": dict(self.ends.most_common()), "found": dict(self.found.most_common())}
        return {"requests": self.ends.total(), **most}


class Tally:
    """`now` is the phase. An ordinary request is one that a gateway in order answers with 200."""

    def __init__(self) -> None:
        self.now = self._before = Phase()
        self.kinds: dict[str, Ends] = defaultdict(Ends)
        self.routes: dict[str, Ends] = defaultdict(Ends)
        self.errors: dict[str, Counter[str]] = defaultdict(Counter)
        self.first: dict[tuple[str, str], Times] = defaultdict(Times)
        self.phases: Counter[str] = Counter()
        # By phase: seconds until the first byte of the slowest good answer, and where they went.
        self.slowest: dict[str, tuple[float, str]] = {}
        # Ends that no fault excuses.
        self.unexcused: list[str] = []

    def turn(self, phase: Phase) -> None:
        self._before, self.now = self.now, phase

    def excuses(self) -> frozenset[int]:
        """What an ordinary request that is sent now may get: by this phase, and by the one before, whose last requests
        are still on their way."""
        return self.now.may_say | self._before.may_say

    def away(self, service: str) -> bool:
        """Whether it is, or was in the phase before."""
        return service in (self.now.service, self._before.service)

    def end(self, kind: str, route: str, end: str, phase: Phase) -> None:
        """A request of this kind, sent in this phase, has ended so: a status, or words."""
        for ends in (self.kinds[kind], self.routes[route]):
            ends.ends[end] += 1
        self.phases[str(phase)] += 1

    def served(self, kind: str, route: str, answer: Answer, phase: Phase) -> None:
        """A good answer."""
        how = answer.headers.get("cache-status", "").rpartition(";")[2].strip()
        for ends in (self.kinds[kind], self.routes[route]):
            ends.found[how] += 1
        if kind in WAIT_FOR_OTHERS:
            return
        self.first[str(phase), how].add(answer.first)
        slowest = answer.first, f"{kind}, {how}: {answer.headers.get('server-timing', '')}"
        self.slowest[str(phase)] = max(slowest, self.slowest.get(str(phase), slowest))

    def failed(self, kind: str, answer: Answer, phase: Phase, excuses: frozenset[int]) -> None:
        """An ordinary one that got no whole 200. A stream's status is told before its end: what ends it in an error
        would have been 502 or 504."""
        self.errors[str(phase)][answer.end] += 1
        statuses = {502, 504} if answer.end == BROKE_OFF else {answer.status}
        if not (answer.whole and statuses & (excuses | self.now.may_say)):
            self.unexcused.append(f"{kind} in {phase}: {answer.end} {answer.body[-300:]!r}")
