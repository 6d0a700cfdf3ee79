"""Questions in their order against a cache that begins empty: a hit does not store, a miss does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from subsecond.model import Prompt
from subsecond.ports import Policy, StoredQuestion, Verdict
from subsecond_local.evaluate import setting as told
from subsecond_local.evaluate.cache import Cache
from subsecond_local.evaluate.figures import along_score, ratio, rounded, wilson
from subsecond_local.evaluate.progress import Bars, silent
from subsecond_local.evaluate.rows import Question
from subsecond_local.evaluate.setting import Setting
from subsecond_local.evaluate.sweep import Decision, Point

if TYPE_CHECKING:
    from subsecond.semantic.index.vectors import Vector

# The intent of questions out of scope: no stored answer may serve them.
OOS = "oos"
# For the picture: shares of the questions that the cuts are chosen to answer, and how far below the policy's least
# similarity they may go.
SHARES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.65)
BELOW = 0.15


@dataclass(frozen=True, slots=True)
class Answered:
    """A question that was answered from the cache. similarity, score: None for an exact repeat. served: False where it
    would have been, but for a bound."""

    row: int
    question: Question
    stored: Question
    similarity: float | None
    score: float | None
    served: bool = True

    @property
    def is_exact(self) -> bool:
        return self.similarity is None

    @property
    def is_wrong(self) -> bool:
        """An answer of another intent, or to a question out of scope that is no exact repeat."""
        intent = self.question.intent
        return intent != self.stored.intent or (intent == OOS and not self.is_exact)

    def decision(self) -> Decision:
        return Decision(not self.is_wrong, answered=True, score=math.inf if self.is_exact else self.score)

    def report(self) -> dict[str, Any]:
        return {
            "row": self.row,
            "stored": self.stored.text,
            "asked": self.question.text,
            "stored_intent": self.stored.intent,
            "intent": self.question.intent,
            "similarity": rounded(self.similarity),
            "score": rounded(self.score),
        }


@dataclass(frozen=True, slots=True)
class Streamed:
    """One stream: what was answered, and for each question the score of its best candidate, and whether that would have
    been right. oos_rows: the questions out of scope."""

    n: int
    answered: Sequence[Answered]
    decisions: Sequence[Decision]
    oos_rows: int
    entries: int

    @property
    def hits(self) -> int:
        return len(self.answered)

    @property
    def exact(self) -> int:
        return sum(one.is_exact for one in self.answered)

    @property
    def wrong(self) -> int:
        return sum(one.is_wrong for one in self.answered)

    @property
    def oos_hits(self) -> int:
        return sum(one.question.intent == OOS for one in self.answered)

    def report(self, ranked: Sequence[Decision] = ()) -> dict[str, Any]:
        """error_rate: wrong answers over all requests. oos_answered is None without such rows. ranked: for what is read
        along the score, where a recall is a share of the questions whose best candidate is right."""
        along, intervals = along_score(ranked)
        return {
            "n": self.n,
            "hit_rate": rounded(ratio(self.hits, self.n)),
            "error_rate": rounded(ratio(self.wrong, self.n)),
            "oos_answered": rounded(ratio(self.oos_hits, self.oos_rows)),
            "entries": self.entries,
            "precision": rounded(ratio(self.hits - self.wrong, self.hits)),
            "exact": self.exact,
            **along,
            "wrong": [one.report() for one in self.answered if one.is_wrong],
            "intervals": {
                "hit_rate": wilson(self.hits, self.n),
                "error_rate": wilson(self.wrong, self.n),
                "oos_answered": wilson(self.oos_hits, self.oos_rows),
                "precision": wilson(self.hits - self.wrong, self.hits),
                **intervals,
            },
        }


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
    heard = _HeardPolicy(policy or setting.policy)
    cache, stored = Cache(setting, heard, len(questions)), _Stored()
    least = -1.0 if policy else setting.least
    answered, decisions = list[Answered](), list[Decision]()
    try:
        with bars("asking", len(questions)) as bar:
            for row, one in enumerate(questions, 1):
                asked = told.question(one.text, least)
                vector = vectors.get(asked.prompt.text)
                hit = await cache.ask(asked, vector)
                score, candidate = heard.take()
                if hit:
                    found = Answered(row, one, stored.by_key[hit.key], hit.similarity, score)
                    answered.append(found)
                    decisions.append(found.decision())
                else:
                    decisions.append(Decision(stored.is_right(candidate, one), answered=False, score=score))
                    await cache.keep(asked, vector)
                    stored.add(asked.prompt, one)
                bar.advance()
    finally:
        await cache.close()
    oos = sum(one.intent == OOS for one in questions)
    return Streamed(len(questions), answered, decisions, oos, len(cache))


@dataclass(slots=True)
class _Stored:
    """The questions whose answers are in the cache."""

    by_key: dict[str, Question] = field(default_factory=dict)
    by_text: dict[str, Question] = field(default_factory=dict)

    def add(self, prompt: Prompt, one: Question) -> None:
        self.by_key[prompt.key] = self.by_text[prompt.text] = one

    def is_right(self, candidate: str | None, one: Question) -> bool:
        """Whether the answer to the candidate would do."""
        return candidate is not None and one.intent != OOS and self.by_text[candidate].intent == one.intent


async def ranked(
    questions: Sequence[Question], setting: Setting, vectors: Mapping[str, Vector], bars: Bars = silent
) -> Sequence[Decision]:
    """Each question against all before it, however far: nothing but an exact repeat is answered, so all are stored."""
    found = await streamed(questions, setting, vectors, bars, _CutPolicy(setting.policy, -1.0, math.inf))
    return found.decisions


async def trade_off(
    questions: Sequence[Question], setting: Setting, vectors: Mapping[str, Vector], bars: Bars = silent
) -> list[Point]:
    """Hit rate and error rate if everything from a cut of the policy's score on were answered: a pass for each cut,
    because what is not answered is stored. The cuts are the policy's own, and some from a pass that answers nothing."""
    floor = min(setting.least, max(setting.policy.floor - BELOW, 0.0))
    verdicts = _MemoizedPolicy(setting.policy)
    nothing = await streamed(questions, setting, vectors, bars, _CutPolicy(verdicts, floor, math.inf))
    best = [one.score for one in nothing.decisions if one.score is not None and math.isfinite(one.score)]
    points = []
    for cut in sorted({*_cuts(best, len(questions)), setting.policy.cut}, reverse=True):
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
    """The policy that says hit from a score on."""

    verdicts: Policy | _MemoizedPolicy
    floor: float
    cut: float

    def judge(self, asked: str, candidate: StoredQuestion) -> Verdict:
        found = self.verdicts.judge(asked, candidate)
        return Verdict("hit" if found.score >= self.cut else "miss", found.reasons, found.score)


class _HeardPolicy:
    """A policy, and what it said of the best candidate since it was last asked for that."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.floor, self.cut = policy.floor, policy.cut
        self._best: tuple[float | None, str | None] = None, None

    def judge(self, asked: str, candidate: StoredQuestion) -> Verdict:
        verdict = self._policy.judge(asked, candidate)
        score, _ = self._best
        if score is None or verdict.score > score:
            self._best = verdict.score, candidate.text
        return verdict

    def take(self) -> tuple[float | None, str | None]:
        """Its score and its text, None where nothing was judged."""
        found, self._best = self._best, (None, None)
        return found
