"""Computes the score's features: a few dozen numbers between 0 and 1, most of them independent of the vectors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from subsecond.semantic.guards import lexicon, order
from subsecond.semantic.guards.matching import Matching
from subsecond.semantic.guards.reading import Reading, Word
from subsecond.semantic.guards.tables import tables

NAMES = (
    "similarity",
    "similarity over .7",
    "similarity over .85",
    "cover, lesser side",
    "cover, larger side",
    "words in common",
    "left on one side",
    "left on both sides",
    "nothing left",
    "rarest left",
    "rarest left on both sides",
    "alignment, worst",
    "alignment, mean",
    "likeness of what is left",
    "other words for one thing",
    "forms of one word",
    "slips",
    "function words in common",
    "same kind of question",
    "kinds of question differ",
    "how against can",
    "one has no kind",
    "first person differs",
    "second person differs",
    "object differs",
    "scope words differ",
    "weak numbers differ",
    "moved",
    "length ratio",
    "neighbours in common",
    "same last word",
    "few words",
    "many words",
    "alike but for one",
    "modals differ",
    "a thing of a kind left",
    "more than vague words left",
    "vague words left",
    "likeness of contents",
    "similarity and cover",
    "similarity and alignment",
    "cover and alignment",
    "similarity and length",
    "similarity and kind",
)
# Words with a content of a text that counts as one of few.
FEW_WORDS = 2
_HOW = frozenset(("<how>", "<can>", "<want>", "<offer>", "<is>", ""))
_MODALS = frozenset(
    (
        "should", "must", "will", "would", "can", "could", "may", "might", "did", "do", "does", "be", "is", "are",
        "was", "were", "has", "had",
    )
)  # fmt: skip
PLAIN_WEIGHT = 0.35
_COVER, _WORST, _MANY, _KIND = map(
    NAMES.index, ("cover, lesser side", "alignment, worst", "many words", "same kind of question")
)


def features(a: Reading, b: Reading, matching: Matching, similarity: float) -> list[float]:
    """One for each of NAMES. Both texts have words."""
    cosines, likeness = lexicon.compare(tuple(word.text for word in a.words), tuple(word.text for word in b.words))
    found = [max(0.0, similarity), max(0.0, similarity - 0.7) / 0.3, max(0.0, similarity - 0.85) / 0.15]
    found += _words(a, b, matching)
    found[_WORST:_WORST] = _alignment(matching, cosines)
    found += [*_frame(a, b), *_places(a, b, matching), *_left(matching), likeness]
    return found + _together(found)


def _together(found: Sequence[float]) -> list[float]:
    """Products: words in common mean more where the vectors agree."""
    similarity, over = found[:2]
    cover, worst = found[_COVER], found[_WORST]
    return [
        similarity * cover,
        similarity * worst,
        cover * worst,
        similarity * found[_MANY],
        over * found[_KIND],
    ]


def _weight(words: Sequence[Word]) -> float:
    return sum(PLAIN_WEIGHT + lexicon.rarity(word.text) for word in words)


def _words(a: Reading, b: Reading, matching: Matching) -> list[float]:
    left, right = matching.left, matching.right
    cover = sorted(1 - _weight(rest) / (_weight(words) or 1.0) for rest, words in ((left, a.words), (right, b.words)))
    common, rest = len(matching.pairs), (len(left), len(right))
    rare = sorted(max((lexicon.rarity(word.text) for word in side), default=0.0) for side in (left, right))
    return [
        *cover,
        common / ((common + sum(rest)) or 1),
        min(max(rest), 6) / 6,
        min(*rest, 4) / 4,
        float(not any(rest)),
        rare[1],
        rare[0],
        min(matching.same, 3) / 3,
        min(matching.forms, 3) / 3,
        min(matching.typos, 3) / 3,
    ]


def _alignment(matching: Matching, cosines: lexicon.Floats) -> list[float]:
    """How well the words that are left find a like one on the other side, matched or not: worst, mean; and how alike
    the left ones of both sides are (a substitute: another word for it, or another thing)."""
    left, right = list(matching.left_positions), list(matching.right_positions)
    best = [*cosines[left].max(axis=1).tolist(), *cosines[:, right].max(axis=0).tolist()]
    if not best:
        return [1.0, 1.0, 0.0]
    like = float(cosines[np.ix_(left, right)].max()) if left and right else 0.0
    return [min(1.0, *best), sum(best) / len(best), like]


def _frame(a: Reading, b: Reading) -> list[float]:
    cues, differ = tables().cues, a.function ^ b.function
    union = a.function | b.function
    both = a.kind != b.kind and bool(a.kind) and bool(b.kind)
    soft = a.kind in _HOW and b.kind in _HOW
    return [
        len(a.function & b.function) / (len(union) or 1),
        float(a.kind == b.kind),
        float(both and not soft),
        float(both and soft),
        float((not a.kind) != (not b.kind)),
        float(bool(a.function & cues["first"]) != bool(b.function & cues["first"])),
        float(bool(a.function & cues["second"]) != bool(b.function & cues["second"])),
        float(bool(differ & cues["object"])),
        min(len(differ & cues["scope"]), 3) / 3,
        float(a.weak != b.weak),
    ]


def _places(a: Reading, b: Reading, matching: Matching) -> list[float]:
    lengths = sorted((len(a.words), len(b.words)))
    pairs = matching.pairs
    near = sum(i + 1 == k and j + 1 == m for (i, j), (k, m) in pairwise(pairs))
    return [
        min(order.blocks([j for _, j in pairs]) - 1, 3) / 3 if pairs else 0.0,
        (lengths[0] + 1) / (lengths[1] + 1),
        near / max(1, lengths[1] - 1),
        float(bool(pairs) and (len(a.words) - 1, len(b.words) - 1) in pairs[-2:]),
        float(lengths[1] <= FEW_WORDS),
        min(lengths[1], 20) / 20,
        float(len(matching.left) + len(matching.right) == 1),
        min(len((a.function ^ b.function) & _MODALS), 3) / 3,
    ]


def _left(matching: Matching) -> list[float]:
    left, vague = (*matching.left, *matching.right), tables().cues["vague"]
    light = sum(word.text in vague for word in left)
    return [
        float(any(word.key in tables().kinds for word in left)),
        min(len(left) - light, 6) / 6,
        min(light, 4) / 4,
    ]
