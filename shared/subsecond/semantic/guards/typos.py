"""Finds typos: a word that the vocabulary does not have, close to one in the other text."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from subsecond.semantic.guards import lexicon

if TYPE_CHECKING:
    from subsecond.semantic.guards.reading import Word

SHORTEST, LONG, LONGEST = 4, 8, 24
# Letters that a typo may add, drop or change.
MOST_EDITS = 2
# Letters from which two unknown words a letter apart are one word; shorter ones may be two names.
UNKNOWN = 7
# Endings and beginnings that change the meaning, and are no typos.
_MEANT = ("er", "or", "ee", "ful", "less", "ed", "ing", "able", "ible")
_BEFORE = (
    "un",
    "in",
    "im",
    "ir",
    "il",
    "dis",
    "non",
    "de",
    "re",
    "over",
    "under",
    "pre",
    "post",
    "anti",
    "mis",
    "hyper",
    "hypo",
)


def is_typo(one: Word, other: Word) -> bool:
    """Whether one of them is the other one misspelled. Two words of the vocabulary are two words ("form", "from"), and
    so are two unknown ones of which a name may be meant, unless they are long."""
    # Most pairs of words that are compared differ in length by more than that.
    if abs(len(one.text) - len(other.text)) > MOST_EDITS:
        return False
    return _is_typo(one.text, other.text) if one.text < other.text else _is_typo(other.text, one.text)


@lru_cache(8_192)
def _is_typo(one: str, other: str) -> bool:
    shorter, longer = sorted((len(one), len(other)))
    if shorter < SHORTEST or longer > LONGEST or not (one + other).isalpha():
        return False
    known = lexicon.known(one), lexicon.known(other)
    if all(known) or _meant(one, other):
        return False
    allowed = MOST_EDITS if longer >= LONG and any(known) else 1
    if not any(known) and shorter < UNKNOWN:
        return False
    return distance(one, other, allowed) <= allowed


def _meant(one: str, other: str) -> bool:
    for shorter, longer in ((one, other), (other, one)):
        if longer.endswith(shorter) and longer.removesuffix(shorter) in _BEFORE:
            return True
    ends = [next((end for end in _MEANT if word.endswith(end)), "") for word in (one, other)]
    return ends[0] != ends[1]


def distance(one: str, other: str, most: int) -> int:
    """Edits between two words: letters to add, drop, change or swap with the next; `most + 1` for more than `most`. For
    short words only: the work is the product of their lengths."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, x in enumerate(one, 1):
        before, last, row = row, before, [i]
        for j, y in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == other[j - 2] and one[i - 2] == y:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return row[-1]
