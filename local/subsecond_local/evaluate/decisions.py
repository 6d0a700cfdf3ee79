"""Judges pairs and conversations: would the stored answer be given to the new question?

It decides as the gateway does: the same key is an exact repeat and always answered; another scope
(other earlier turns, another system prompt) is never compared; else the similarity and the policy decide.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from subsecond.ports import Policy, StoredQuestion, Verdict
from subsecond_local.evaluate import figures
from subsecond_local.evaluate.progress import Bars, silent
from subsecond_local.evaluate.rows import Conversation, Pair
from subsecond_local.evaluate.setting import Asked, Setting, asked, embedded, question
from subsecond_local.evaluate.sweep import Decision

if TYPE_CHECKING:
    from subsecond.semantic.index.vectors import Vector


@dataclass(frozen=True, slots=True)
class Case:
    """`b` is asked where `a` is stored; kept: whether a is stored at all."""

    a: Asked
    b: Asked
    label: bool
    kind: str
    kept: bool = True

    @property
    def is_repeat(self) -> bool:
        return self.a.prompt.key == self.b.prompt.key

    @property
    def is_one_scope(self) -> bool:
        return self.a.prompt.scope == self.b.prompt.scope


@dataclass(frozen=True, slots=True)
class Tried:
    """A decision for each case. judge_cpu_ms: the policy's CPU for one candidate, on average; None when it never had to
    judge."""

    cases: Sequence[Case]
    decisions: Sequence[Decision]
    judge_cpu_ms: float | None
    exact: int
    one_scope: int

    def report(self) -> dict[str, Any]:
        found = figures.report(self.decisions)
        counts = {"exact": self.exact, "one_scope": self.one_scope, "judge_cpu_ms": self.judge_cpu_ms}
        return {**found, **counts, "wrong": self.wrong()}

    def wrong(self) -> list[dict[str, Any]]:
        """The rows that were answered and must not be, the surest first. row: its number in the file, from 1."""
        found = [
            (row, case, one)
            for row, (case, one) in enumerate(zip(self.cases, self.decisions, strict=True), 1)
            if one.answered and not one.label
        ]
        found.sort(key=lambda each: each[2].score or 0.0, reverse=True)
        return [
            {
                "row": row,
                "kind": one.kind or None,
                "stored": case.a.prompt.text,
                "asked": case.b.prompt.text,
                "score": figures.finite(one.score),
                "similarity": figures.finite(one.similarity),
                "reasons": list(one.reasons),
            }
            for row, case, one in found
        ]


def cases_of_pairs(pairs: Iterable[Pair]) -> list[Case]:
    return [Case(question(one.a), question(one.b), one.label, one.kind) for one in pairs]


def cases_of_conversations(conversations: Iterable[Conversation]) -> list[Case]:
    return [Case(asked(one.a), asked(one.b), one.label, one.kind) for one in conversations]


async def tried(cases: Sequence[Case], setting: Setting, bars: Bars = silent) -> Tried:
    """Embeds and judges all cases. LocalError when the embedder fails."""
    cases = [replace(one, kept=one.a.is_kept(setting.settings)) for one in cases]
    compared = [one for one in cases if one.kept and one.is_one_scope and not one.is_repeat]
    texts = [half for one in compared for half in (one.a, one.b)]
    vectors = await embedded(setting.embedder, texts, bars)
    return judged(cases, setting.policy, setting.least, vectors, bars)


def judged(
    cases: Sequence[Case], policy: Policy, least: float, vectors: Mapping[str, Vector], bars: Bars = silent
) -> Tried:
    """Judges all cases with these vectors, keyed by text. A text without one is not compared."""
    decisions: list[Decision] = []
    timed_policy = _TimedPolicy(policy)
    with bars("judging", len(cases)) as bar:
        for case in cases:
            decisions.append(_decide(case, timed_policy, least, vectors))
            bar.advance()
    exact = sum(one.is_repeat for one in cases)
    one_scope = sum(one.is_one_scope for one in cases)
    return Tried(cases, decisions, timed_policy.cpu_ms, exact, one_scope)


def _decide(case: Case, policy: _TimedPolicy, least: float, vectors: Mapping[str, Vector]) -> Decision:
    if not case.kept:
        return Decision(case.label, answered=False, kind=case.kind, reasons=("not stored",))
    if case.is_repeat:
        return Decision(case.label, answered=True, score=math.inf, kind=case.kind, reasons=("the same question",))
    a, b = (vectors.get(half.prompt.text) for half in (case.a, case.b))
    if not case.is_one_scope or a is None or b is None:
        return Decision(case.label, answered=False, kind=case.kind, reasons=("not compared",))
    similarity = float(a @ b)
    # Also below the floor, where the gateway does not ask: the trade-off curve needs every score.
    verdict = policy.judge(case.b.prompt.text, StoredQuestion(case.a.prompt.text, similarity))
    answered = verdict.decision == "hit" and similarity >= least
    return Decision(case.label, answered, verdict.score, similarity, case.kind, verdict.reasons)


class _TimedPolicy:
    """Counts the CPU of a policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._nanoseconds = self._times = 0

    @property
    def cpu_ms(self) -> float | None:
        return round(self._nanoseconds / self._times / 1e6, 4) if self._times else None

    def judge(self, text: str, candidate: StoredQuestion) -> Verdict:
        begun = time.process_time_ns()
        verdict = self._policy.judge(text, candidate)
        self._nanoseconds += time.process_time_ns() - begun
        self._times += 1
        return verdict
