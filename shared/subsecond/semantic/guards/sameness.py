"""Tells whether two texts have the same words: equal but for what means nothing, which is less in code, in a long text,
and in a language whose words no list of ours knows."""

from __future__ import annotations

import re
from functools import lru_cache

from subsecond.cache.normal_form import normal
from subsecond.semantic.guards import casing
from subsecond.semantic.guards.reading import Reading
from subsecond.semantic.guards.tables import tables
from subsecond.semantic.guards.words import straight

# Code: a fence, a tab, a line that begins with blanks, or signs of code in more than one line.
_CODE = re.compile(r"```|\t(?=\S)|\n[ \t]+\S|\A[ \t]+\S[^\n]*\n\s*\S")
_SIGNS_OF_CODE = re.compile(r"[=;{}\\<>|\[\]]")
_BLANKS = re.compile(r"[^\S\n]+")
# A word with what is inside of it, or a sign.
_PIECE = re.compile(r"[^\W_]+(?:['.,:-][^\W_]+)*|\S")
# What ends a sentence, or opens one.
_ENDS = frozenset(".,;:!?\u2026\u00bf\u00a1\u3001\u3002\uff0c\uff01\uff1f\uff1a\uff1b\u060c\u061b\u061f\u0964")
# Pronouns that mean another person with a capital. Some languages' writers leave all other capitals out.
_PRONOUNS = frozenset(("sie", "ihr", "ihnen", "ihre", "ihren", "ihrem", "ihrer", "ihres", "lei"))


def same_words(a: Reading, b: Reading) -> bool:
    """Of two English texts without code: equal but for politeness, punctuation, and spelling."""
    return a.plain == b.plain != () and not casing.differ(a.case, b.case) and not quotations(a, b)


def quotations(a: Reading, b: Reading) -> bool:
    return bool(a.quotes and b.quotes) and a.quotes != b.quotes


@lru_cache(1_024)
def coded(text: str) -> bool:
    """Whether the text holds code, in which each blank may count."""
    if _CODE.search(text):
        return True
    return "\n" in text.strip() and _SIGNS_OF_CODE.search(text) is not None


def exactly(one: str, other: str) -> bool:
    """Equal but for what is empty in any text: how lines end, and outside code blanks beside blanks."""
    return one == other or _exact(one) == _exact(other)


def _exact(text: str) -> str:
    text = normal("NFC", text).replace("\r\n", "\n")
    if coded(text):
        return text
    return "\n".join(_BLANKS.sub(" ", line).strip() for line in text.strip().split("\n"))


def verbatim(one: str, other: str) -> bool:
    """The same words and signs as written, but for the ends of sentences, politeness, and capitals where one of the
    texts has none or a sentence begins."""
    if one == other:
        return True
    pieces, others = _pieces(one), _pieces(other)
    if not pieces or [piece.casefold() for piece in pieces] != [piece.casefold() for piece in others]:
        return False
    same = pieces == others
    return same or all(
        mine == theirs or _alike(at, mine, theirs, plain=_plain(pieces) or _plain(others))
        for at, (mine, theirs) in enumerate(zip(pieces, others, strict=True))
    )


def _alike(at: int, mine: str, theirs: str, *, plain: bool) -> bool:
    return at == 0 or (plain and (mine.casefold() not in _PRONOUNS or mine.isupper() or theirs.isupper()))


def _plain(pieces: tuple[str, ...]) -> bool:
    """Without capitals but at the head, or with nothing else."""
    inner = [piece for piece in pieces[1:] if piece.upper() != piece.lower()]
    return all(map(str.islower, inner)) or all(map(str.isupper, inner))


@lru_cache(1_024)
def _pieces(text: str) -> tuple[str, ...]:
    found = _PIECE.findall(straight(text))
    found = [piece for at, piece in enumerate(found) if piece not in _ENDS or _inside(found, at)]
    return tuple(_without_politeness(found))


def _inside(found: list[str], at: int) -> bool:
    """Whether a sign of a sentence's end stands where none ends: at the head."""
    return at == 0 and found[at] not in "\u00bf\u00a1"


def _without_politeness(pieces: list[str]) -> list[str]:
    polite = tables().languages["polite"]
    kept: list[str] = []
    at = 0
    while at < len(pieces):
        two = f"{pieces[at]}_{pieces[at + 1]}".casefold() if at + 1 < len(pieces) else ""
        if two in polite:
            at += 2
        elif pieces[at].casefold() in polite:
            at += 1
        else:
            kept.append(pieces[at])
            at += 1
    return kept
