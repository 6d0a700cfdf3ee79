"""The same words in another order: a phrase that moved to the front, or the other direction?"""

from __future__ import annotations

from itertools import pairwise

from subsecond.semantic.guards.matching import Matching
from subsecond.semantic.guards.reading import Reading
from subsecond.semantic.guards.tables import tables


def swapped(a: Reading, b: Reading, matching: Matching) -> str:
    """The reason "order" or "direction" where the words that both texts have say something else by their places."""
    if _directions(a, b, matching):
        return "direction"
    places = [j for _, j in matching.pairs]
    if places == sorted(places):
        return ""
    whole = not matching.left and not matching.right
    if _objects(a) != _objects(b) and whole:
        return "order"
    if blocks(places) <= 2 or _joined(a, b, matching):  # noqa: PLR2004 -- one phrase moved
        return ""
    return "order" if whole or blocks(places) > MOST_BLOCKS else ""


MOST_BLOCKS = 4


def blocks(places: list[int]) -> int:
    """How many runs of neighbours the places fall into: 1 when nothing moved."""
    ranks = {place: rank for rank, place in enumerate(sorted(places))}
    ranked = [ranks[place] for place in places]
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
    return False


def _joined(a: Reading, b: Reading, matching: Matching) -> bool:
    """Two things joined by "and" changed places, which is no other question."""
    moved = [(i, j) for (i, j), k in zip(matching.pairs, sorted(j for _, j in matching.pairs), strict=True) if j != k]
    return len(moved) == 2 and all(  # noqa: PLR2004 -- the two that changed places
        any(reading.words[pair[side]].joined for pair in moved) for side, reading in ((0, a), (1, b))
    )


def _objects(reading: Reading) -> frozenset[str]:
    return reading.function & tables().cues["object"]
