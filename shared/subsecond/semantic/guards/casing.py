"""What capitals mean in a text: "5 mW" is not "5 MW", "Turkey" not "turkey", and `getUser` not `getuser`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from subsecond.semantic.guards import lexicon
from subsecond.semantic.guards.tables import tables

if TYPE_CHECKING:
    from subsecond.semantic.guards.words import Token

# Small letters at the head of a brand: "iPhone", "eBay".
BRAND = 1
# The share of words inside of sentences with a capital beyond which capitals say nothing.
MOST = 0.6
# Words of a text in capitals that may be an acronym; and letters of one that is hardly another word.
FEW = 2


class Case(NamedTuple):
    """units: behind numbers, where case tells milli from mega. words: acronyms that are words too, and identifiers.
    names: words that are a name with a capital, and single letters; they say nothing in a text without capitals.
    manner: whether the text has some, or one on most words."""

    units: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    manner: Literal["mixed", "title", "lower", "upper"] = "lower"


_LOWER = Case()


def differ(one: Case, other: Case) -> bool:
    if one is other or one == other:
        return False
    if one.units != other.units:
        return True
    manners = (one.manner, other.manner)
    if "upper" in manners:
        return False
    return one.words != other.words or (manners == ("mixed", "mixed") and one.names != other.names)


def case(found: Sequence[Token]) -> Case:
    """What the capitals of a text mean; `differ` compares two."""
    units = tuple(
        unit
        for at, token in enumerate(found)
        if (token.sort == "number" or token.written in _BITS)
        and (unit := _unit(token, found[at + 1] if at + 1 < len(found) else None))
    )
    words = [token for token in found if token.sort == "word"]
    capitals = [token for token in words if token.capital]
    if not capitals:
        return Case(units) if units else _LOWER
    if len(words) > FEW and all(token.written.isupper() for token in words if token.written):
        return Case(units, manner="upper")
    marked = sorted(token.written for token in capitals if _means_else(token.written))
    inside = [token.capital for token in words if not token.first]
    if sum(inside) > MOST * len(inside):
        return Case(units, tuple(marked), manner="title")
    return Case(units, tuple(marked), tuple(sorted(_names(words))), "mixed")


def _unit(token: Token, behind: Token | None) -> str:
    """The unit of a number, or by itself, where its case tells which it is."""
    if token.written in _BITS:
        return token.written
    if token.sort != "number":
        return ""
    unit = token.written.lstrip("0123456789., ")
    if not unit and behind is not None and behind.sort == "word" and behind.written not in _BITS:
        unit = behind.written
        if unit.casefold() in tables().cues["cased_letters"]:
            return unit
    return unit if unit.casefold() in tables().cues["cased_units"] or unit in _BITS else ""


# Where "b" stands behind a prefix in its right case it is a bit: "mb" and "MB" are mostly the same.
_BITS = frozenset(("Kb", "kb", "Mb", "Gb", "Tb", "mHz", "kBps", "MBps", "GBps"))


@lru_cache(1_024)
def _means_else(written: str) -> bool:
    """Whether the capitals of the word make another one of it: an acronym that is a word too, or an identifier."""
    if written.isupper():
        return _is_a_word_too(written.casefold())
    inner = next((at for at, letter in enumerate(written) if at and letter.isupper()), 0)
    return inner > BRAND and written[0].islower() and not lexicon.known(written.casefold())


def _is_a_word_too(acronym: str) -> bool:
    cues = tables().cues
    if acronym in cues["acronyms"]:
        return True
    if len(acronym) <= FEW or acronym in cues["abbreviations"] or acronym in cues["function"] | cues["negation"]:
        return False
    return not _VOWELS.isdisjoint(acronym) and lexicon.known(acronym) and lexicon.known(f"{acronym}s")


_VOWELS = frozenset("aeiou")


def _names(words: Sequence[Token]) -> list[str]:
    found, names = [], tables().cues["names"]
    for at, token in enumerate(words):
        written = token.written
        if len(written) == 1:
            joined = (token.hyphen and len(words[at - 1].written) > 1) or _hyphen_behind(words, at)
            if written not in "aIil" and written.isalpha() and not joined and not (token.first and token.capital):
                found.append(written)
        elif token.capital and not token.first and token.text in names:
            found.append(token.text)
    return found


def _hyphen_behind(words: Sequence[Token], at: int) -> bool:
    """Whether the letter begins a compound, as in "t-shirt"; "a-z" is none."""
    behind = words[at + 1] if at + 1 < len(words) else None
    return behind is not None and behind.hyphen and len(behind.written) > 1
