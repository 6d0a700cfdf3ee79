"""Tells whether two English texts have the same words: equal but for what means nothing, which is less in code and in a
long text."""

from __future__ import annotations

import re
from functools import lru_cache

from subsecond.cache.normal_form import normal
from subsecond.semantic.guards import casing, numbers
from subsecond.semantic.guards.reading import Reading, read
from subsecond.semantic.guards.tables import tables

# Code: a fence, a tab, a line that begins with blanks, or signs of code in more than one line.
_CODE = re.compile(r"```|\t(?=\S)|\n[ \t]+\S|\A[ \t]+\S[^\n]*\n\s*\S")
_SIGNS_OF_CODE = re.compile(r"[=;{}\\<>|\[\]]")
_BLANKS = re.compile(r"[^\S\n]+")
# A line of prose begins with a capital and has a second word.
_PROSE = re.compile(r"[A-Z][a-z]+ \S")
_EMPTY_LINES = re.compile(r"\A(?:[ \t]*\n)+")


def same_words(a: Reading, b: Reading) -> bool:
    """Of two English texts without code: equal but for politeness, punctuation, and spelling."""
    return a.plain == b.plain != () and not casing.differ(a.case, b.case) and not quotations(a, b)


def surely_other(a: Reading, text: str) -> bool:
    """Whether the text has other words, as far as can be told without reading it, which takes ten times as long: it has
    one that `a` has not, and that any reading keeps as it stands. False: only reading tells."""
    return not _loose().union(a.plain).issuperset(map(str.casefold, _KEPT.findall(text)))


# A word between blanks, but for what ends a sentence.
_KEPT = re.compile(r"(?<!\S)[A-Za-z]+(?=[.,;:!?]{0,3}(?!\S))")


@lru_cache(1)
def _loose() -> frozenset[str]:
    """The words that may be read as others, as part of a number, or not at all."""
    known, units = tables(), numbers.units()
    silent = (word for words, becomes in known.phrases.items() if becomes in ("", "^") for word in words)
    counted = (*units.counts, *units.times, *units.dimensions, *units.clock, "and", "pm")
    return frozenset(("us", *known.forms, *silent, *counted, *known.cues["negation"]))


def quotations(a: Reading, b: Reading) -> bool:
    return bool(a.quotes and b.quotes) and a.quotes != b.quotes


@lru_cache(1_024)
def coded(text: str) -> bool:
    """Whether the text holds code, in which each blank may count."""
    if _CODE.search(text):
        return True
    return "\n" in text.strip() and _SIGNS_OF_CODE.search(text) is not None


def same_around_code(one: str, other: str) -> bool:
    """Equal but for what is empty; and before code, for politeness in a first line of prose."""
    if exactly(one, other):
        return True
    (head, code), (other_head, other_code) = _parted(one), _parted(other)
    return bool(code) and code == other_code and same_words(read(head), read(other_head))


def _parted(text: str) -> tuple[str, str]:
    """The first line, where it is prose, and the code below it without the empty lines around."""
    head, _, code = _exact(text).partition("\n")
    prose = _PROSE.match(head) is not None and not _SIGNS_OF_CODE.search(head)
    return (head, _EMPTY_LINES.sub("", code).rstrip()) if prose else ("", "")


def exactly(one: str, other: str) -> bool:
    """Equal but for what is empty in any text: how lines end, and outside code blanks beside blanks."""
    return one == other or _exact(one) == _exact(other)


def _exact(text: str) -> str:
    text = normal("NFC", text).replace("\r\n", "\n")
    if coded(text):
        return text
    return "\n".join(_BLANKS.sub(" ", line).strip() for line in text.strip().split("\n"))
