"""The whole loop of `verified` over labelled questions: serve, sample, judge some requests later, learn, tighten.

The parts are the gateway's own: the semantic stage with its bounds, the sampling, what is learned. The labels stand in
for the judge, wrong with a probability that is fixed for a pair, because a model that misjudges a pair does so again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol

from subsecond.ports import Policy
from subsecond.semantic.verification.accuracy import Accuracy, Check
from subsecond.semantic.verification.sampling import is_sampled, seeds_are_due
from subsecond.semantic.verification.seeding import right_pair, wrong_pair
from subsecond.semantic.verification.verified import Bounds, Verified
from subsecond_local.errors import LocalError
from subsecond_local.evaluate import setting as told
from subsecond_local.evaluate.cache import Cache
from subsecond_local.evaluate.figures import ratio, rounded
from subsecond_local.evaluate.progress import Bar, Bars, silent
from subsecond_local.evaluate.rows import Question
from subsecond_local.evaluate.scenarios import STEADY, Careless, ReplaceablePolicy, Scenario
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
    """A sampled hit, to be judged from that request on. score: the policy's. gap, surged: as of `Sample`."""

    due: int
    hit: Answered
    score: float
    asked: Vector
    stored: Vector
    gap: int
    surged: int


@dataclass(frozen=True, slots=True)
class Look:
    """How it stood after that many requests, as shares of the semantic hits: truly wrong of all that were served,
    called wrong of the checked ones, and wrong at the most, as the loop itself tells it. covered: whether what it tells
    has the truth in it."""

    row: int
    wrong: float
    called_wrong: float
    most: float
    covered: bool = True


@dataclass(slots=True)
class VerifiedStream:
    """What happened in one pass. retreats: requests before which the cut rose. course: looks on the way. careless_from,
    exact_only_from: the request before which the policy was made worse, and the one before which the serving ended."""

    n: int
    oos_rows: int
    hits: list[Answered] = field(default_factory=list)
    judge_calls: int = 0
    retreats: list[int] = field(default_factory=list)
    accuracy: Accuracy | None = None
    course: list[Look] = field(default_factory=list)
    careless_from: int | None = None
    exact_only_from: int | None = None

    @property
    def similar(self) -> list[Answered]:
        return [one for one in self.hits if not one.is_exact]

    @property
    def learned(self) -> Accuracy:
        assert self.accuracy is not None
        return self.accuracy

    @property
    def wrong_share(self) -> float:
        """Of the semantic hits, by the labels; 0 where there was none."""
        similar = self.similar
        return sum(one.is_wrong for one in similar) / (len(similar) or 1)

    @property
    def oos_share(self) -> float:
        """The share of the questions out of scope that were answered."""
        return sum(one.question.intent == OOS for one in self.hits) / (self.oos_rows or 1)

    @property
    def hits_after_worse(self) -> int:
        """Semantic hits from where the policy was made worse."""
        return sum(one.row >= (self.careless_from or 0) for one in self.similar)

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


class Answers(Protocol):
    """A cache that begins empty."""

    async def ask(self, row: int, one: Question) -> Answered | None:
        """The answer from what was stored, or what would be one but for the bound. What is not answered is stored."""

    def vector(self, text: str) -> Vector:
        """Of a question that was compared."""

    def takes_over(self, policy: Policy) -> None:
        """From now on another policy decides."""


class StageAnswers:
    """Through the gateway's own stage, index and store."""

    def __init__(self, setting: Setting, vectors: Mapping[str, Vector], rows: int, bounds: Bounds) -> None:
        self._setting, self._vectors = setting, vectors
        self._policy = ReplaceablePolicy(setting.policy)
        self.cache = Cache(setting, self._policy, rows, bounds=bounds)
        self._stored: dict[str, Question] = {}

    def takes_over(self, policy: Policy) -> None:
        self._policy.policy = policy

    def vector(self, text: str) -> Vector:
        return self._vectors[told.question(text).prompt.text]

    async def ask(self, row: int, one: Question) -> Answered | None:
        asked = told.question(one.text, self._setting.least)
        vector = self._vectors.get(asked.prompt.text)
        hit = await self.cache.ask(asked, vector)
        found = Answered(row, one, self._stored[hit.key], hit.similarity, hit.score, hit.served) if hit else None
        if found is None or not found.served:
            await self.cache.keep(asked, vector)
            self._stored[asked.prompt.key] = one
        return found


async def verified(
    questions: Sequence[Question],
    setting: Setting,
    vectors: Mapping[str, Vector],
    judge: LabelJudge,
    max_error: float,
    bars: Bars = silent,
    scenario: Scenario = STEADY,
) -> VerifiedStream:
    """One pass over the questions in their order. LocalError where the policy has no cut to begin from."""
    bounds = Bounds(max_error, cut_of(setting), setting.embedder.dim, trial=scenario.trial)
    answers = StageAnswers(setting, vectors, len(questions), bounds)
    try:
        with bars("asking", len(questions)) as bar:
            loop = Loop(answers, judge, bounds.of(TENANT.partition), len(questions), setting.settings.check_share)
            return await loop.run(questions, scenario, bar)
    finally:
        await answers.cache.close()


def cut_of(setting: Setting) -> float:
    """The cut that verified begins from. LocalError where the policy has none."""
    cut: float | None = getattr(setting.policy, "cut", None)
    if cut is None:
        raise LocalError(f"The policy {setting.name!r} has no score with a cut: verified needs guarded.")
    return cut


class Loop:
    """One pass: serve, sample, judge some requests later, learn. share: of the hits that is checked."""

    def __init__(self, answers: Answers, judge: LabelJudge, learned: Verified, rows: int, share: float) -> None:
        self._answers, self._judge, self.learned = answers, judge, learned
        self._share = share
        self.found = VerifiedStream(rows, 0)
        self._waiting: deque[_Waiting] = deque()

    async def run(
        self, questions: Sequence[Question], scenario: Scenario = STEADY, bar: Bar | None = None
    ) -> VerifiedStream:
        rows = len(questions)
        for row, one in enumerate(questions, 1):
            if scenario.careless and row == rows // 2 + 1:
                self._answers.takes_over(Careless())
                self.found.careless_from = row
            self._judge_until(row)
            await self._ask(row, one)
            if row % max(1, rows // LOOKS) == 0:
                self._look(row)
            if bar:
                bar.advance()
        self.found.oos_rows = sum(one.intent == OOS for one in questions)
        self.found.accuracy = self.learned.accuracy
        return self.found

    async def _ask(self, row: int, one: Question) -> None:
        found = await self._answers.ask(row, one)
        if found is None:
            return
        if found.served:
            self.found.hits.append(found)
        if not found.is_exact and is_sampled(f"{self._judge.seed}{row}:{one.text}", self._share):
            asked, stored = self._answers.vector(one.text), self._answers.vector(found.stored.text)
            watch = self.learned.watch
            waiting = _Waiting(row + DELAY, found, found.score or 0.0, asked, stored, watch.gap, watch.surged)
            self._waiting.append(waiting)

    def _judge_until(self, row: int) -> None:
        """Judge what is due, inside the budget. What the budget does not allow is dropped, not put off."""
        while self._waiting and self._waiting[0].due <= row:
            one = self._waiting.popleft()
            if not self._may_call(1, row):
                continue
            before = self.learned.accuracy
            wrong = self._says_wrong(one.hit)
            check = Check(one.score, wrong, not one.hit.served, one.gap, one.surged)
            self.learned.learn(check, one.asked, one.stored)
            if seeds_are_due(self.learned.accuracy) and self._may_call(2, row):
                self._judge_seeds(one.hit.question.text)
            if self.learned.accuracy.epoch != before.epoch:
                self.found.retreats.append(row)
            if before.served and not self.learned.accuracy.served:
                self.found.exact_only_from = row

    def _look(self, row: int) -> None:
        wrong, accuracy = self.found.wrong_share, self.learned.accuracy
        called = accuracy.checked.yes / (accuracy.checked.n or 1)
        self.found.course.append(Look(row, wrong, called, accuracy.told.high, wrong in accuracy.told))

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
