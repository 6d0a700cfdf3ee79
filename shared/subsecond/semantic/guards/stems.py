"""A light English stemmer: plurals, -ed, -ing. In doubt it keeps a word: two words must not become one."""

from __future__ import annotations

import re
from functools import lru_cache

from subsecond.semantic.guards.lists import lines

SHORT, LONG = 4, 5
# Letters; what is longer is no word, and left alone.
LONGEST = 40
_VOWELS = frozenset("aeiouy")
# One vowel before the last consonant: its word has an `e` behind it, or would have doubled the consonant.
_SYLLABLE = re.compile(r"[^aeiou]{1,3}[aeiou][^aeiouwxy]")


@lru_cache(maxsize=1)
def _whole_words() -> frozenset[str]:
    return frozenset(" ".join(lines("whole.txt")).split())


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """The stem of a word in lower case."""
    if len(word) < SHORT or word in _whole_words() or not word.isascii() or len(word) > LONGEST:
        return word
    word = _singular(word)
    for ending in ("ing", "ed"):
        root = word.removesuffix(ending)
        if root != word and len(root) >= SHORT - 1 and not root.endswith("e") and _VOWELS & set(root):
            word = _whole(root)
            break
    # "deleting" is "delet": so is "delete". Shorter ones keep it: "care" is not "car".
    return word[:-1] if word.endswith("e") and len(word) > LONG else word


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > SHORT:
        return f"{word[:-3]}y"
    if word.endswith(("sses", "xes", "ches", "shes", "zzes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _whole(root: str) -> str:
    """What stood before -ing or -ed: "plann" is "plan", "mak" is "make", "appli" is "apply"."""
    if root[-1] == root[-2] and root[-1] not in _VOWELS and (root[-1] not in "lsfz" or len(root) > LONG):
        return root[:-1]
    if root.endswith("i"):
        return f"{root[:-1]}y"
    if root[-1] in "vc" or _SYLLABLE.fullmatch(root):
        return f"{root}e"
    return root
