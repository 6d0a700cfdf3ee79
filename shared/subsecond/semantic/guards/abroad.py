"""Compares texts in other languages than English: equal words, or in the five of `frames.txt` equal words behind
another way to ask. No score looks at them: no list of ours knows what else turns a question there."""

from __future__ import annotations

import re
from functools import lru_cache

from subsecond.semantic.guards import language
from subsecond.semantic.guards.lists import lines
from subsecond.semantic.guards.tables import spelled_out, tables
from subsecond.semantic.guards.words import straight

# A word with what is inside of it, or a sign.
_PIECE = re.compile(r"[^\W_]+(?:['.,:-][^\W_]+)*|\S")
# What ends a sentence, or opens one.
_ENDS = frozenset(".,;:!?\u2026\u00bf\u00a1\u3001\u3002\uff0c\uff01\uff1f\uff1a\uff1b\u060c\u061b\u061f\u0964")
# Pronouns that mean another person with a capital. Some languages' writers leave all other capitals out.
_PRONOUNS = frozenset(("sie", "ihr", "ihnen", "ihre", "ihren", "ihrem", "ihrer", "ihres", "lei"))
# What hangs on the article in front: "do" is "de o".
_ARTICLES = {
    "pt": {"do": "de o", "da": "de a", "dos": "de os", "das": "de as"},
    "es": {"del": "de el", "al": "a el"},
    "it": {"del": "di il", "dello": "di lo", "della": "di la", "dei": "di i", "delle": "di le"},
}
# How a verb ends behind "how": "cambio" and "cambiar", "ändere" and "ändern".
_ENDINGS = {
    "de": ("en", "n", "e", "t"),
    "es": ("ar", "er", "ir", "o"),
    "it": ("are", "ere", "ire", "o"),
    "pt": ("ar", "er", "ir", "o"),
}
_HOW = frozenset(("wie", "cómo", "come", "como"))
# Letters of the longest phrase; and of the shortest stem of a verb.
LONGEST_PHRASE, SHORTEST_STEM = 7, 3

Phrase = tuple[str, ...]


def same(one: str, other: str) -> bool:
    """The same words and signs, but for the ends of sentences, politeness, another way to ask, and capitals where one
    of the texts has none or a sentence begins."""
    if one == other:
        return True
    pieces, others = _pieces(one), _pieces(other)
    if not pieces or not others:
        return False
    if _fold(pieces) != _fold(others):
        of = language.of_five(f"{one} {other}")
        return bool(of) and _asked_alike(pieces, others, of)
    plain = _plain(pieces) or _plain(others)
    return pieces == others or all(
        mine == theirs or _alike(at, mine, theirs, plain=plain)
        for at, (mine, theirs) in enumerate(zip(pieces, others, strict=True))
    )


def _fold(pieces: Phrase) -> Phrase:
    return tuple(map(str.casefold, pieces))


def _asked_alike(pieces: Phrase, others: Phrase, of: str) -> bool:
    (mine, address), (theirs, other_address) = _framed(pieces, of), _framed(others, of)
    if not mine or not theirs or address != other_address:
        return False
    if of == "de":
        # The verb stands last behind "kann ich", and second without.
        return not {mine, _verb_second(mine)}.isdisjoint((theirs, _verb_second(theirs)))
    return mine == theirs


def _verb_second(words: Phrase) -> Phrase:
    return (words[0], words[-1], *words[1:-1])


def _framed(pieces: Phrase, of: str) -> tuple[Phrase, Phrase]:
    """The words with each known way to ask in the one form that stands for all; and the pronouns of address outside of
    those, as written."""
    articles, frames = _ARTICLES.get(of, {}), _frames()[of]
    written = [part for piece in pieces for part in articles.get(piece.casefold(), piece).split()]
    words = _fold(tuple(written))
    found: list[str] = []
    address: list[str] = []
    at = 0
    while at < len(words):
        size = next((n for n in range(LONGEST_PHRASE, 0, -1) if words[at : at + n] in frames), 0)
        found += frames[words[at : at + size]] if size else (words[at],)
        if not size and at and words[at] in _PRONOUNS:
            address.append(written[at])
        at += size or 1
    if found and found[0] in _HOW:
        found = [_stem(word, of) for word in found if of != "de" or word not in ("ich", "man")]
    return tuple(found), tuple(address)


def _stem(word: str, of: str) -> str:
    for ending in _ENDINGS.get(of, ()):
        if word.endswith(ending) and len(word) >= len(ending) + SHORTEST_STEM:
            return word.removesuffix(ending)
    return word


@lru_cache(1)
def _frames() -> dict[str, dict[Phrase, Phrase]]:
    found: dict[str, dict[Phrase, Phrase]] = {}
    for line in lines("frames.txt"):
        head, several = line.split(":", 1)
        of, _, becomes = head.partition(" ")
        for phrase in several.split("|"):
            for words in spelled_out(phrase.strip()):
                found.setdefault(of, {})[words] = tuple(becomes.split())
    return found


def _alike(at: int, mine: str, theirs: str, *, plain: bool) -> bool:
    return (
        at == 0
        or mine.replace("ß", "ss") == theirs.replace("ß", "ss")
        or (plain and (mine.casefold() not in _PRONOUNS or mine.isupper() or theirs.isupper()))
    )


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
    """Without what is polite at either end. Inside, it may be what is asked about."""
    polite = tables().languages["polite"]
    texts = [piece.casefold() for piece in pieces]
    start, end = 0, len(texts)
    while start < end and (taken := next((n for n in (3, 2, 1) if "_".join(texts[start : start + n]) in polite), 0)):
        start += taken
    while start < end and (taken := next((n for n in (3, 2, 1) if "_".join(texts[end - n : end]) in polite), 0)):
        end -= taken
    return pieces[start:end]
