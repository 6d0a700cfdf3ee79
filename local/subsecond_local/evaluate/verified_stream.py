"""The whole loop of `verified` over labelled questions: serve, sample, judge some requests later, learn, tighten.

The parts are the gateway's own: the semantic stage with its bounds, the sampling, what is learned. The labels stand in
for the judge, wrong with a probability that is fixed for a pair, because a model that misjudges a pair does so again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from subsecond.semantic.verification.accuracy import Accuracy, Check
from subsecond.semantic.verification.sampling import is_sampled, seeds_are_due
from subsecond.semantic.verification.seeding import right_pair, wrong_pair
from subsecond.semantic.verification.verified import Bounds, Verified
from subsecond_local.errors import LocalError
from subsecond_local.evaluate import setting as told
from subsecond_local.evaluate.cache import Cache
from subsecond_local.evaluate.figures import ratio, rounded
from subsecond_local.evaluate.progress import Bars, silent
from subsecond_local.evaluate.rows import Question
from subsecond_local.evaluate.setting import TENANT, Setting
from subsecond_local.evaluate.stream import OOS, Answered

if TYPE_CHECKING:
    from subsecond.semantic.index.vectors import Vector

# Requests that come between a hit and the judge's verdict on it.
DELAY = 20
# The judge's calls, seeded pairs included, as a share of the requests so far: a hard budget.
BUDGET = 0.15
# Looks on the way, for the picture.
LOOKS = 200


@dataclass(frozen=True, slots=True)
class LabelJudge:
    """Says what the labels say, but for a share of the pairs. on_wrong, on_right: those shares of the pairs that must
    not, and may, share an answer."""

    on_wrong: float
    on_right: float
    seed: str = ""

    def says_wrong(self, asked: str, stored: str, *, wrong: bool) -> bool:
        drawn = int.from_bytes(sha256(f"{self.seed}\n{asked}\n{stored}".encode()).digest()[:8]) / 2**64
        errs = drawn < (self.on_wrong if wrong else self.on_right)
        return wrong != errs


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A sampled hit, to be judged from that request on. score: the policy's."""

    due: int
    hit: Answered
    score: float
    asked: Vector
    stored: Vector


@dataclass(frozen=True, slots=True)
class Look:
    """How it stood after that many requests, as shares of the semantic hits: truly wrong of all that were served,
    called wrong of the checked ones, and wrong at the most, as the loop itself tells it."""

    row: int
    wrong: float
    called_wrong: float
    most: float


@dataclass(slots=True)
class VerifiedStream:
    """What happened in one pass. retreats: requests before which the cut rose. course: looks on the way."""

    n: int
    oos_rows: int
    hits: list[Answered] = field(default_factory=list)
    judge_calls: int = 0
    retreats: list[int] = field(default_factory=list)
    accuracy: Accuracy | None = None
    course: list[Look] = field(default_factory=list)

    @property
    def similar(self) -> list[Answered]:
        return [one for one in self.hits if not one.is_exact]

    def report(self) -> dict[str, Any]:
        """error_rate: wrong answers over all requests; false_hit_rate: over the semantic hits, by the labels;
        false_hit_interval: what the loop itself tells of that, from its checks. aliases: always 0, see
        docs/verified.md."""
        assert self.accuracy is not None
        wrong = sum(one.is_wrong for one in self.hits)
        oos = sum(one.question.intent == OOS for one in self.hits)
        told_interval = self.accuracy.told
        return {
            "n": self.n,
            "hit_rate": rounded(ratio(len(self.hits), self.n)),
            "error_rate": rounded(ratio(wrong, self.n)),
            "false_hit_rate": rounded(ratio(sum(one.is_wrong for one in self.similar), len(self.similar))),
            "false_hit_interval": [rounded(told_interval.low), rounded(told_interval.high)],
            "max_error": self.accuracy.bound,
            "state": self.accuracy.state,
            "cut": rounded(self.accuracy.cut),
            "checked": self.accuracy.checked.n,
            "checks_left": self.accuracy.checks_left(),
            "judge_calls": self.judge_calls,
            "judge_call_rate": rounded(ratio(self.judge_calls, self.n)),
            "judge_errors": {
                "seeded": self.accuracy.judge.wrong.n + self.accuracy.judge.right.n,
                "wrong_called_right": rounded(
                    ratio(self.accuracy.judge.wrong.n - self.accuracy.judge.wrong.yes, self.accuracy.judge.wrong.n)
                ),
                "right_called_wrong": rounded(ratio(self.accuracy.judge.right.yes, self.accuracy.judge.right.n)),
            },
            "aliases": 0,
            "retreats": len(self.retreats),
            "retreats_at": self.retreats,
            "oos_answered": rounded(ratio(oos, self.oos_rows)),
            "exact": len(self.hits) - len(self.similar),
        }


async def verified(
    questions: Sequence[Question],
    setting: Setting,
    vectors: Mapping[str, Vector],
    judge: LabelJudge,
    max_error: float,
    bars: Bars = silent,
) -> VerifiedStream:
    """One pass over the questions in their order. LocalError where the policy has no cut to begin from."""
    cut = getattr(setting.policy, "cut", None)
    if cut is None:
        raise LocalError(f"The policy {setting.name!r} has no score with a cut: verified needs guarded.")
    bounds = Bounds(max_error, cut, setting.embedder.dim)
    loop = _Loop(setting, vectors, judge, bounds.of(TENANT.partition), len(questions), bounds)
    try:
        with bars("asking", len(questions)) as bar:
            for row, one in enumerate(questions, 1):
                loop.judge_until(row)
                await loop.ask(row, one)
                if row % max(1, len(questions) // LOOKS) == 0:
                    loop.look(row)
                bar.advance()
    finally:
        await loop.cache.close()
    loop.found.oos_rows = sum(one.intent == OOS for one in questions)
    loop.found.accuracy = loop.learned.accuracy
    return loop.found


class _Loop:
    def __init__(
        self,
        setting: Setting,
        vectors: Mapping[str, Vector],
        judge: LabelJudge,
        learned: Verified,
        rows: int,
        bounds: Bounds,
    ) -> None:
        self._setting, self._vectors, self._judge = setting, vectors, judge
        self.learned = learned
        self.cache = Cache(setting, setting.policy, rows, bounds=bounds)
        self.found = VerifiedStream(rows, 0)
        self._stored: dict[str, Question] = {}
        self._waiting: deque[_Waiting] = deque()

    async def ask(self, row: int, one: Question) -> None:
        asked = told.question(one.text, self._setting.least)
        vector = self._vectors.get(asked.prompt.text)
        hit = await self.cache.ask(asked, vector)
        if hit is None:
            await self.cache.keep(asked, vector)
            self._stored[asked.prompt.key] = one
            return
        found = Answered(row, one, self._stored[hit.key], hit.similarity, hit.score)
        self.found.hits.append(found)
        share = self._setting.settings.check_share
        if hit.similarity is not None and vector is not None and is_sampled(f"{row}:{one.text}", share):
            stored = self._vectors[told.question(found.stored.text).prompt.text]
            self._waiting.append(_Waiting(row + DELAY, found, hit.score or 0.0, vector, stored))

    def judge_until(self, row: int) -> None:
        """Judge what is due, inside the budget. What the budget does not allow is dropped, not put off."""
        while self._waiting and self._waiting[0].due <= row:
            one = self._waiting.popleft()
            if not self._may_call(1, row):
                continue
            epoch = self.learned.accuracy.epoch
            self.learned.learn(Check(one.score, self._says_wrong(one.hit)), one.asked, one.stored)
            if seeds_are_due(self.learned.accuracy) and self._may_call(2, row):
                self._judge_seeds(one.hit.question.text)
            if self.learned.accuracy.epoch != epoch:
                self.found.retreats.append(row)

    def look(self, row: int) -> None:
        similar, accuracy = self.found.similar, self.learned.accuracy
        wrong = sum(one.is_wrong for one in similar) / (len(similar) or 1)
        called = accuracy.checked.yes / (accuracy.checked.n or 1)
        self.found.course.append(Look(row, wrong, called, accuracy.told.high))

    def _says_wrong(self, hit: Answered) -> bool:
        self.found.judge_calls += 1
        return self._judge.says_wrong(hit.question.text, hit.stored.text, wrong=hit.is_wrong)

    def _judge_seeds(self, text: str) -> None:
        for pair in filter(None, (wrong_pair(text), right_pair(text))):
            self.found.judge_calls += 1
            said = self._judge.says_wrong(pair.asked, pair.stored, wrong=not pair.right)
            self.learned.learn_of_judge(truly_wrong=not pair.right, said_wrong=said)

    def _may_call(self, calls: int, row: int) -> bool:
        return self.found.judge_calls + calls <= BUDGET * row
