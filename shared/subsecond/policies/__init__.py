"""When may a neighbour answer? One file for each policy, pure, with `build(settings)`.

A policy sees the request's text, the candidate's text and their similarity, and gives a verdict with its reasons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Verdict:
    """`unsure` is served as a miss; a later stage may ask a model."""

    says: Literal["hit", "miss", "unsure"]
    reasons: tuple[str, ...]


class Policy(Protocol):
    def judge(self, asked: str, stored: str, similarity: float) -> Verdict:
        """`similarity`: the cosine of the two texts' vectors, -1 to 1."""
