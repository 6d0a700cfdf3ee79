"""When may a neighbour answer? One file for each policy, pure, with `build(settings)`.

A policy sees the request's text and one candidate, and gives a verdict with its reasons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stored question. `similarity`: the cosine of its vector with the request's, -1 to 1. `age`: seconds."""

    text: str
    similarity: float
    age: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`unsure` is served as a miss; a later stage may ask a model. `score`: how surely the candidate may answer, on the
    policy's own scale, higher is surer; so that a stricter cut can be tried on the same verdicts."""

    says: Literal["hit", "miss", "unsure"]
    reasons: tuple[str, ...]
    score: float


class Policy(Protocol):
    # The similarity below which no text could make a hit: such a candidate is not even fetched.
    floor: float

    def judge(self, asked: str, candidate: Candidate) -> Verdict:
        """Pure: no clock, no I/O."""
