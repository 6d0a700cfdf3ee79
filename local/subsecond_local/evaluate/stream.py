"""Questions in their order against a cache that begins empty: a hit does not store, a miss does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from subsecond.ports import Policy, StoredQuestion, Verdict
from subsecond_local.evaluate import setting as told
from subsecond_local.evaluate.cache import Cache
from subsecond_local.evaluate.figures import Point, ratio, rounded, wilson
from subsecond_local.evaluate.progress import Bars, silent
from subsecond_local.evaluate.rows import Question
from subsecond_local.evaluate.setting import Setting

if TYPE_CHECKING:
    from subsecond.semantic.index.vectors import Vector

# The intent of questions out of scope: no stored answer may serve them.
OOS = "oos"
# For the picture: shares of the questions that the cuts are chosen to answer, and how far below the policy's least
# similarity they may go.
SHARES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.65)
BELOW = 0.15


@dataclass(frozen=True, slots=True)
class Streamed:
    """Counts of one stream. wrong: answers of another intent, or to a question out of scope that is no exact repeat.
    oos_rows, oos_hits: the questions out of scope, and how many of them were answered."""

    n: int
    hits: int
    exact: int
    wrong: int
    oos_rows: int
    oos_hits: int
    entries: int

    def report(self) -> dict[str, Any]:
        """error_rate: wrong answers over all requests. oos_answered is None without such rows."""
        return {
            "n": self.n,
            "hit_rate": rounded(ratio(self.hits, self.n)),
            "error_rate": rounded(ratio(self.wrong, self.n)),
            "oos_answered": rounded(ratio(self.oos_hits, self.oos_rows)),
            "entries": self.entries,
            "precision": rounded(ratio(self.hits - self.wrong, self.hits)),
            "exact": self.exact,
            "intervals": {
                "hit_rate": wilson(self.hits, self.n),
                "error_rate": wilson(self.wrong, self.n),
                "oos_answered": wilson(self.oos_hits, self.oos_rows),
                "precision": wilson(self.hits - self.wrong, self.hits),
            },
        }


@dataclass(slots=True)
class _Counts:
    hits: int = 0
    exact: int = 0
    wrong: int = 0
    oos_hits: int = 0

    def add(self, intent: str, stored: str, *, exact: bool) -> None:
        self.hits += 1
        self.exact += exact
        self.wrong += intent != stored or (intent == OOS and not exact)
        self.oos_hits += intent == OOS


async def embedded(questions: Sequence[Question], setting: Setting, bars: Bars = silent) -> dict[str, Vector]:
    """The vectors of all questions, by text. LocalError when the embedder fails."""
    return await told.embedded(setting.embedder, [told.question(one.text) for one in questions], bars)


async def streamed(
    questions: Sequence[Question],
    setting: Setting,
    vectors: Mapping[str, Vector],
    bars: Bars = silent,
    policy: Policy | None = None,
) -> Streamed:
    """One pass. `policy`: in the place of the setting's, without its least similarity."""
    cache = Cache(setting, policy or setting.policy, len(questions))
    least = -1.0 if policy else setting.least
    counts, intents = _Counts(), dict[str, str]()
    try:
        with bars("asking", len(questions)) as bar:
            for one in questions:
                asked = told.question(one.text, least)
                vector = vectors.get(asked.prompt.text)
                if hit := await cache.ask(asked, vector):
                    counts.add(one.intent, intents[hit.key], exact=hit.similarity is None)
                else:
                    await cache.keep(asked, vector)
                    intents[asked.prompt.key] = one.intent
                bar.advance()
    finally:
        await cache.close()
    oos = sum(one.intent == OOS for one in questions)
    return Streamed(len(questions), counts.hits, counts.exact, counts.wrong, oos, counts.oos_hits, len(cache))


async def trade_off(
    questions: Sequence[Question], setting: Setting, vectors: Mapping[str, Vector], bars: Bars = silent
) -> list[Point]:
    """Hit rate and error rate if everything from a cut of the policy's score on were answered: a pass for each cut,
    because what is not answered is stored. The cuts come from a pass that answers nothing."""
    floor = min(setting.least, max(setting.policy.floor - BELOW, 0.0))
    verdicts = _MemoizedPolicy(setting.policy)
    everything = _CutPolicy(verdicts, floor, math.inf)
    await streamed(questions, setting, vectors, bars, everything)
    points = []
    for cut in _cuts(list(everything.best.values()), len(questions)):
        found = await streamed(questions, setting, vectors, bars, _CutPolicy(verdicts, floor, cut))
        points.append(Point(cut, found.hits / found.n, found.wrong / found.n))
    return points


def _cuts(best: list[float], questions: int) -> list[float]:
    """The highest first, without the lowest score: a policy has one for all that it refuses. best: the highest score of
    each question that has one."""
    lowest = min(best, default=0.0)
    ranked = sorted((score for score in best if score > lowest), reverse=True)
    places = [int(share * questions) for share in SHARES]
    return list(dict.fromkeys(ranked[place] for place in places if place < len(ranked)))


class _MemoizedPolicy:
    """A policy's verdicts by their texts: passes over the same questions ask mostly the same."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._known: dict[tuple[str, str], Verdict] = {}

    def judge(self, asked: str, candidate: StoredQuestion) -> Verdict:
        texts = asked, candidate.text
        if texts not in self._known:
            self._known[texts] = self._policy.judge(asked, candidate)
        return self._known[texts]


@dataclass(slots=True)
class _CutPolicy:
    """The policy that says hit from a score on. best: the highest score of each question."""

    verdicts: _MemoizedPolicy
    floor: float
    cut: float
    best: dict[str, float] = field(default_factory=dict)

    def judge(self, asked: str, candidate: StoredQuestion) -> Verdict:
        found = self.verdicts.judge(asked, candidate)
        self.best[asked] = max(self.best.get(asked, -math.inf), found.score)
        return Verdict("hit" if found.score >= self.cut else "miss", found.reasons, found.score)
