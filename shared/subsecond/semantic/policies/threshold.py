"""The baseline: every neighbour above a threshold answers. It cannot tell "not", another number or another name from a
paraphrase."""

from __future__ import annotations

from dataclasses import dataclass

from subsecond.config import Settings
from subsecond.ports import StoredQuestion, Verdict


@dataclass(frozen=True, slots=True)
class Threshold:
    floor: float

    @property
    def cut(self) -> float:
        return self.floor

    def judge(self, asked: str, candidate: StoredQuestion) -> Verdict:  # noqa: ARG002 -- the port's signature
        near = candidate.similarity >= self.floor
        reason = f"similarity {candidate.similarity:.3f} {'reaches' if near else 'is below'} {self.floor:.3f}"
        return Verdict("hit" if near else "miss", (reason,), candidate.similarity)


def build(settings: Settings) -> Threshold:
    return Threshold(settings.similarity)
