"""What stands between the policy and a served hit where the owner has set a bound (`SUBSECOND_SEMANTIC=verified`).

The semantic stage asks it for each candidate that the policy would let answer; what checks teach comes in by `learn`.
Nothing here widens: it takes hits away from the policy and never adds one.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from subsecond.semantic.verification.accuracy import Accuracy, Check, checked, seeded
from subsecond.semantic.verification.exclusions import Exclusions

if TYPE_CHECKING:
    from subsecond.semantic.index.vectors import Vector


class Verified:
    """One for each partition. bound: the share of semantic hits that may be wrong. cut: the policy's own. dim: of the
    embedder's vectors."""

    def __init__(self, bound: float, cut: float, dim: int) -> None:
        self.accuracy = Accuracy.begin(bound, cut)
        self._exclusions = Exclusions(dim)

    def refusal(self, asked: Vector, stored: Vector, score: float) -> str:
        """Why the hit is not served; empty where it is."""
        if not self.accuracy.served:
            return "the bound of wrong hits could not be kept: exact hits only"
        if score < self.accuracy.cut:
            return f"score {score:.3f} is below {self.accuracy.cut:.3f}, the verified cut"
        return "near a hit that was found wrong" if self._exclusions.cover(asked, stored) else ""

    def learn(self, check: Check, asked: Vector, stored: Vector) -> None:
        """A check of one hit."""
        if check.wrong:
            self._exclusions.add(asked, stored)
        self.accuracy = checked(self.accuracy, check)

    def learn_of_judge(self, *, truly_wrong: bool, said_wrong: bool) -> None:
        """The judge's verdict on a seeded pair."""
        self.accuracy = seeded(self.accuracy, truly_wrong=truly_wrong, said_wrong=said_wrong)


# Partitions of which an environment remembers what was learned; the one unused for longest goes first.
MOST = 256


class Bounds:
    """What each partition has learned. bound, cut, dim: as of `Verified`."""

    def __init__(self, bound: float, cut: float, dim: int) -> None:
        self._made = bound, cut, dim
        self._known: OrderedDict[str, Verified] = OrderedDict()

    def of(self, partition: str) -> Verified:
        known = self._known.get(partition)
        if known is None:
            known = self._known[partition] = Verified(*self._made)
        self._known.move_to_end(partition)
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return known
