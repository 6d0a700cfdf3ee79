"""Plays a log against empty caches: the gateway's own key, scope, index and policy; the log's answers; no model.

An answer lives for as long as the gateway would keep it, on the log's own clock. A miss stores what the log says that
the model answered, a hit stores nothing, as in the gateway.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from subsecond.bootstrap import key_policy
from subsecond.cache.cacheability import may_compare
from subsecond.cache.fingerprint import fingerprint, parting
from subsecond.cache.key import KeyPolicy, prepare
from subsecond.config import Settings
from subsecond.errors import SubsecondError
from subsecond.routing.router import Router
from subsecond.stats.trace import Trace
from subsecond_local.errors import LocalError
from subsecond_local.evaluate.cache import Cache
from subsecond_local.evaluate.progress import Bars, silent
from subsecond_local.evaluate.setting import TENANT, Asked, Setting
from subsecond_local.replay.log import Logged

if TYPE_CHECKING:
    from subsecond.semantic.index.vectors import Vector

# Characters of a token, where the log does not count: English prose has about four.
CHARACTERS = 4
# Stored entries of one text that a miss is compared with.
COMPARED = 8


@dataclass(frozen=True, slots=True)
class Matched:
    """A semantic hit: what was asked, what had been asked before, what that one's answer was."""

    row: int
    asked: str
    stored: str
    answer: str
    similarity: float
    score: float


@dataclass(slots=True)
class Played:
    """n: requests. exact, similar: the rows that hits answered. tokens, cost: of what hits saved, and of all. parted:
    misses whose text was stored, by the fields that parted them. sizes: entries after each request."""

    n: int = 0
    exact: list[int] = field(default_factory=list)
    matched: list[Matched] = field(default_factory=list)
    tokens: int = 0
    saved_tokens: int = 0
    cost: float = 0.0
    saved_cost: float = 0.0
    parted: Counter[str] = field(default_factory=Counter)
    parted_rows: int = 0
    refused: int = 0

    @property
    def misses(self) -> int:
        return self.n - len(self.exact) - len(self.matched)


def asked_of(requests: Sequence[Logged], settings: Settings) -> list[Asked | None]:
    """The requests as the stages take them, with keys as these settings make them: the fields that the upstream's kind
    leaves out, walls between users, clocks by the log's own time. None for one that the gateway would refuse.
    LocalError."""
    try:
        keying = key_policy(settings, Router.of(settings) if settings.catalogue else None)
    except (ValueError, SubsecondError) as error:
        raise LocalError(str(error)) from error
    return [_asked(one, keying) for one in requests]


def _asked(one: Logged, keying: KeyPolicy) -> Asked | None:
    try:
        terms = keying.terms(one.call.model, TENANT, one.at)
        return Asked(one.call, prepare(one.call, TENANT, terms), terms)
    except (SubsecondError, TypeError, AttributeError, ValueError):
        return None  # a body that no route would take


async def played(
    requests: Sequence[Logged],
    asked: Sequence[Asked | None],
    setting: Setting,
    vectors: Mapping[str, Vector],
    bars: Bars = silent,
) -> Played:
    """One pass."""
    player = _Player(setting, vectors, len(requests))
    try:
        with bars(f"replaying with {setting.name}, {setting.settings.caution}", len(requests)) as bar:
            for row, (one, it) in enumerate(zip(requests, asked, strict=True), 1):
                await player.ask(row, one, it)
                bar.advance()
    finally:
        await player.cache.close()
    return player.found


class _Player:
    def __init__(self, setting: Setting, vectors: Mapping[str, Vector], rows: int) -> None:
        self._setting, self._vectors = setting, vectors
        self.cache = Cache(setting, setting.policy, rows)
        self.found = Played()
        self._stored: dict[str, tuple[Logged, Asked]] = {}
        self._ends: list[tuple[float, str]] = []
        self._by_text: dict[str, list[str]] = {}

    async def ask(self, row: int, one: Logged, asked: Asked | None) -> None:
        self.found.n += 1
        tokens = one.tokens_in + one.tokens_out or _estimated(one)
        self.found.tokens += tokens
        self.found.cost += one.cost
        if asked is None:
            self.found.refused += 1
            return
        await self._expire(one.at)
        vector = self._vectors.get(asked.prompt.text) if may_compare(asked.call, asked.prompt.text) else None
        hit = await self.cache.ask(asked, vector)
        if hit is None:
            self._note_parting(asked)
            await self._keep(one, asked, vector)
            return
        self.found.saved_tokens += tokens
        self.found.saved_cost += one.cost
        if hit.similarity is None:
            self.found.exact.append(row)
        else:
            before, theirs = self._stored[hit.key]
            text = theirs.prompt.text
            match = Matched(row, asked.prompt.text, text, before.answer, hit.similarity, hit.score or 0.0)
            self.found.matched.append(match)

    async def _keep(self, one: Logged, asked: Asked, vector: Vector | None) -> None:
        entry = await self.cache.keep(asked, vector)
        if entry is None:
            return
        key = asked.prompt.key
        self._stored[key] = one, asked
        self._by_text.setdefault(asked.prompt.text, []).append(key)
        if one.at is not None:
            heappush(self._ends, (one.at + entry.expires - entry.created, key))

    async def _expire(self, now: float | None) -> None:
        """Forget what has come to its end by the log's clock."""
        while now is not None and self._ends and self._ends[0][0] <= now:
            _, key = heappop(self._ends)
            _, asked = self._stored.pop(key)
            self._by_text[asked.prompt.text].remove(key)
            await self.cache.forget(asked)

    def _note_parting(self, asked: Asked) -> None:
        """Count the fields that part a miss from a stored request of the same text: the least of them, if several."""
        keys = self._by_text.get(asked.prompt.text, ()) if asked.prompt.text else ()
        mine = fingerprint(asked.request(Trace())) if keys else ""
        theirs = [fingerprint(self._stored[key][1].request(Trace())) for key in keys[-COMPARED:]]
        fields = min((parting(one, mine) for one in theirs), key=len, default=[])
        self.found.parted.update(fields)
        self.found.parted_rows += bool(fields)


def _estimated(one: Logged) -> int:
    said = sum(len(str(message.get("content") or "")) for message in one.call.body.get("messages") or ())
    return (said + len(one.answer)) // CHARACTERS
