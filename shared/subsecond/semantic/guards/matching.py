"""Pairs the words of two texts that mean the same, and tells which are left over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from subsecond.semantic.guards import typos
from subsecond.semantic.guards.reading import Reading, Word

# With more left over it is another question. So the pairs to compare stay few, however long the texts are.
MOST_LEFT_OVER = 12
# Endings under which two words with one root are forms of each other: "deliver" and "delivery", "pay" and "payment".
_ENDINGS = frozenset(
    ("", "y", "al", "ion", "ation", "ment", "ance", "ence", "ly", "e", "ing", "s", "es", "tion", "ability")
)
ROOT = 4


class Matching(NamedTuple):
    """pairs: positions in both texts. left, right: the words without a partner, and their positions. same: how many
    pairs are synonyms; forms: are forms of one word; typos: differ by a typo."""

    pairs: tuple[tuple[int, int], ...]
    left: tuple[Word, ...]
    right: tuple[Word, ...]
    left_positions: tuple[int, ...]
    right_positions: tuple[int, ...]
    same: int
    forms: int
    typos: int


def match(a: Reading, b: Reading) -> Matching:
    """Equal words and synonyms first, then forms and typos among what is left, if both texts have at most
    MOST_LEFT_OVER such words."""
    positions: dict[str, list[int]] = {}
    for position, word in enumerate(b.words):
        positions.setdefault(word.key, []).append(position)
    for some in positions.values():
        some.reverse()
    pairs: list[tuple[int, int]] = []
    left: list[int] = []
    same = 0
    for position, word in enumerate(a.words):
        if free := positions.get(word.key):
            partner = free.pop()
            pairs.append((position, partner))
            same += word.text[:ROOT] != b.words[partner].text[:ROOT]
        else:
            left.append(position)
    right = sorted(position for some in positions.values() for position in some)
    forms = typo_count = 0
    if left and right and len(left) <= MOST_LEFT_OVER and len(right) <= MOST_LEFT_OVER:
        found = _close(a.words, b.words, left, right)
        pairs += [(i, j) for i, j, _ in found]
        forms = sum(not is_typo for *_, is_typo in found)
        typo_count = len(found) - forms
    pairs.sort()
    words = tuple(a.words[i] for i in left), tuple(b.words[j] for j in right)
    return Matching(tuple(pairs), *words, tuple(left), tuple(right), same, forms, typo_count)


def _close(a: Sequence[Word], b: Sequence[Word], left: list[int], right: list[int]) -> list[tuple[int, int, bool]]:
    """Pairs of forms or typos; takes them out of `left` and `right`. True: a typo."""
    found = []
    for i in list(left):
        for j in right:
            if (form := _forms(a[i].text, b[j].text)) or typos.is_typo(a[i], b[j]):
                found.append((i, j, not form))
                left.remove(i)
                right.remove(j)
                break
    return found


def _forms(one: str, other: str) -> bool:
    length = 0
    for x, y in zip(one, other, strict=False):
        if x != y:
            break
        length += 1
    # "reserve", "reservation": the root may lack the last letter.
    return length >= ROOT and one[length:] in _ENDINGS and other[length:] in _ENDINGS
