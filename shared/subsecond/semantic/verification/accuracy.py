"""What a namespace has learned of its own semantic hits, and which score they need from now on.

The cut begins stricter than the policy's, and only ever rises: by a step whenever what was checked since the last step
says that the owner's bound would be broken. Behind the last step nothing is served but exact hits, and hits that would
have been served go on being checked. Only a person turns that back, who deletes what was learned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from subsecond.semantic.verification.intervals import NONE, UNKNOWN, Counted, Interval, JudgeErrors, wrong_share

# Confidence of what is told: 95 %.
ALPHA = 0.05
# Checks after which the cut is looked at, again and again. Fewer say nothing; with more it takes too long to react.
STEP = 30
# Checks after which an epoch's count begins anew, so that a change of the traffic is seen behind a long good time.
WINDOW = 8 * STEP
# A step up is taken from an estimate of so many times the bound on. 30 checks are few: with 1.0 a stream of questions
# whose wrong share is two thirds of the bound took one to three steps for nothing.
ROOM = 1.3
# A step up leaves this share of the hits, the surest ones.
KEEPS = 0.6
# Steps up; then exact hits alone. 6 steps of 30 checks: a policy that is always wrong is given up after 180 checks.
STEPS = 5
# What is assumed before checks say otherwise, as if so many had: half of the bound wrong, and a judge that errs in 5 of
# 100. Seeded pairs soon count more than that.
STRENGTH, JUDGE_STRENGTH, JUDGE_ERRS = 40.0, 20.0, 0.05
# A judge that tells wrong pairs from right ones no better than this (1: always, 0: a coin) is of no use. Looked at once
# that many seeded pairs of each kind were judged.
DISCERNS, SEEDS = 0.5, 12

State = Literal["proving", "held", "exact only"]


@dataclass(frozen=True, slots=True)
class Check:
    """A hit and what the judge said of it. score: the policy's for the pair. shadow: it was not served."""

    score: float
    wrong: bool
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class Accuracy:
    """bound: the share of semantic hits that may be wrong. cut: the policy's score from which a candidate is served.
    epoch: counts the steps up. checked: all hits that were served and checked, and how many of them the judge called
    wrong; since: the same since the last step or window began; scores: of those. served: whether any hit is. shadow:
    hits that were not served and checked all the same, which say nothing of those that were."""

    bound: float
    cut: float
    epoch: int = 0
    checked: Counted = NONE
    since: Counted = NONE
    scores: tuple[float, ...] = ()
    judge: JudgeErrors = UNKNOWN
    served: bool = True
    shadow: Counted = NONE

    @classmethod
    def begin(cls, bound: float, cut: float) -> Accuracy:
        """cut: the policy's own. The score is the policy's chance that the pair is right; it flatters, so a pair whose
        chance of being wrong is above twice the bound is not served to begin with."""
        return cls(bound, max(cut, 1 - 2 * bound))

    @property
    def told(self) -> Interval:
        """The share of wrong ones among all hits that were served, with 95 % at all times."""
        return wrong_share(self.checked, self.judge, ALPHA)

    @property
    def told_of_shadow(self) -> Interval:
        """The same of hits that would have been served."""
        return wrong_share(self.shadow, self.judge, ALPHA)

    @property
    def estimate(self) -> float:
        """The share of wrong hits in this epoch, with the judge's errors taken out."""
        errs_on_right = self.judge.right.share(JUDGE_ERRS, JUDGE_STRENGTH)
        errs_on_wrong = 1 - self.judge.wrong.share(1 - JUDGE_ERRS, JUDGE_STRENGTH)
        discerns = 1 - errs_on_right - errs_on_wrong
        said = self.since.share(errs_on_right + discerns * self.bound / 2, STRENGTH)
        return max(0.0, said - errs_on_right) / discerns if discerns > 0 else 1.0

    @property
    def state(self) -> State:
        if not self.served:
            return "exact only"
        return "held" if self.told.high <= self.bound else "proving"

    def checks_left(self) -> int | None:
        """About how many more checks it takes until the bound can be promised, should they go on as they did. None:
        never, at this rate."""
        share = self.checked.share(self.bound / 2, STRENGTH)
        for n in _sizes(max(self.checked.n, STEP)):
            judged = JudgeErrors(_grown(self.judge.wrong, n, 1 - JUDGE_ERRS), _grown(self.judge.right, n, JUDGE_ERRS))
            if wrong_share(Counted(n, round(share * n)), judged, ALPHA).high <= self.bound:
                return n - self.checked.n
        return None


def checked(accuracy: Accuracy, check: Check) -> Accuracy:
    """What is known after one more check."""
    if check.shadow:
        return replace(accuracy, shadow=accuracy.shadow.with_one(check.wrong))
    accuracy = replace(
        accuracy,
        checked=accuracy.checked.with_one(check.wrong),
        since=accuracy.since.with_one(check.wrong),
        scores=(*accuracy.scores, check.score),
    )
    if accuracy.since.n % STEP == 0 and accuracy.estimate > ROOM * accuracy.bound:
        return _stepped_up(accuracy)
    return replace(accuracy, since=NONE, scores=()) if accuracy.since.n >= WINDOW else accuracy


def seeded(accuracy: Accuracy, *, truly_wrong: bool, said_wrong: bool) -> Accuracy:
    """What is known after the judge's verdict on a pair whose truth is known. A judge of no use ends the serving."""
    judge = accuracy.judge
    if truly_wrong:
        judge = replace(judge, wrong=judge.wrong.with_one(said_wrong))
    else:
        judge = replace(judge, right=judge.right.with_one(said_wrong))
    accuracy = replace(accuracy, judge=judge)
    return replace(accuracy, served=False) if _is_blind(judge) else accuracy


def _is_blind(judge: JudgeErrors) -> bool:
    if min(judge.wrong.n, judge.right.n) < SEEDS:
        return False
    return judge.wrong.yes / judge.wrong.n - judge.right.yes / judge.right.n < DISCERNS


def _stepped_up(accuracy: Accuracy) -> Accuracy:
    """The cut above the least sure hits of this epoch; behind the last step nothing is served."""
    scores = sorted(accuracy.scores)
    cut = scores[int((1 - KEEPS) * len(scores))]
    served = accuracy.epoch < STEPS and scores[-1] > accuracy.cut
    return replace(accuracy, cut=max(cut, accuracy.cut), epoch=accuracy.epoch + 1, since=NONE, scores=(), served=served)


def _sizes(least: int) -> list[int]:
    return [round(least * 1.25**power) for power in range(40)]


def _grown(counted: Counted, n: int, expected: float) -> Counted:
    """The judge's counts as they would be with a seeded pair of each kind for every tenth check. expected: its share
    where none was judged yet."""
    size = max(counted.n, n // 10)
    share = counted.yes / counted.n if counted.n else expected
    return Counted(size, round(share * size))
