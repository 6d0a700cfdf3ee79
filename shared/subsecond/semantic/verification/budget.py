"""What the judge may cost in a day, over all partitions and checkers, and whose turn it is to check.

It is written before the judge is asked: a checker that dies has spent what it has taken, and never more.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from subsecond.semantic.verification.queue import Queue

# Seconds for which a checker that says nothing keeps its turn: longer than a check with its seeded pairs may take.
TURN = 240.0


@dataclass(frozen=True, slots=True)
class Spent:
    """day: of the epoch. owner: who checks now, until then (epoch seconds)."""

    day: int = 0
    calls: int = 0
    tokens: int = 0
    owner: str = ""
    until: float = 0.0


class Budget:
    """One checker's view. calls, tokens: of a day. `clock`: epoch seconds."""

    def __init__(self, checks: Queue, calls: int, tokens: int, clock: Callable[[], float] = time.time) -> None:
        self._checks = checks
        self._calls = calls
        self._tokens = tokens
        self._clock = clock
        self._owner = uuid.uuid4().hex
        self._unused = 0

    def give_back(self, tokens: int) -> None:
        """Tokens that were taken and not spent. They are written with what is taken next, or at the end."""
        self._unused += tokens

    async def take(self, calls: int = 0, tokens: int = 0) -> bool:
        """Whether it is our turn, and there is so much left. Then it is spent. Raises ObjectsFailed."""
        data, etag = await self._checks.budget()
        now = self._clock()
        spent = _read(data)
        if spent.owner not in ("", self._owner) and spent.until > now:
            return False
        if spent.day != int(now // 86_400):
            spent = Spent(int(now // 86_400))
        used = max(0, spent.tokens - self._unused)
        taken = replace(spent, calls=spent.calls + calls, tokens=used + tokens, owner=self._owner, until=now + TURN)
        if taken.calls > self._calls or taken.tokens > self._tokens:
            return False
        if not await self._checks.spend(_told(taken), etag):
            return False
        self._unused = 0
        return True

    async def end(self) -> None:
        """Leave the turn to the next one."""
        data, etag = await self._checks.budget()
        spent, unused, self._unused = _read(data), self._unused, 0
        if spent.owner == self._owner:
            left = replace(spent, tokens=max(0, spent.tokens - unused), owner="", until=0.0)
            await self._checks.spend(_told(left), etag)


def _read(data: bytes | None) -> Spent:
    return Spent(**json.loads(data)) if data else Spent()


def _told(spent: Spent) -> bytes:
    return json.dumps(asdict(spent)).encode()
