"""Which words of two texts stand for each other, and which are left over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from subsecond.semantic.guards import typos
from subsecond.semantic.guards.reading import Reading, Word

# More left over than this is another question; so the pairs to look at stay few, however long the texts are.
LEFT = 12
# Endings under which two words with one root are forms of each other: "deliver" and "delivery", "pay" and "payment".
_ENDINGS = frozenset(
    ("", "y", "al", "ion", "ation", "ment", "ance", "ence", "ly", "e", "ing", "s", "es", "tion", "ability")
)
ROOT = 4


class Matching(NamedTuple):
    """pairs: places in both texts. left, right: the words without a partner, and where they stand. same: how many pairs
    are other words for one thing; forms: are forms of one word; typos: differ by a slip."""

    pairs: tuple[tuple[int, int], ...]
    left: tuple[Word, ...]
    right: tuple[Word, ...]
    left_places: tuple[int, ...]
    right_places: tuple[int, ...]
    same: int
    forms: int
    typos: int


def match(a: Reading, b: Reading) -> Matching:
    places: dict[str, list[int]] = {}
    for place, word in enumerate(b.words):
        places.setdefault(word.key, []).append(place)
    for some in places.values():
        some.reverse()
    pairs: list[tuple[int, int]] = []
    left: list[int] = []
    same = 0
    for place, word in enumerate(a.words):
        if free := places.get(word.key):
            partner = free.pop()
            pairs.append((place, partner))
            same += word.text[:ROOT] != b.words[partner].text[:ROOT]
        else:
            left.append(place)
    right = sorted(place for some in places.values() for place in some)
    forms = slips = 0
    if left and right and len(left) <= LEFT and len(right) <= LEFT:
        found = _close(a.words, b.words, left, right)
        pairs += [(i, j) for i, j, _ in found]
        forms = sum(not slip for *_, slip in found)
        slips = len(found) - forms
    pairs.sort()
    words = tuple(a.words[i] for i in left), tuple(b.words[j] for j in right)
    return Matching(tuple(pairs), *words, tuple(left), tuple(right), same, forms, slips)


def _close(a: Sequence[Word], b: Sequence[Word], left: list[int], right: list[int]) -> list[tuple[int, int, bool]]:
    """Pairs of forms or slips; takes them out of `left` and `right`. True: a slip."""
    found = []
    for i in list(left):
        for j in right:
            if (form := _forms(a[i].text, b[j].text)) or typos.slip(a[i], b[j]):
                found.append((i, j, not form))
                left.remove(i)
                right.remove(j)
                break
    return found


def _forms(one: str, other: str) -> bool:
    if one[:ROOT] != other[:ROOT]:
        return False
    length = 0
    for x, y in zip(one, other, strict=False):
        if x != y:
            break
        length += 1
    # "reserve", "reservation": the root may lack the last letter.
    return length >= ROOT and one[length:] in _ENDINGS and other[length:] in _ENDINGS
