"""What a person wants to look at: the last semantic hits, and the entries that answered most.

An environment keeps the last few, and writes them when it merges its figures, into one of a fixed number of slots. So
it is a view and no record: environments that share a slot overwrite each other's, and what an environment has counted
goes with it. No text is in it: an entry's key leads to its question.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from subsecond.stats.increments import HITS, MOST_TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from subsecond.stats.trace import Trace

# Of each partition, in each environment: semantic hits that are kept, entries that are counted, and those of them that
# are written. About 5 KB when all is full.
RECENT, COUNTED, TOP = 10, 64, 10
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
        """Only hits are kept, so only callers with a key. `now`: epoch seconds."""
        partition, entry = trace.partition, trace.entry or trace.neighbour
        if trace.error is not None or trace.source not in HITS or not partition or not entry:
            return
        with self._lock:
            kept = self._kept.setdefault(partition, _Kept())
            self._kept.move_to_end(partition)
            if len(self._kept) > PARTITIONS:
                self._changed.discard(self._kept.popitem(last=False)[0])
            self._changed.add(partition)
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
        """As it is written: `id`, `recent`, `top` as (entry, hits, tokens, when)."""
        with self._lock:
            kept = self._kept.get(partition, _Kept())
            best = sorted(kept.top.items(), key=lambda one: one[1], reverse=True)[:TOP]
            return {"id": self.id, "recent": list(kept.recent), "top": [[entry, *found] for entry, found in best]}


def merged(slots: Iterable[Mapping[str, Any]], now: float) -> dict[str, Any]:
    """What several environments wrote, as a summary shows it; the newest and the greatest first."""
    recent: dict[str, dict[str, Any]] = {}
    top: dict[str, list[float]] = {}
    for slot in slots:
        recent |= {hit["request_id"]: hit for hit in slot["recent"] if hit["at"] + KEPT > now}
        for entry, hits, tokens, at in slot["top"]:
            if at + KEPT > now:
                had = top.get(entry, [0, 0, 0.0])
                top[entry] = [had[0] + hits, had[1] + tokens, max(had[2], at)]
    best = sorted(top.items(), key=lambda one: one[1], reverse=True)[:SHOWN]
    return {
        "recent_hits": sorted(recent.values(), key=lambda hit: hit["at"], reverse=True)[:SHOWN],
        "top_entries": [
            {"entry": entry, "hits": int(hits), "tokens_saved": int(tokens), "at": at}
            for entry, (hits, tokens, at) in best
        ],
    }


def _count(top: dict[str, list[float]], entry: str, tokens: int, now: float) -> None:
    if entry not in top and len(top) >= COUNTED:
        del top[min(top, key=lambda name: (top[name][0], top[name][2]))]
    found = top.setdefault(entry, [0, 0, 0.0])
    found[0] += 1
    found[1] += tokens
    found[2] = round(now, 3)


def _tokens(trace: Trace) -> int:
    total = (trace.usage or {}).get("total_tokens")
    return total if isinstance(total, int) and 0 < total < MOST_TOKENS else 0


def _shown(trace: Trace, entry: str, now: float) -> dict[str, Any]:
    similarity = trace.similarity
    return {
        "request_id": trace.request_id,
        "at": round(now, 3),
        "entry": entry,
        "model": trace.model if isinstance(trace.model, str) else None,
        "similarity": None if similarity is None else round(similarity, 4),
        "first_ms": None if trace.first is None else round(trace.first * 1_000, 3),
        "judged": trace.verdicts,
    }
