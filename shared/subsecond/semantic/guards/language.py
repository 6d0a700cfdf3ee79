"""Tells English from other languages. The guards' word lists are English, so `guarded` is stricter with other texts."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from subsecond.semantic.guards.tables import tables

LONGEST = 1_000
# The share of Latin letters below which a text is in another script: a foreign name in an English question is less.
LATIN = 0.8
_WORD = re.compile(r"[^\W\d_]+")


def english(text: str) -> bool:
    """Whether the text is English or too short to tell: by its script, and by which language has more of its words."""
    return _english(text[:LONGEST])


@lru_cache(1_024)
def _english(text: str) -> bool:
    words = _WORD.findall(text.casefold())
    if not all(map(str.isascii, words)) and _latin("".join(words)) < LATIN:
        return False
    found = set(words)
    foreign = found & _foreign()
    if not foreign:
        return True
    languages = tables().languages
    ours = len(found & languages["en"])
    theirs = max(len(foreign & common) for name, common in languages.items() if name not in _NOT_FOREIGN)
    return theirs <= ours if theirs > 1 or not ours else True


_NOT_FOREIGN = ("en", "polite")


@lru_cache(1)
def _foreign() -> frozenset[str]:
    """The common words of all the other languages: most English texts have none of them."""
    return frozenset().union(*(words for name, words in tables().languages.items() if name not in _NOT_FOREIGN))


def _latin(letters: str) -> float:
    return sum(unicodedata.name(letter, "").startswith("LATIN") for letter in letters) / len(letters)


def without_politeness(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words without those that are only polite, in any of the known languages."""
    polite = tables().languages["polite"]
    return words if polite.isdisjoint(words) else tuple(word for word in words if word not in polite)
