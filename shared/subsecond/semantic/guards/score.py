"""How surely two texts that no guard tells apart are the same question: a logistic model of a few dozen weights."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from subsecond.semantic.guards.features import NAMES
from subsecond.semantic.guards.lists import DATA

FILE = "weights.json"
# Whose weights an embedder without its own has, and its least similarity: scales differ, and it only has to agree.
WEIGHED, UNKNOWN_FLOOR = "static", 0.3


@dataclass(frozen=True, slots=True)
class Model:
    """weights: one for each of features.NAMES. cut: the score from which a candidate answers; maybe: from which it is
    worth asking a model. floor: the similarity below which hardly a pair was a hit. own: the similarity is reckoned
    with the static table, because nobody has weighed the embedder's."""

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
def model(embedder: str, caution: str) -> Model:
    """Weighed for the embedder of this name (the setting's). Another one's similarity only has to reach its floor.
    KeyError: there is no such caution."""
    known = json.loads((DATA / FILE).read_text("utf-8"))["embedders"]
    of = known.get(embedder, known[WEIGHED])
    mine = of["cautions"][caution]
    return Model(
        weights=tuple(mine["weights"][name] for name in NAMES),
        bias=mine["bias"],
        cut=mine["cut"],
        maybe=mine["maybe"],
        floor=of["floor"] if embedder in known else UNKNOWN_FLOOR,
        own=embedder not in known,
    )
