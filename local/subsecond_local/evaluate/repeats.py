"""Repeated traffic: each question in three wordings, some questions far oftener than others, answers that end.

What would a table of aliases add? An alias names another question's entry as the answer to a wording that the policy
was unsure of, after a judge has said yes twice. Here the labels say it, at once and without an error, which flatters.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import Any

import numpy as np

from subsecond_local.errors import LocalError
from subsecond_local.evaluate.figures import ratio, rounded
from subsecond_local.evaluate.neighbour_graph import NeighbourGraph
from subsecond_local.evaluate.progress import Bars, silent
from subsecond_local.evaluate.rows import Question

WORDINGS = 3


@dataclass(frozen=True, slots=True)
class Repeats:
    """How many requests, for how many of them an answer lives, and the seed."""

    count: int
    life: int
    seed: int


def drawn(questions: Sequence[Question], repeats: Repeats) -> list[Question]:
    """Requests. Three rows of an intent are one question in three wordings; the n-th question is asked 1 / n as often
    as the first (Zipf), in any of its wordings. LocalError where no intent has three rows."""
    random = Random(repeats.seed)
    rows = list({one.text: one for one in questions}.values())
    random.shuffle(rows)
    by_intent = defaultdict(list)
    for one in rows:
        by_intent[one.intent].append(one)
    asked = [
        group[at : at + WORDINGS]
        for group in by_intent.values()
        for at in range(0, len(group) - WORDINGS + 1, WORDINGS)
    ]
    if not asked:
        raise LocalError(f"No intent has {WORDINGS} rows, which would be one question in {WORDINGS} wordings.")
    random.shuffle(asked)
    weights = list(accumulate(1 / rank for rank in range(1, len(asked) + 1)))
    return [random.choice(group) for group in random.choices(asked, cum_weights=weights, k=repeats.count)]


@dataclass(slots=True)
class Repeated:
    """Of the requests, `alias_hits` are those that an alias would have answered which dies with its entry;
    `lasting_alias_hits`: the same where what was judged holds for the entries that come after it as well."""

    n: int
    counts: Counter[str] = field(default_factory=Counter)

    def report(self) -> dict[str, Any]:
        names = ("exact", "semantic", "wrong", "unsure", "alias_hits", "lasting_alias_hits")
        return {"n": self.n, **{name: rounded(ratio(self.counts[name], self.n)) for name in names}}


def played(
    requests: Sequence[Question], graph: NeighbourGraph, cut: float, repeats: Repeats, bars: Bars = silent
) -> Repeated:
    """One pass with plain verdicts: served from `cut` on."""
    player = _Player(graph, cut, repeats.life, len(requests))
    with bars("asking", len(requests)) as bar:
        for row, one in enumerate(requests):
            player.ask(row, one)
            bar.advance()
    return player.found


class _Player:
    def __init__(self, graph: NeighbourGraph, cut: float, life: int, rows: int) -> None:
        self._graph, self._cut, self._life = graph, cut, life
        self.found = Repeated(rows)
        self._ends = np.full(len(graph.texts), -1)
        self._intents: dict[int, str] = {}
        # Wordings that were found right for another's, and the end of the entry that it was found for.
        self._aliases: dict[tuple[int, int], int] = {}

    def ask(self, row: int, one: Question) -> None:
        number, counts = self._graph.number[one.text], self.found.counts
        if self._ends[number] > row:
            counts["exact"] += 1
            return
        present = self._ends > row
        unsure = []
        for stored, similarity in self._graph.nearest(number, present):
            verdict = self._graph.verdict(number, stored, similarity)
            if verdict.decision == "hit" and verdict.score >= self._cut:
                counts["semantic"] += 1
                counts["wrong"] += self._intents[stored] != one.intent
                return
            if verdict.decision != "miss":
                unsure.append(stored)
        self._note(number, unsure, one)
        self._ends[number], self._intents[number] = row + self._life, one.intent

    def _note(self, asked: int, unsure: Sequence[int], one: Question) -> None:
        counts = self.found.counts
        counts["unsure"] += bool(unsure)
        known = [stored for stored in unsure if (asked, stored) in self._aliases]
        counts["lasting_alias_hits"] += bool(known)
        counts["alias_hits"] += any(self._aliases[asked, stored] == self._ends[stored] for stored in known)
        for stored in unsure:
            if self._intents[stored] == one.intent:
                self._aliases[asked, stored] = int(self._ends[stored])
