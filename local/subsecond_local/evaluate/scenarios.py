"""What may happen to a stream half-way: other questions, other wordings, a policy that has become careless."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from subsecond.ports import Policy, StoredQuestion, Verdict
from subsecond_local.evaluate.rows import Question

Drift = Literal["", "intents", "wording"]
DRIFTS: tuple[Drift, ...] = ("intents", "wording")
# What the second half says around each question: it makes all of them more alike.
AROUND = "Hi there, I have a question for you. {} Thank you for your help."
# The score of what a careless policy answers: as sure as can be, so that no higher cut helps.
SURE = 0.9999


@dataclass(frozen=True, slots=True)
class Scenario:
    """drift: what changes half-way: the `intents` asked for, or the `wording`. careless: from then on the policy
    answers with whatever is nearest. trial: whether a cut is on trial before it serves."""

    drift: Drift = ""
    careless: bool = False
    trial: bool = True

    def named(self) -> dict[str, Any]:
        """As a report shows it beside its figures."""
        return {"drift": self.drift or None, "worse": self.careless, "trial": self.trial}

    def order(self, questions: Sequence[Question], random: Random) -> list[Question]:
        """The questions as they are asked, in an order of their own."""
        rows = list(questions)
        random.shuffle(rows)
        return self.changed(rows, random)

    def changed(self, rows: Sequence[Question], random: Random) -> list[Question]:
        """The same in their order, with the drift in it."""
        if self.drift == "intents":
            return _by_intents(rows, random)
        half = len(rows) // 2
        return [*rows[:half], *map(reworded, rows[half:])] if self.drift == "wording" else list(rows)

    def all_of(self, questions: Sequence[Question]) -> list[Question]:
        """Every question that any order asks."""
        return [*questions, *(map(reworded, questions) if self.drift == "wording" else ())]


STEADY = Scenario()


def reworded(one: Question) -> Question:
    return Question(AROUND.format(one.text), one.intent)


def _by_intents(rows: Sequence[Question], random: Random) -> list[Question]:
    """Those of one half of the intents, then those of the other half."""
    intents = sorted({one.intent for one in rows})
    random.shuffle(intents)
    early = set(intents[: len(intents) // 2])
    return sorted(rows, key=lambda one: one.intent not in early)


class Careless:
    """A policy made worse on purpose: whatever is near enough to be looked at is a hit."""

    floor, cut = 0.0, 0.0

    def judge(self, asked: str, candidate: StoredQuestion) -> Verdict:
        del asked, candidate
        return Verdict("hit", ("careless",), SURE)


class ReplaceablePolicy:
    """A policy that another may take the place of while it is used."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.floor, self.cut = policy.floor, policy.cut

    def judge(self, asked: str, candidate: StoredQuestion) -> Verdict:
        return self.policy.judge(asked, candidate)
