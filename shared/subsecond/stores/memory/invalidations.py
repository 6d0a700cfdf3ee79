"""Rules in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from subsecond.config import Settings
from subsecond.model import Rule


class MemoryInvalidations:
    """`clock`: epoch seconds. What has expired is forgotten with the next rule of its partition."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._rules: dict[str, dict[tuple[str, str], Rule]] = {}

    async def add(self, partition: str, rule: Rule) -> None:
        now = self._clock()
        rules = {
            place: old
            for place, old in self._rules.get(partition, {}).items()
            if old.expires > now and not rule.subsumes(old)
        }
        self._rules[partition] = rules
        old = rules.get((rule.kind, rule.value))
        if old is None or old.before < rule.before:
            rules[rule.kind, rule.value] = rule

    async def rules(self, partition: str) -> Sequence[Rule]:
        return tuple(self._rules.get(partition, {}).values())


def build(_settings: Settings) -> MemoryInvalidations:
    return MemoryInvalidations()
