"""The figures of this process, until they are merged elsewhere."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, TypeAlias

from subsecond.stats.figures import LIVE, OTHER, figures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from subsecond.stats.trace import Trace

# By partition and sheet: name -> sum.
Sheets: TypeAlias = dict[tuple[str, str], dict[str, int]]

# Models counted by name, for each partition: a name comes from whoever sends it. The others count as `other`.
NAMED_MODELS = 16
LONGEST_NAME = 100
# Requests that showed no valid key.
NOBODY = "nobody"


class Tally:
    """Sums by partition, sheet and name. Safe to use from several threads."""

    def __init__(self) -> None:
        self._sheets: Sheets = {}
        self._models: dict[str, set[str]] = {}
        self._lock = Lock()

    def record(self, trace: Trace, now: float) -> None:
        """Add what a finished request adds. `now`: epoch seconds."""
        partition = trace.partition or NOBODY
        found = figures(trace, lambda model: self._named(partition, model), now)
        with self._lock:
            for sheet, name, n in found:
                sums = self._sheets.setdefault((partition, sheet), {})
                sums[name] = sums.get(name, 0) + n

    def add(self, sheets: Mapping[tuple[str, str], Mapping[str, int]]) -> None:
        with self._lock:
            for place, names in sheets.items():
                sums = self._sheets.setdefault(place, {})
                for name, n in names.items():
                    sums[name] = sums.get(name, 0) + n

    def __len__(self) -> int:
        return len(self._sheets)

    def take(self) -> Sheets:
        """All that is there; it is the caller's now."""
        with self._lock:
            taken, self._sheets = self._sheets, {}
        return taken

    def drop(self, unwanted: Callable[[str], bool]) -> None:
        """Forget the sheets with such a name."""
        with self._lock:
            for place in [place for place in self._sheets if unwanted(place[1])]:
                del self._sheets[place]

    def shrink(self, most: int) -> int:
        """Forget the sheets of the oldest hours until at most `most` sums are left. Returns how many sums are lost."""
        lost = 0
        with self._lock:
            over = sum(map(len, self._sheets.values())) - most
            # Expiries lie ahead, so the counts of live answers go last: an hour's figures pass, they would stay wrong.
            for place in sorted(self._sheets, key=lambda place: place[1].removeprefix(LIVE)):
                if lost >= over:
                    break
                lost += len(self._sheets.pop(place))
        return lost

    def of(self, partition: str) -> list[tuple[str, dict[str, int]]]:
        """A copy of one partition's sheets."""
        with self._lock:
            return [(sheet, dict(sums)) for (owner, sheet), sums in self._sheets.items() if owner == partition]

    def partitions(self) -> set[str]:
        with self._lock:
            return {partition for partition, _ in self._sheets}

    def _named(self, partition: str, model: object) -> str:
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
