"""What was invalidated: rules kept near the shared ones, and asked before any stored answer is served.

A refresh is shared by all who wait for it; it starts beside the exact lookup, so that a hit seldom waits.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from subsecond.aio.fail_open import fail_open
from subsecond.aio.shared_refresh import SharedRefresh
from subsecond.model import Entry, Rule
from subsecond.ports import Invalidations
from subsecond.stats.trace import Trace

# Seconds between two questions for a partition's rules: how late an invalidation can be seen by another environment.
EVERY = 1.0
# How much of a store's time limit a hit spends on a refresh: with rules of a moment ago, and without any.
PART, FIRST_PART = 0.1, 1.0
# Partitions remembered at the most.
REMEMBERED = 1_000
# Seconds. An answer is dated from its request and expires from its end.
SLACK = 3_600.0

Place: TypeAlias = tuple[str, str]


@dataclass(slots=True, eq=False)
class _Known:
    """One partition. rules: the latest of each kind and value; None until the first refresh. models: the latest date
    of a rule for any model."""

    refresh: SharedRefresh
    rules: dict[Place, Rule] | None = None
    models: float = float("-inf")


class Rules:
    """Used from one event loop. `clock`: epoch seconds; `ticks`: the same, for EVERY. `longest`: the longest life of an
    answer, in seconds; `box`: a store's time limit.

    A rule lives for that long after its date, and an answer that is older is served no more: so a rule never ends
    before what it covers, also where the settings allowed a longer life when that was stored.
    """

    def __init__(
        self,
        store: Invalidations,
        longest: float,
        *,
        box: float = 1.0,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self.life = longest + SLACK
        self._box = box
        self._clock = clock
        self._ticks = ticks
        self._partitions: OrderedDict[str, _Known] = OrderedDict()

    def begin(self, partition: str) -> asyncio.Task[None] | None:
        """Start to read the rules, unless that was done within EVERY: `SharedRefresh.begin`."""
        return self._known(partition).refresh.begin()

    async def refresh(self, partition: str) -> None:
        """Read the rules, as `begin` does, and wait. Raises what the store raises; the rules known before stay."""
        await self._known(partition).refresh.wait()

    async def ready(self, partition: str, trace: Trace) -> bool:
        """Whether rules are known. When the store is away the last known ones hold, and `rules_failed` is counted;
        without any, nobody can say what is valid: then nothing is served from the cache."""
        known = self._known(partition)
        if self.begin(partition):
            part = FIRST_PART if known.rules is None else PART
            await fail_open(trace, "rules", self.refresh(partition), part * self._box)
        elif known.rules is None:
            trace.counts["rules_failed"] += 1
        return known.rules is not None

    async def allow(self, entry: Entry, trace: Trace) -> bool:
        """Whether the entry may still be served."""
        return await self.ready(entry.partition, trace) and not self.cover(entry)

    def cover(self, entry: Entry) -> bool:
        """Whether a known rule covers the entry, or it is older than an answer may be. True where no rules are known
        (any more: among very many partitions they may be forgotten while a request waits), as nobody can say."""
        return self.covers(entry.partition, entry.created, places(entry))

    def covers(self, partition: str, created: float, places: Iterable[Place]) -> bool:
        """`cover`, for what was made then and lies in these places."""
        if self._known(partition).rules is None:
            return True
        return self._invalid(partition, created, places)

    def outdated(self, partition: str, scope: str, key: str, created: float) -> bool:
        """As much of `cover` as the index knows of an entry."""
        return self._invalid(partition, created, (("namespace", ""), ("scope", scope), ("entry", key)))

    def date(self, partition: str, kind: str, value: str) -> float:
        """Until when what was made is invalid, in epoch seconds."""
        rule = (self._known(partition).rules or {}).get((kind, value))
        return rule.before if rule else float("-inf")

    def models(self, partition: str) -> float:
        """The latest `date` of any model."""
        return self._known(partition).models

    def in_force(self, partition: str) -> Mapping[Place, Rule]:
        """The known rules by kind and value, without those that another one subsumes."""
        return self._known(partition).rules or {}

    async def add(self, partition: str, rule: Rule) -> None:
        """For all environments, and for this one at once. Raises what the store raises."""
        await self._store.add(partition, rule)
        await self._read(partition)

    def _invalid(self, partition: str, created: float, places: Iterable[Place]) -> bool:
        if created <= self._clock() - self.life:
            return True
        rules = self._known(partition).rules
        if not rules:  # of most partitions, and a request asks for each of its candidates
            return False
        return any(created <= rule.before for place in places if (rule := rules.get(place)))

    def _known(self, partition: str) -> _Known:
        known = self._partitions.get(partition)
        if known is None:
            work = partial(self._read, partition)
            known = self._partitions[partition] = _Known(SharedRefresh(work, EVERY, self._ticks))
            if len(self._partitions) > REMEMBERED:
                self._partitions.popitem(last=False)
        self._partitions.move_to_end(partition)
        return known

    async def _read(self, partition: str) -> None:
        known = self._known(partition)
        self._learn(known, await self._store.rules(partition))

    def _learn(self, known: _Known, rules: Sequence[Rule]) -> None:
        """No rule is ever taken back, so what was known before stays until it expires."""
        now = self._clock()
        latest: dict[Place, Rule] = {}
        for rule in (*(known.rules or {}).values(), *rules):
            old = latest.get((rule.kind, rule.value))
            if rule.expires > now and (old is None or old.before < rule.before):
                latest[rule.kind, rule.value] = rule
        whole = latest.get(("namespace", ""))
        known.rules = {
            place: rule for place, rule in latest.items() if whole is None or rule is whole or not whole.subsumes(rule)
        }
        known.models = max((rule.before for rule in latest.values() if rule.kind == "model"), default=float("-inf"))


def places(entry: Entry) -> list[Place]:
    """The kinds and values of the rules that would cover it."""
    named = [("namespace", ""), ("scope", entry.prompt.scope), ("entry", entry.prompt.key)]
    models = [("model", model) for model in {entry.model, entry.recording.model}]
    return [*named, *models, *(("tag", tag) for tag in entry.tags)]
