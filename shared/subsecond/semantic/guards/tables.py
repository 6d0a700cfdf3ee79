"""Loads the word lists in `data/`, once, at first use."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from subsecond.semantic.guards.lists import lines
from subsecond.semantic.guards.stems import stem

_ALTERNATIVES = re.compile(r"\(([^)]*)\)")

Phrase = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tables:
    """forms: a word and what is read in its place. phrases: what they become (`^`: at an edge only, and says nothing).
    lengths: of the phrases that begin with a word, the longest first. same: the stem that stands for all of its line.
    opposites: a stem, and in which pair it stands on which side (1 or 2). kinds: a stem, and in which kinds it is which
    thing. cues: sets of words. languages: the common words of each, without those that English has too."""

    forms: dict[str, Phrase]
    phrases: dict[Phrase, str]
    lengths: dict[str, list[int]]
    same: dict[str, str]
    opposites: dict[str, list[tuple[int, int]]]
    kinds: dict[str, list[tuple[str, str]]]
    cues: dict[str, frozenset[str]]
    languages: dict[str, frozenset[str]]

    def key(self, word: str) -> str:
        """The stem that stands for the word and its synonyms."""
        root = _root(word)
        return self.same.get(root, root)


@lru_cache(maxsize=1)
def tables() -> Tables:
    same = {root: members[0] for members in _groups() for root in members}
    forms = _forms()
    phrases = _phrases(forms)
    made = Tables(forms, phrases, _lengths(phrases), same, {}, {}, _sets("cues.txt"), _languages())
    for pair, line in enumerate(lines("opposites.txt")):
        for side, words in enumerate(line.split("|"), 1):
            for key in {made.key(word.strip()) for word in words.split(",")}:
                made.opposites.setdefault(key, []).append((pair, side))
    for line in lines("kinds.txt"):
        kind, members = line.split(":", 1)
        for member in members.split(","):
            names = [made.key(name.strip()) for name in member.split("=")]
            for key in dict.fromkeys(names):
                made.kinds.setdefault(key, []).append((kind, names[0]))
    return made


def _groups() -> list[list[str]]:
    return [[_root(word.strip()) for word in line.split(",")] for line in lines("same.txt")]


def _root(word: str) -> str:
    return word if "_" in word or word in _function() else stem(word)


@lru_cache(maxsize=1)
def _function() -> frozenset[str]:
    return _sets("cues.txt")["function"]


def _forms() -> dict[str, Phrase]:
    return {
        other: tuple(word.split())
        for word, others in (line.split(":") for line in lines("forms.txt"))
        for other in others.split()
    }


def _phrases(forms: dict[str, Phrase]) -> dict[Phrase, str]:
    """Their words in the forms that a text is read in: "is" is "be"."""
    found: dict[Phrase, str] = {}
    for line in lines("phrases.txt"):
        becomes, several = line.split(":", 1)
        for phrase in several.split("|"):
            for words in spelled_out(phrase.strip()):
                found[tuple(part for word in words for part in forms.get(word, (word,)))] = becomes
    return found


def _lengths(phrases: Iterable[Phrase]) -> dict[str, list[int]]:
    found: dict[str, set[int]] = {}
    for words in phrases:
        found.setdefault(words[0], set()).add(len(words))
    return {first: sorted(some, reverse=True) for first, some in found.items()}


def spelled_out(phrase: str) -> list[Phrase]:
    """`how (do/can) i` is two phrases."""
    parts = [part.split("/") if at % 2 else [part] for at, part in enumerate(_ALTERNATIVES.split(phrase))]
    return [tuple(" ".join(chosen).split()) for chosen in itertools.product(*parts)]


def _sets(name: str) -> dict[str, frozenset[str]]:
    return {title: frozenset(words.split()) for title, words in (line.split(":") for line in lines(name))}


def _languages() -> dict[str, frozenset[str]]:
    found = _sets("languages.txt")
    return {name: words if name in ("en", "polite") else words - found["en"] for name, words in found.items()}
