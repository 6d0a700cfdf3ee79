"""Scores how surely two texts that no guard tells apart are the same question: logistic regression on `features`."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from subsecond.semantic.guards.features import NAMES
from subsecond.semantic.guards.lists import DATA

FILE = "weights.json"
# An embedder without weights of its own has this one's, and this floor: scales differ, so it only has to agree.
WEIGHED, UNKNOWN_FLOOR = "static", 0.3


@dataclass(frozen=True, slots=True)
class ScoreModel:
    """weights: one for each of features.NAMES. cut: the score from which a candidate answers; maybe: from which it is
    `unsure`. floor: the similarity below which hardly a pair was a hit. own: the similarity in the score is the static
    table's, because there are no weights for the embedder's."""

    weights: tuple[float, ...]
    bias: float
    cut: float
    maybe: float
    floor: float
    own: bool

    def score(self, values: Sequence[float]) -> float:
        total = self.bias + sum(weight * value for weight, value in zip(self.weights, values, strict=True))
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))


@lru_cache(8)
def score_model(embedder: str, caution: str) -> ScoreModel:
    """The weights for the embedder of this name (the setting's). KeyError: there is no such caution."""
    known = json.loads((DATA / FILE).read_text("utf-8"))["embedders"]
    of = known.get(embedder, known[WEIGHED])
    mine = of["cautions"][caution]
    return ScoreModel(
        weights=tuple(mine["weights"][name] for name in NAMES),
        bias=mine["bias"],
        cut=mine["cut"],
        maybe=mine["maybe"],
        floor=of["floor"] if embedder in known else UNKNOWN_FLOOR,
        own=embedder not in known,
    )
