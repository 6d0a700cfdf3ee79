"""Compares the order of the words that two texts share: a phrase that moved, or another direction?"""

from __future__ import annotations

from itertools import pairwise

from subsecond.semantic.guards import grammar
from subsecond.semantic.guards.matching import Matching
from subsecond.semantic.guards.reading import Reading
from subsecond.semantic.guards.tables import tables


def swapped(a: Reading, b: Reading, matching: Matching) -> str:
    """The reason "order" or "direction" where the shared words mean something else by their order, else ""."""
    if _directions(a, b, matching):
        return "direction"
    pairs = [(i, j) for i, j in matching.pairs if a.words[i].key not in _FREE]
    positions = [j for _, j in pairs]
    return "order" if positions != sorted(positions) and _means_else(a, b, matching, pairs) else ""


def _means_else(a: Reading, b: Reading, matching: Matching, pairs: list[tuple[int, int]]) -> bool:
    """Whether another order of the words makes another question."""
    if ("be" in a.plain) == ("be" in b.plain) and _compound(a, b, pairs):
        return True
    if _joined_by_preposition(a, b, pairs):
        return False
    runs = blocks([j for _, j in pairs])
    if matching.left or matching.right:
        return runs > MOST_BLOCKS and not _joined(a, b, matching)
    if grammar.passive(a) != grammar.passive(b) or _phrases(a) == _phrases(b):
        return False
    return _objects(a) != _objects(b) or not (runs <= ONE_MOVED or _joined(a, b, matching))


# Words whose place says nothing: "which is the best X", "which X is the best".
_FREE = frozenset(("not", "best"))
# Runs of neighbours where one phrase has moved; and beyond which even texts that differ in words are in another order.
ONE_MOVED, MOST_BLOCKS = 2, 4
# Words that change places.
PAIR = 2


def blocks(positions: list[int]) -> int:
    """How many runs of neighbours the positions fall into: 1 when nothing moved."""
    ranks = {position: rank for rank, position in enumerate(sorted(positions))}
    ranked = [ranks[position] for position in positions]
    return 1 + sum(y != x + 1 for x, y in pairwise(ranked))


def _directions(a: Reading, b: Reading, matching: Matching) -> bool:
    """A word that comes "from" here and "to" there, or is compared with ("than") there only."""
    cues = tables().cues
    for i, j in matching.pairs:
        one, other = a.words[i].before, b.words[j].before
        if one == other or not (one or other):
            continue
        if (one in cues["from"] and other in cues["goal"]) or (one in cues["goal"] and other in cues["from"]):
            return True
        if "than" in (one, other) and a.function >= {"than"} and b.function >= {"than"}:
            return True
    return _turned(a, b, matching)


# Prepositions whose two sides make another question when they change places: "a swim before lunch".
_SIDED = frozenset(("before", "after", "over", "under", "without", "into", "for", "by"))


def _turned(a: Reading, b: Reading, matching: Matching) -> bool:
    """Whether such a preposition stands before one shared word here, and before another one there."""
    mine, theirs = ({} for _ in range(2))
    for i, j in matching.pairs:
        one, other = a.words[i].place, b.words[j].place
        if one != other and (one in _SIDED or other in _SIDED):
            mine[one], theirs[other] = j, i
    return any(sided in theirs for sided in mine if sided in _SIDED)


def _exchanged(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The two pairs of words that changed places with each other, where no other word has moved."""
    moved = [(i, j) for (i, j), k in zip(pairs, sorted(j for _, j in pairs), strict=True) if j != k]
    return moved if len(moved) == PAIR else []


def _compound(a: Reading, b: Reading, pairs: list[tuple[int, int]]) -> bool:
    """Whether two words side by side changed places, and nothing else: a house boat is no boat house."""
    if not (moved := _exchanged(pairs)):
        return False
    (i, j), (k, m) = moved
    return a.words[k].at - a.words[i].at == 1 and b.words[j].at - b.words[m].at == 1


def _joined_by_preposition(a: Reading, b: Reading, pairs: list[tuple[int, int]]) -> bool:
    """Whether two words side by side here have a preposition between them there: "work stress", "stress at work"."""
    if not (moved := _exchanged(pairs)):
        return False
    (i, j), (k, m) = moved
    one, other = (a.words[i].at, a.words[k].at), (b.words[m].at, b.words[j].at)
    between = {*a.plain[one[0] + 1 : one[1]], *b.plain[other[0] + 1 : other[1]]}
    return 1 in (one[1] - one[0], other[1] - other[0]) and bool(between & (tables().cues["place"] | {"of"}))


def _phrases(reading: Reading) -> tuple[tuple[str, ...], ...]:
    """What stands before any preposition; then the phrases that one begins, in no order."""
    found: list[list[str]] = [[]]
    for word in reading.words:
        if word.place:
            found.append([word.place])
        if word.key not in _FREE:
            found[-1].append(word.key)
    head, *rest = (tuple(some) for some in found)
    return head, *sorted(rest)


def _joined(a: Reading, b: Reading, matching: Matching) -> bool:
    """Two things joined by "and" changed places, which is no other question."""
    moved = [(i, j) for (i, j), k in zip(matching.pairs, sorted(j for _, j in matching.pairs), strict=True) if j != k]
    return len(moved) == PAIR and all(
        any(reading.words[pair[side]].joined for pair in moved) for side, reading in ((0, a), (1, b))
    )


def _objects(reading: Reading) -> frozenset[str]:
    return reading.function & tables().cues["object"]
