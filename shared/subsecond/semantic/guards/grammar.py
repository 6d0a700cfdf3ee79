"""Differences that small words make: what may, must or should be done, how many of them, which one, and who does it to
whom. Each guard gives its reason, or an empty text."""

from __future__ import annotations

from itertools import pairwise

from subsecond.semantic.guards.matching import Matching
from subsecond.semantic.guards.reading import Reading
from subsecond.semantic.guards.stems import stem
from subsecond.semantic.guards.tables import tables

# Kinds of question under which it is one whether it can or must be done.
_LOOSE = frozenset(("<how>", "<want>"))
# Behind these "most" and "few" tell how many; "the most", "a few" do not.
_BEFORE_AMOUNTS = (
    "",
    "be",
    "do",
    "does",
    "for",
    "of",
    "in",
    "to",
    "by",
    "why",
    "how",
    "can",
    "will",
    "so",
    "very",
    "too",
)
# What one of two texts may not have alone.
_ALONE = frozenset(("only", "few", "half", "nearly"))
_QUANTITIES = ("all", "some", "only", "half", "both", "either", "nearly")


def small_words(a: Reading, b: Reading) -> str:
    if a.function == b.function and a.kinds == b.kinds and a.keys == b.keys:
        return _focus(a, b)
    return _modals(a, b) or _quantifiers(a, b) or _focus(a, b)


def _modals(a: Reading, b: Reading) -> str:
    if _LOOSE & {a.kind, b.kind}:
        return ""
    mine, theirs = _necessity(a), _necessity(b)
    return "another modal verb" if mine and theirs and mine != theirs else ""


def _necessity(reading: Reading) -> set[str]:
    """Of "can", "must" and "should" those that are said. In "what should I pack" the last two are one."""
    cues = tables().cues
    found = {name for name in ("can", "must", "should") if f"<{name}>" in reading.kinds}
    found |= {name for name in ("can", "must", "should") if cues[name] & (reading.function | reading.keys)}
    yes_or_no = reading.kind in ("", "<is>", "<can>", "<must>", "<should>")
    return found if yes_or_no else {"must" if name == "should" else name for name in found}


def _quantifiers(a: Reading, b: Reading) -> str:
    mine, theirs = _amounts(a), _amounts(b)
    if mine == theirs or mine | theirs == {"some", "many"}:
        return ""
    return "another quantifier" if (mine and theirs) or (mine ^ theirs) & _ALONE else ""


def _amounts(reading: Reading) -> frozenset[str]:
    cues = tables().cues
    words = reading.function | reading.keys
    found = {name for name in _QUANTITIES if cues[f"quantity_{name}"] & words}
    if "most" in words or "few" in words or "least" in words:
        follows = set(pairwise(("", *reading.plain)))
        found |= {name for name in ("least", "most") if ("at", name) in follows}
        found |= {name for name in ("few", "most") if follows & {(before, name) for before in _BEFORE_AMOUNTS}}
    elif "many" in words and reading.kind not in ("<howmany>", "<howmuch>", "<howoften>"):
        found.add("many")
    return frozenset(found)


def _focus(a: Reading, b: Reading) -> str:
    """Of what "only" is said."""
    if "only" not in a.function or "only" not in b.function:
        return ""
    one, other = _behind_only(a), _behind_only(b)
    return "another quantifier" if one and other and one != other else ""


def _behind_only(reading: Reading) -> str:
    return next((stem(word) for before, word in pairwise(reading.plain) if before == "only"), "")


def which(a: Reading, b: Reading, matching: Matching) -> str:
    """One or several, where they are asked for: "name a country", "name the countries"; "which city has"."""
    asked = bool(a.number and b.number and a.number != b.number) or (_listing(a) and _listing(b))
    if not asked or "best" in a.keys | b.keys | a.function | b.function:
        return ""
    for i, j in matching.pairs:
        one, other = a.words[i].text, b.words[j].text
        if one != other and one.endswith("s") != other.endswith("s") and stem(one) == stem(other):
            return "one or several"
    return ""


def _listing(reading: Reading) -> bool:
    return not reading.kinds and bool(reading.plain) and reading.plain[0] in tables().cues["listing"]


def voice(a: Reading, b: Reading, matching: Matching) -> str:
    """The same words in the same order, here what one does and there what is done by one."""
    positions = [j for _, j in matching.pairs]
    same = len(positions) > 1 and positions == sorted(positions) and not matching.left and not matching.right
    return "active and passive" if same and passive(a) != passive(b) else ""


def passive(reading: Reading) -> bool:
    return "by" in reading.function and "be" in reading.plain and not reading.means
