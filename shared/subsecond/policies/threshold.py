"""The baseline: near enough answers. It cannot tell "not", another number or another name from a paraphrase."""

from __future__ import annotations

from dataclasses import dataclass

from subsecond.config import Settings
from subsecond.policies import Verdict


@dataclass(frozen=True, slots=True)
class Threshold:
    least: float

    def judge(self, asked: str, stored: str, similarity: float) -> Verdict:  # noqa: ARG002 -- the port's signature
        near = similarity >= self.least
        reason = f"similarity {similarity:.3f} {'reaches' if near else 'is below'} {self.least:.3f}"
        return Verdict("hit" if near else "miss", (reason,))


def build(settings: Settings) -> Threshold:
    return Threshold(settings.similarity)
