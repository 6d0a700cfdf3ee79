"""Differences after which no similarity counts. Each guard gives its reason, or an empty text; none tells a word of the
texts, because reasons travel in traces and logs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from subsecond.semantic.guards import casing, grammar, order
from subsecond.semantic.guards.matching import Matching
from subsecond.semantic.guards.reading import Reading
from subsecond.semantic.guards.tables import tables

# Kinds of question that no answer serves two of: "when" is not "where", and "does it" is neither.
_EXCLUSIVE = frozenset(
    (
        "<when>", "<where>", "<who>", "<why>", "<manner>", "<howmuch>", "<howmany>", "<howlong>", "<howoften>",
        "<howold>", "<howfar>", "<is>",
    )
)  # fmt: skip


# "How do I cancel" does not ask when, nor does "how many" ask how.
_APART = (
    {"<how>", "<when>"},
    {"<how>", "<howmany>"},
    {"<how>", "<howmuch>"},
    {"<how>", "<must>"},
    {"<how>", "<is>"},
    {"<where>", "<what>"},
    {"<why>", "<what>"},
    {"<manner>", "<what>"},
    {"<what>", "<must>"},
    {"<howmany>", "<what>"},
    {"<howmany>", "<can>"},
    {"<howmany>", "<want>"},
)


def identifiers(a: Reading, b: Reading) -> str:
    """Code, addresses, files; quotations where both have some; signs that are no punctuation."""
    # Compared as they stand first: most texts have none, and a Counter costs a microsecond.
    if a.code != b.code and Counter(a.code) != Counter(b.code):
        return "identifiers differ"
    if a.quotes and b.quotes and a.quotes != b.quotes and Counter(a.quotes) != Counter(b.quotes):
        return "quotations differ"
    return "" if a.signs == b.signs or {*a.signs, *b.signs} <= _OF_PROSE else "signs differ"


# Signs that say little in a text without others.
_OF_PROSE = frozenset("()")


def compounds(a: Reading, b: Reading) -> str:
    """What a hyphen joins here must stand there, joined, as one word or side by side: "sugar-free" is not "sugar"."""
    if a.compounds == b.compounds or (_stand(a.compounds, b) and _stand(b.compounds, a)):
        return ""
    return "compounds differ"


def _stand(compounds: frozenset[tuple[str, ...]], other: Reading) -> bool:
    plain = other.plain
    return all(
        "".join(parts) in plain or any(plain[at : at + len(parts)] == parts for at in range(len(plain)))
        for parts in compounds - other.compounds
    )


def numbers(a: Reading, b: Reading) -> str:
    """All numbers of one type in their order: "from 3 to 5" is not "from 5 to 3", "5 km at 7" is "at 7 for 5 km"."""
    # "one", "first" and "second" count where the other text has one of them in their place, or a number.
    if a.weak and b.weak and a.weak != b.weak:
        return "numbers differ"
    if a.amounts == b.amounts or _by_type(a) == _by_type(b):
        return ""
    if Counter(a.amounts) == Counter(b.amounts):
        return "numbers in another order"
    if len(a.amounts) == len(b.amounts) and _by_type(a).keys() != _by_type(b).keys():
        return "units differ"
    return "numbers differ"


def _by_type(reading: Reading) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for amount in reading.amounts:
        found.setdefault(amount.unit, []).append(amount.text)
    return found


def dates(a: Reading, b: Reading) -> str:
    return "" if a.dates == b.dates else "dates differ"


def negation(a: Reading, b: Reading) -> str:
    return "" if a.negations == b.negations else "negation"


def opposites(a: Reading, b: Reading) -> str:
    """A word on one side and its opposite on the other, or two things of a kind."""
    if a.keys == b.keys and a.function == b.function:
        return ""
    return (
        _turned(a.keys | a.function, b.keys | b.function)
        or _denied(a.keys - b.keys, b.keys - a.keys)
        or _other_thing(a.keys, b.keys)
    )


def _turned(mine: frozenset[str], theirs: frozenset[str]) -> str:
    """What both have stands on the same side of a pair in both, so only what one has alone can turn it."""
    sides = _sides(mine - theirs)
    others = _sides(theirs - mine) if sides else {}
    turned = {pair for pair in sides.keys() & others.keys() if sides[pair] ^ others[pair] == BOTH}
    return "opposites" if turned and turned - _sides(mine & theirs).keys() else ""


BOTH = 3
_DENIALS = ("un", "in", "im", "ir", "il", "dis", "non", "mis", "de", "over", "under", "a", "anti", "self_")
ROOT = 4


def _denied(mine: frozenset[str], theirs: frozenset[str]) -> str:
    """A word and the same one with a prefix that turns it round, each on its side only."""
    for some, others in ((mine, theirs), (theirs, mine)):
        for word in some:
            if word.startswith(_DENIALS) and any(
                word.startswith(prefix) and len(word) >= len(prefix) + ROOT and word.removeprefix(prefix) in others
                for prefix in _DENIALS
            ):
                return "opposites"
    return ""


def _sides(keys: frozenset[str]) -> dict[int, int]:
    """Pair of opposites: 1 where a word of its left side is there, 2 of the right, 3 both."""
    found: dict[int, int] = {}
    opposites = tables().opposites
    for key in keys & opposites.keys():
        for pair, side in opposites[key]:
            found[pair] = found.get(pair, 0) | side
    return found


def _other_thing(mine: frozenset[str], theirs: frozenset[str]) -> str:
    if not (_things(mine - theirs).keys() & _things(theirs - mine).keys()):
        return ""
    kinds, others = _things(mine), _things(theirs)
    for kind, things in kinds.items():
        there = others.get(kind, set())
        if things - there and there - things:
            return "another thing of a kind"
    return ""


def _things(keys: frozenset[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    kinds = tables().kinds
    for key in keys & kinds.keys():
        for kind, thing in kinds[key]:
            found.setdefault(kind, set()).add(thing)
    return found


def names(matching: Matching) -> str:
    """A name that the other text does not have in any spelling."""
    return "names differ" if any(word.name for word in matching.left + matching.right) else ""


def beside_code(a: Reading, b: Reading, matching: Matching) -> str:
    """Beside code every word is one of a term: "the log of app.py" is not "the tests of app.py"."""
    if not (a.code or b.code):
        return ""
    told = tables().cues["apposition"]
    return "terms differ" if any(word.text not in told for word in matching.left + matching.right) else ""


def question(a: Reading, b: Reading) -> str:
    if a.kind == b.kind or not a.kind or not b.kind:
        return ""
    kinds = {a.kind, b.kind}
    differ = kinds <= _EXCLUSIVE or kinds in _APART
    return "another kind of question" if differ else ""


def common(matching: Matching) -> str:
    """The vectors alone are never enough: a text can be crafted for its vector, but not for its words as well."""
    both, left, right = len(matching.pairs), len(matching.left), len(matching.right)
    little = max(left, right) > MOST_LEFT or both < LEAST_COMMON * (both + left + right)
    return "little in common" if little else ""


# Read off the development pairs: of the wrong ones that the score lets pass a third lies beyond, of the right few.
MOST_LEFT, LEAST_COMMON = 6, 0.2

_FIRST: tuple[Callable[[Reading, Reading], str], ...] = (
    identifiers,
    numbers,
    dates,
    negation,
    opposites,
    question,
    grammar.small_words,
)


def veto(a: Reading, b: Reading) -> str:
    """The first reason that holds, of those that look at single words; "" where none does."""
    for guard in _FIRST:
        if reason := guard(a, b):
            return reason
    return ""


def veto_matched(a: Reading, b: Reading, matching: Matching) -> str:
    """The first reason that holds, of those that look at the paired words; "" where none does."""
    return (
        common(matching)
        or names(matching)
        or beside_code(a, b, matching)
        or order.swapped(a, b, matching)
        or grammar.voice(a, b, matching)
        or grammar.which(a, b, matching)
        or compounds(a, b)
        or ("case differs" if casing.differ(a.case, b.case) else "")
    )
