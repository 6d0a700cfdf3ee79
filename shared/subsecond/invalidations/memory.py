"""Rules in this process."""

from __future__ import annotations

from collections.abc import Sequence

from subsecond.config import Settings
from subsecond.model import Rule


class MemoryInvalidations:
    def __init__(self) -> None:
        self._rules: dict[str, dict[tuple[str, str], Rule]] = {}

    async def add(self, partition: str, rule: Rule) -> None:
        rules = self._rules.setdefault(partition, {})
        old = rules.get((rule.kind, rule.value))
        if old is None or old.before < rule.before:
            rules[rule.kind, rule.value] = rule

    async def rules(self, partition: str) -> Sequence[Rule]:
        return tuple(self._rules.get(partition, {}).values())


def build(_settings: Settings) -> MemoryInvalidations:
    return MemoryInvalidations()
