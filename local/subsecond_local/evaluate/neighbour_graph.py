"""Questions that are asked again and again in other orders: vectors, neighbours and verdicts are worked out once.

For many passes over the same questions: one through the gateway's own stage and index (`cache.py`) takes seconds, one
over what is known a tenth of that. Both must serve the same, which `test_verified_orders.py` compares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from subsecond.ports import Policy, StoredQuestion, Verdict
from subsecond.semantic.index.vectors import SCALE, quantise
from subsecond.stages.semantic import CANDIDATES
from subsecond_local.evaluate import setting as told
from subsecond_local.evaluate.progress import Bars, silent
from subsecond_local.evaluate.rows import Question
from subsecond_local.evaluate.setting import Setting
from subsecond_local.evaluate.stream import Answered

if TYPE_CHECKING:
    from subsecond.semantic.index.vectors import Vector
    from subsecond.semantic.verification.verified import Verified

# Questions compared at once with all.
BLOCK = 256


class NeighbourGraph:
    """The texts of all orders by number. keys: equal where one is an exact repeat of the other. vectors: float32, a
    row for each text, zeros for one that is not compared; stored: the same as an index gives them back."""

    def __init__(
        self, questions: Sequence[Question], setting: Setting, vectors: Mapping[str, Vector], bars: Bars = silent
    ) -> None:
        self.policy = setting.policy
        texts = list(dict.fromkeys(one.text for one in questions))
        asked = [told.question(text) for text in texts]
        self.number = {text: number for number, text in enumerate(texts)}
        self.keys = [one.prompt.key for one in asked]
        self.texts = [one.prompt.text for one in asked]
        self.kept = [one.is_kept(setting.settings) for one in asked]
        nothing = np.zeros(setting.embedder.dim, np.float32)
        self.vectors = np.stack([vectors.get(text, nothing) for text in self.texts]).astype(np.float32)
        self.stored = quantise(self.vectors).astype(np.float32) / np.float32(SCALE)
        self._near = self._neighbours(setting.least, bars)
        self._verdicts: dict[tuple[int, int], Verdict] = {}

    def compared(self, number: int) -> bool:
        return bool(self.vectors[number].any())

    def nearest(self, number: int, present: NDArray[np.bool_]) -> list[tuple[int, float]]:
        """The nearest texts of those present, as many as the stage looks at, with their similarities."""
        numbers, similarities = self._near[number]
        places = np.flatnonzero(present[numbers])[:CANDIDATES]
        return [(int(numbers[place]), float(similarities[place])) for place in places]

    def verdict(self, asked: int, stored: int, similarity: float) -> Verdict:
        """The policy's, which is asked once for a pair."""
        if (asked, stored) not in self._verdicts:
            self._verdicts[asked, stored] = self.policy.judge(
                self.texts[asked], StoredQuestion(self.texts[stored], similarity)
            )
        return self._verdicts[asked, stored]

    def _neighbours(self, least: float, bars: Bars) -> list[tuple[NDArray[np.intp], Vector]]:
        """For each text the numbers of those from `least` on, nearest first, and their similarities."""
        found: list[tuple[NDArray[np.intp], Vector]] = []
        with bars("comparing", len(self.texts)) as bar:
            for start in range(0, len(self.texts), BLOCK):
                for similarities in self.vectors[start : start + BLOCK] @ self.stored.T:
                    numbers = np.flatnonzero(similarities >= max(least, np.finfo(np.float32).tiny))
                    numbers = numbers[np.argsort(-similarities[numbers], kind="stable")]
                    found.append((numbers, similarities[numbers]))
                    bar.advance()
        return found


class KnownAnswers:
    """One pass's cache over such a graph: what was stored, and what that answers. learned: its view of each hit."""

    def __init__(self, graph: NeighbourGraph, learned: Verified) -> None:
        self._graph = graph
        self._learned = learned
        self._present = np.zeros(len(graph.texts), np.bool_)
        self._by_key: dict[str, Question] = {}
        self._by_number: dict[int, Question] = {}
        self._policy: Policy | None = None

    def takes_over(self, policy: Policy) -> None:
        """From now on another policy decides."""
        self._policy = policy

    def vector(self, text: str) -> Vector:
        row: Vector = self._graph.vectors[self._graph.number[text]]
        return row

    async def ask(self, row: int, one: Question) -> Answered | None:
        """The answer from what was stored, or what would be one but for the bound. What is not answered is stored."""
        number = self._graph.number[one.text]
        key = self._graph.keys[number]
        if key in self._by_key:
            return Answered(row, one, self._by_key[key], None, None)
        found = self._similar(row, one, number)
        if (found is None or not found.served) and self._graph.kept[number]:
            self._by_key[key] = self._by_number[number] = one
            self._present[number] = self._graph.compared(number)
        return found

    def _similar(self, row: int, one: Question, asked: int) -> Answered | None:
        graph, in_shadow = self._graph, None
        if not graph.compared(asked):
            return None
        self._learned.watch.requests += 1
        for stored, similarity in graph.nearest(asked, self._present):
            verdict = self._verdict(asked, stored, similarity)
            if verdict.decision != "hit":
                continue
            why, shadow = self._learned.withheld(graph.vectors[asked], graph.stored[stored], verdict.score)
            found = Answered(row, one, self._by_number[stored], similarity, round(verdict.score, 4), served=not why)
            if found.served:
                return found
            if shadow and in_shadow is None:
                in_shadow = found
        return in_shadow

    def _verdict(self, asked: int, stored: int, similarity: float) -> Verdict:
        if self._policy is None:
            return self._graph.verdict(asked, stored, similarity)
        return self._policy.judge(self._graph.texts[asked], StoredQuestion(self._graph.texts[stored], similarity))
