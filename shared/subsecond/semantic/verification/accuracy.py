"""What a namespace has learned of its own semantic hits, and which score they need from now on.

The cut begins stricter than the policy's, and only ever rises: by a step whenever what was checked since the last step
says that the owner's bound would be broken. Each cut is on trial first: hits are decided and checked, and not served.
Behind the last step nothing is served but exact hits, and hits that would have been served go on being checked. Only a
person turns that back, who deletes what was learned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log
from typing import Literal

from subsecond.semantic.verification.intervals import NONE, UNKNOWN, Counted, Interval, JudgeErrors, wrong_share
from subsecond.semantic.verification.surge import UNPACED, Pace

# Confidence of what is told: 95 %.
ALPHA = 0.05
# Checks after which the cut is looked at, again and again. Fewer say nothing; with more it takes too long to react.
STEP = 30
# Checks after which an epoch's count begins anew, so that a change of the traffic is seen behind a long good time.
WINDOW = 8 * STEP
# A step up is taken from an estimate of so many times the bound on. 30 checks are few: with 1.0 a stream of questions
# whose wrong share is two thirds of the bound took one to three steps for nothing.
ROOM = 1.3
# Checks of hits that a cut on trial does not serve. Over Quora's questions, where by the labels a fifth of the surest
# hits is wrong, a trial of 30 let every fifth of 20 orders serve, one of 60 none. On Banking77 they cost alike.
TRIAL = 2 * STEP
# The same after a surge of hits (`surge.py`): there are many to check.
AGAIN = 4 * STEP
# A step up is also taken when the last checks, however many, are e ** ALARM times likelier where SUDDEN times the bound
# is wrong than where the bound is (Page's CUSUM, 1954). It sees a policy that fails all at once, which a count over
# many good checks sees late. With a judge that errs on 5 %, 46 checks of 35 % wrong are enough in 95 of 100 cases; in
# 900 checks of 3 % wrong, 2 cases of 100 have a false alarm.
ALARM, SUDDEN = 5.0, 3
# A step up leaves this share of the hits, the surest ones.
KEEPS = 0.6
# Steps up; then exact hits alone. A policy that is always wrong is given up after 48 checks, 8 for each step.
STEPS = 5
# What is assumed before checks say otherwise, as if so many had: half of the bound wrong, and a judge that errs in 5 of
# 100. Seeded pairs soon count more than that.
STRENGTH, JUDGE_STRENGTH, JUDGE_ERRS = 40.0, 20.0, 0.05
# A judge that tells wrong pairs from right ones no better than this (1: always, 0: a coin) is of no use. Looked at once
# that many seeded pairs of each kind were judged.
DISCERNS, SEEDS = 0.5, 12

State = Literal["on trial", "proving", "held", "exact only"]


@dataclass(frozen=True, slots=True)
class Check:
    """A hit and what the judge said of it. score: the policy's for the pair. shadow: it was not served. gap, surged: as
    of `Sample`."""

    score: float
    wrong: bool
    shadow: bool = False
    gap: int = 0
    surged: int = 0


@dataclass(frozen=True, slots=True)
class Accuracy:
    """bound: the share of semantic hits that may be wrong. cut: the policy's score from which a candidate is served.
    epoch: counts the steps up. checked: all hits that were served and checked, and how many of them the judge called
    wrong; since: the same since the last step or window began; scores: of those. served: whether any hit is. shadow:
    hits that were not served and checked all the same, which say nothing of those that were. trial: whether the cut is
    on trial. alarm: how likely a sudden change is, as a logarithm. pace: of the hits that were checked at this cut;
    surges: how often hits came so much oftener that the cut was tried again; again: whether no
    trial was passed since the last of these."""

    bound: float
    cut: float
    epoch: int = 0
    checked: Counted = NONE
    since: Counted = NONE
    scores: tuple[float, ...] = ()
    judge: JudgeErrors = UNKNOWN
    served: bool = True
    shadow: Counted = NONE
    trial: bool = False
    alarm: float = 0.0
    pace: Pace = UNPACED
    surges: int = 0
    again: bool = False

    @classmethod
    def begin(cls, bound: float, cut: float, *, trial: bool) -> Accuracy:
        """cut: the policy's own. The score is the policy's chance that the pair is right; it flatters, so a pair whose
        chance of being wrong is above twice the bound is not served to begin with. trial: where hits are checked at
        all; without checks no trial would end."""
        return cls(bound, max(cut, 1 - 2 * bound), trial=trial)

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
        errs, discerns = self._judged
        said = self.since.share(errs + discerns * self.bound / 2, STRENGTH)
        return max(0.0, said - errs) / discerns if discerns > 0 else 1.0

    @property
    def _judged(self) -> tuple[float, float]:
        """The share of right pairs that the judge calls wrong, and how much oftener it says that of wrong ones."""
        errs_on_right = self.judge.right.share(JUDGE_ERRS, JUDGE_STRENGTH)
        return errs_on_right, self.judge.wrong.share(1 - JUDGE_ERRS, JUDGE_STRENGTH) - errs_on_right

    @property
    def is_too_high(self) -> bool:
        """Whether the share of wrong hits is, as far as one can see. A trial must be passed without any room."""
        if self.alarm > ALARM:
            return True
        room = 1.0 if self.trial else ROOM
        return self.since.n % STEP == 0 and self.estimate > room * self.bound

    @property
    def is_passed(self) -> bool:
        """Whether a trial is over: enough was checked, by a judge who is known. Some traffic has hardly a pair to
        measure it on (`seeding.py`): after a window of checks it ends all the same."""
        known = min(self.judge.wrong.n, self.judge.right.n) >= SEEDS
        return self.since.n >= ((AGAIN if self.again else TRIAL) if known else WINDOW)

    def alarmed(self, *, wrong: bool) -> float:
        """The alarm after one more check."""
        errs, discerns = self._judged
        if discerns <= 0:
            return self.alarm
        usual, sudden = (errs + discerns * min(1.0, share) for share in (self.bound, SUDDEN * self.bound))
        return max(0.0, self.alarm + (log(sudden / usual) if wrong else log((1 - sudden) / (1 - usual))))

    @property
    def state(self) -> State:
        if not self.served:
            return "exact only"
        if self.trial:
            return "on trial"
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
    counted = "shadow" if check.shadow else "checked"
    accuracy = replace(accuracy, **{counted: getattr(accuracy, counted).with_one(check.wrong)})
    accuracy = _tried_again(accuracy, check.surged) if check.surged > accuracy.surges else accuracy
    if not accuracy.served or check.score < accuracy.cut or (check.shadow and not accuracy.trial):
        return accuracy  # it says nothing of this cut
    accuracy = replace(
        accuracy,
        pace=accuracy.pace.with_hit(check.gap) if check.gap else accuracy.pace,
        since=accuracy.since.with_one(check.wrong),
        scores=(*accuracy.scores, check.score),
        alarm=accuracy.alarmed(wrong=check.wrong),
    )
    if accuracy.is_too_high:
        return _stepped_up(accuracy)
    if accuracy.trial and accuracy.is_passed:
        return replace(accuracy, trial=False, again=False)
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


def _tried_again(accuracy: Accuracy, surged: int) -> Accuracy:
    """What was checked before a surge says nothing of its hits: the cut is on trial again, unless it is anyway."""
    if accuracy.trial or not accuracy.served:
        return replace(accuracy, surges=surged)
    return replace(_on_trial(accuracy), surges=surged, again=True)


def _on_trial(accuracy: Accuracy) -> Accuracy:
    return replace(accuracy, trial=True, since=NONE, scores=(), alarm=0.0, pace=UNPACED)


def _stepped_up(accuracy: Accuracy) -> Accuracy:
    """The cut above the least sure hits of this epoch, on trial; behind the last step nothing is served."""
    scores = sorted(accuracy.scores)
    cut = scores[int((1 - KEEPS) * len(scores))]
    served = accuracy.epoch < STEPS and scores[-1] > accuracy.cut
    return replace(_on_trial(accuracy), cut=max(cut, accuracy.cut), epoch=accuracy.epoch + 1, served=served)


def _sizes(least: int) -> list[int]:
    return [round(least * 1.25**power) for power in range(40)]


def _grown(counted: Counted, n: int, expected: float) -> Counted:
    """The judge's counts as they would be with a seeded pair of each kind for every tenth check. expected: its share
    where none was judged yet."""
    size = max(counted.n, n // 10)
    share = counted.yes / counted.n if counted.n else expected
    return Counted(size, round(share * size))
