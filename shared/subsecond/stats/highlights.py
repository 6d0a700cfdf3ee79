"""What a person wants to look at: the last requests, errors and semantic hits, the worst first bytes, and the entries
that answered most.

An environment keeps the last few, and writes them when it merges its figures, into one of a fixed number of slots. So
it is a view and no record: environments that share a slot overwrite each other's, and what an environment has counted
goes with it. No text is in it: a request's id leads to its line in the log, an entry's key to its question.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from subsecond.stats.increments import GONE, HITS, LONGEST_NAME, count_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from subsecond.stats.trace import Trace

# Of each partition, in each environment: semantic hits that are kept, entries that are counted, and those of them that
# are written; requests and errors that are kept, and those that waited longest. About 9 KB when all is full.
RECENT, COUNTED, TOP = 10, 64, 10
LAST, SLOWEST = 10, 5
# Partitions at once in an environment; who was not hit for longest goes.
PARTITIONS = 256
# Items of a partition in the table, over all environments; a reader reads them all.
SLOTS = 16
# What a reader shows, and for how long (seconds).
SHOWN, KEPT = 20, 86_400.0


@dataclass(slots=True)
class _Kept:
    recent: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=RECENT))
    # By entry: hits, tokens that they saved, and when the last one was (epoch seconds).
    top: dict[str, list[float]] = field(default_factory=dict)
    requests: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=LAST))
    failed: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=LAST))
    slowest: list[dict[str, Any]] = field(default_factory=list)


class Highlights:
    """Of this environment. Safe to use from several threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._changed: set[str] = set()
        self._lock = Lock()
        self._id = ""

    @property
    def id(self) -> str:
        """The environment's own. Made when first needed: after a snapshot's restore, not before."""
        self._id = self._id or uuid.uuid4().hex
        return self._id

    @property
    def slot(self) -> int:
        return int(self.id[:8], 16) % SLOTS

    def record(self, trace: Trace, now: float) -> None:
        """Only callers with a key have a partition. `now`: epoch seconds."""
        partition, entry = trace.partition, trace.entry or trace.neighbour
        if not partition:
            return
        with self._lock:
            kept = self._kept.setdefault(partition, _Kept())
            self._kept.move_to_end(partition)
            if len(self._kept) > PARTITIONS:
                self._changed.discard(self._kept.popitem(last=False)[0])
            self._changed.add(partition)
            _remember(kept, trace, now)
            if trace.error is not None or trace.source not in HITS or not entry:
                return
            _count(kept.top, entry, _tokens(trace), now)
            if trace.source == "semantic":
                kept.recent.append(_shown(trace, entry, now))

    def take(self) -> dict[str, dict[str, Any]]:
        """By partition: what changed since the last time, to be written whole."""
        with self._lock:
            changed, self._changed = self._changed, set()
        return {partition: self.of(partition) for partition in changed}

    def give_back(self, partitions: Iterable[str]) -> None:
        """They could not be written."""
        with self._lock:
            self._changed |= {partition for partition in partitions if partition in self._kept}

    def of(self, partition: str) -> dict[str, Any]:
        """As it is written; `top` as (entry, hits, tokens, when)."""
        with self._lock:
            kept = self._kept.get(partition, _Kept())
            best = sorted(kept.top.items(), key=lambda one: one[1], reverse=True)[:TOP]
            return {
                "id": self.id,
                "recent": list(kept.recent),
                "requests": list(kept.requests),
                "failed": list(kept.failed),
                "slowest": list(kept.slowest),
                "top": [[entry, *found] for entry, found in best],
            }


def merged(slots: Sequence[Mapping[str, Any]], now: float) -> dict[str, Any]:
    """What several environments wrote, as a summary shows it; the newest and the greatest first."""
    top: dict[str, list[float]] = {}
    for slot in slots:
        for entry, hits, tokens, at in slot["top"]:
            if at + KEPT > now:
                had = top.get(entry, [0, 0, 0.0])
                top[entry] = [had[0] + hits, had[1] + tokens, max(had[2], at)]
    best = sorted(top.items(), key=lambda one: one[1], reverse=True)[:SHOWN]
    return {
        "recent_hits": _latest(slots, "recent", now),
        "recent_requests": _latest(slots, "requests", now),
        "recent_errors": _latest(slots, "failed", now),
        "slowest": sorted(_all(slots, "slowest", now), key=_first, reverse=True)[:LAST],
        "top_entries": [
            {"entry": entry, "hits": int(hits), "tokens_saved": int(tokens), "at": at}
            for entry, (hits, tokens, at) in best
        ],
    }


def _latest(slots: Sequence[Mapping[str, Any]], kind: str, now: float) -> list[dict[str, Any]]:
    return sorted(_all(slots, kind, now), key=lambda one: one["at"], reverse=True)[:SHOWN]


def _all(slots: Sequence[Mapping[str, Any]], kind: str, now: float) -> list[dict[str, Any]]:
    """Each request once. A slot that an older version wrote may lack the kind."""
    found = {one["request_id"]: one for slot in slots for one in slot.get(kind, ()) if one["at"] + KEPT > now}
    return list(found.values())


def _first(one: Mapping[str, Any]) -> float:
    return float(one["first_ms"])


def _remember(kept: _Kept, trace: Trace, now: float) -> None:
    """The request itself, whatever became of it."""
    one = _request(trace, now)
    kept.requests.append(one)
    if trace.error is not None and trace.error not in GONE:
        kept.failed.append(one)
    if one["first_ms"] is not None:
        lately = [had for had in kept.slowest if had["at"] + KEPT > now]
        kept.slowest = sorted([*lately, one], key=_first, reverse=True)[:SLOWEST]


def _request(trace: Trace, now: float) -> dict[str, Any]:
    return {
        "request_id": trace.request_id,
        "at": round(now, 3),
        "key": trace.key,
        "model": _name(trace.model),
        "source": trace.source,
        "status": trace.status if trace.error else 200,
        "error": trace.error,
        "first_ms": _ms(trace.first),
        "total_ms": _ms(trace.total),
    }


def _count(top: dict[str, list[float]], entry: str, tokens: int, now: float) -> None:
    if entry not in top and len(top) >= COUNTED:
        del top[min(top, key=lambda name: (top[name][0], top[name][2]))]
    found = top.setdefault(entry, [0, 0, 0.0])
    found[0] += 1
    found[1] += tokens
    found[2] = round(now, 3)


def _tokens(trace: Trace) -> int:
    return count_in(trace.usage, "total_tokens") or 0


def _shown(trace: Trace, entry: str, now: float) -> dict[str, Any]:
    similarity = trace.similarity
    return {
        "request_id": trace.request_id,
        "at": round(now, 3),
        "entry": entry,
        "model": _name(trace.model),
        "similarity": None if similarity is None else round(similarity, 4),
        "first_ms": _ms(trace.first),
        "judged": trace.verdicts,
    }


def _name(model: object) -> str | None:
    """Whoever asks can send anything in a model's place: what no table takes, and what is too long, is not shown."""
    return model if isinstance(model, str) and len(model) <= LONGEST_NAME and model.isprintable() else None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1_000, 3)
