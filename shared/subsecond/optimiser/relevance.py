"""Ranks passages by what they have in common with a query: BM25 in plain Python. `fit` and `select` call it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import log

# Robertson and Zaragoza's usual values: how fast a term's repetition saturates, how much length counts.
SATURATION, LENGTH = 1.2, 0.75
# A question has fewer; a whole page as the query is cut here, in the order of the alphabet.
MOST_TERMS = 64

_WORDS = re.compile(r"\w+")
_WORD_END = re.compile(r"\w")
# Scripts without spaces between words: there, pairs of characters are the terms.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
# Too frequent to tell passages apart; a query of nothing else ranks by position.
_STOP = frozenset(
    _WORDS.findall(
        "a an and are as at be but by can could did do does for from had has have how i if in into is it its me my no "
        "not of on or our should so than that the their them then there these they this to was we were what when where "
        "which who why will with would you your der die das und ist ein eine von zu le la les et est un une de des el"
    )
)


def terms(text: str) -> list[str]:
    low = text.lower()
    found = _WORDS.findall(low)
    if low.isascii():
        return found
    return [term for word in found for term in _split(word)]


def _split(word: str) -> list[str]:
    if not _UNSPACED.search(word):
        return [word]
    return [word[at : at + 2] for at in range(max(1, len(word) - 1))]


def bm25(query: str, passages: Sequence[str]) -> list[float]:
    """A score for each passage, 0 for one that shares no term with the query. Lengths are characters."""
    lows = [passage.lower() for passage in passages]
    mean = sum(map(len, lows)) / max(1, len(lows)) or 1.0
    scores = [0.0] * len(lows)
    # In a fixed order: sums of floats depend on theirs. Few terms, so the passages are searched and not taken apart.
    for term in sorted(set(terms(query)) - _STOP)[:MOST_TERMS]:
        found = [(at, _times(term, low)) for at, low in enumerate(lows) if term in low]
        holding = [(at, times) for at, times in found if times]
        rarity = log(1 + (len(lows) - len(holding) + 0.5) / (len(holding) + 0.5))
        for at, times in holding:
            damp = SATURATION * (1 - LENGTH + LENGTH * len(lows[at]) / mean)
            scores[at] += rarity * times * (SATURATION + 1) / (times + damp)
    return scores


def _times(term: str, low: str) -> int:
    """How often the term stands there as a word. A pattern with boundaries takes ten times as long to search."""
    if _UNSPACED.match(term):
        return low.count(term)
    times = 0
    at = low.find(term)
    while at >= 0:
        end = at + len(term)
        times += not (_WORD_END.match(low, end) or (at and _WORD_END.match(low, at - 1)))
        at = low.find(term, end)
    return times


def ranked(query: str, passages: Sequence[str]) -> list[int]:
    """The indexes of the passages, the most relevant first; of equals, the earlier first."""
    scores = bm25(query, passages)
    return sorted(range(len(scores)), key=lambda at: (-scores[at], at))
