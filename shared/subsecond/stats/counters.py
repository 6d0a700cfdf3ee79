"""What this process has counted, until they are merged elsewhere."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, TypeAlias

from subsecond.stats.increments import LIVE, LONGEST_NAME, OTHER, increments

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from subsecond.stats.trace import Trace

# By partition and rollup: name -> sum.
Rollups: TypeAlias = dict[tuple[str, str], dict[str, int]]

# Models counted by name, for each partition: a name comes from whoever sends it. The others count as `other`.
NAMED_MODELS = 16
# Requests that showed no valid key.
NOBODY = "nobody"


class Counters:
    """Sums by partition, rollup and name. Safe to use from several threads."""

    def __init__(self) -> None:
        self._rollups: Rollups = {}
        self._models: dict[str, set[str]] = {}
        self._lock = Lock()

    def record(self, trace: Trace, now: float) -> None:
        """Add what a finished request adds. `now`: epoch seconds."""
        partition = trace.partition or NOBODY
        found = increments(trace, lambda model: self._counted_name(partition, model), now)
        with self._lock:
            for rollup, name, n in found:
                sums = self._rollups.setdefault((partition, rollup), {})
                sums[name] = sums.get(name, 0) + n

    def add(self, rollups: Mapping[tuple[str, str], Mapping[str, int]]) -> None:
        with self._lock:
            for key, names in rollups.items():
                sums = self._rollups.setdefault(key, {})
                for name, n in names.items():
                    sums[name] = sums.get(name, 0) + n

    def __len__(self) -> int:
        return len(self._rollups)

    def take(self) -> Rollups:
        """All that is there; it is the caller's now."""
        with self._lock:
            taken, self._rollups = self._rollups, {}
        return taken

    def drop(self, unwanted: Callable[[str], bool]) -> None:
        """Forget the rollups with such a name."""
        with self._lock:
            for key in [key for key in self._rollups if unwanted(key[1])]:
                del self._rollups[key]

    def shrink(self, most: int) -> int:
        """Forget the rollups of the oldest hours until at most `most` sums are left. Returns how many sums are lost."""
        lost = 0
        with self._lock:
            over = sum(map(len, self._rollups.values())) - most
            # Expiries lie ahead, so the counts of live answers go last: an hour's counts pass, they would stay wrong.
            for key in sorted(self._rollups, key=lambda key: key[1].removeprefix(LIVE)):
                if lost >= over:
                    break
                lost += len(self._rollups.pop(key))
        return lost

    def of(self, partition: str) -> list[tuple[str, dict[str, int]]]:
        """A copy of one partition's rollups."""
        with self._lock:
            return [(rollup, dict(sums)) for (owner, rollup), sums in self._rollups.items() if owner == partition]

    def partitions(self) -> set[str]:
        with self._lock:
            return {partition for partition, _ in self._rollups}

    def _counted_name(self, partition: str, model: object) -> str:
        """The model's name where it is counted by name."""
        if not isinstance(model, str):
            return OTHER
        known = self._models.setdefault(partition, set())
        if model in known:
            return model
        # Printable: neither control characters nor lone surrogates, which no table takes.
        if not model or len(known) == NAMED_MODELS or len(model) > LONGEST_NAME or not model.isprintable():
            return OTHER
        known.add(model)
        return model
