"""Tells English from other languages. The guards' word lists are English, so `guarded` is stricter with other texts."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from subsecond.semantic.guards import lexicon
from subsecond.semantic.guards.tables import tables

LONGEST = 1_000
# The share of Latin letters below which a text is in another script: a foreign name in an English question is less.
LATIN = 0.8
# Words below which a text is too short to tell by words that no English text has.
FEW, LONGER = 2, 4
_WORD = re.compile(r"[^\W\d_]+")


def english(text: str) -> bool:
    """Whether the text is English or too short to tell: by its script, and by which language has more of its words."""
    return _english(text[:LONGEST])


@lru_cache(1_024)
def _english(text: str) -> bool:
    words = _WORD.findall(text.casefold())
    if not text.isascii() and not all(map(str.isascii, words)) and _latin("".join(words)) < LATIN:
        return False
    found = set(words)
    ours = len(found & _own())
    foreign = found & _foreign()
    theirs = max(len(foreign & common) for name, common in tables().languages.items() if name not in _NOT_FOREIGN)
    return theirs < ours or (theirs == ours and not _strange(words))


def of_five(text: str) -> str:
    """The language of a text in one of the five whose ways to ask are known; empty where none is the likeliest."""
    found = set(_WORD.findall(text.casefold()))
    languages = tables().languages
    count = {name: len(found & words) for name, words in languages.items() if name not in _NOT_FOREIGN}
    likeliest = max(count, key=lambda name: (count[name], name in FIVE))
    return likeliest if likeliest in FIVE and count[likeliest] else ""


FIVE = ("de", "fr", "es", "pt", "it")


def _strange(words: list[str]) -> bool:
    """Whether half of the longer words are in no English text, or one that is in none has a letter that is not ours."""
    longer = [word for word in words if len(word) >= LONGER]
    if len(words) < FEW or not longer:
        return False
    unknown = [word for word in longer if not lexicon.known(word)]
    return (len(unknown) > 1 and 2 * len(unknown) >= len(longer)) or not all(map(str.isascii, unknown))


_NOT_FOREIGN = ("en", "polite")


@lru_cache(1)
def _foreign() -> frozenset[str]:
    """The common words of all the other languages: most English texts have none of them."""
    languages = tables().languages
    return frozenset().union(*(words for name, words in languages.items() if name not in _NOT_FOREIGN)) - _shared()


@lru_cache(1)
def _shared() -> frozenset[str]:
    """English words that are common in another language too, and tell nothing."""
    return tables().cues["function"] | tables().cues["shared"]


@lru_cache(1)
def _own() -> frozenset[str]:
    """The common words of English that are common in no other language."""
    return (tables().languages["en"] | tables().cues["function"]) - tables().cues["shared"]


def _latin(letters: str) -> float:
    return sum(unicodedata.name(letter, "").startswith("LATIN") for letter in letters) / len(letters)
