"""Pairs whose truth is known, made by rule from the traffic: on them the judge itself is measured.

The rules make what the guards tell apart too, numbers, negations and opposites, so they are no easy cases: but they are
no sample of real neighbours either. docs/verified.md says what that means for the estimate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

NUMBER = re.compile(r"\d{1,9}")
ASKING = re.compile(r"\b(can|could|should|must|will|may|do|does|did|is|are) (i|you|we|they|he|she|it)\b", re.IGNORECASE)
OPPOSITES = (
    ("before", "after"),
    ("with", "without"),
    ("enable", "disable"),
    ("increase", "decrease"),
    ("open", "close"),
    ("start", "stop"),
    ("first", "last"),
    ("more", "less"),
    ("send", "receive"),
    ("buy", "sell"),
)
TURNED = {one: other for pair in OPPOSITES for one, other in (pair, pair[::-1])}
WORD = re.compile("|".join(rf"\b{word}\b" for word in TURNED), re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SeededPair:
    """right: whether one answer serves both."""

    asked: str
    stored: str
    right: bool


def right_pair(text: str) -> SeededPair:
    """The same question, politely."""
    return SeededPair(f"Hello, {text.strip()} Thank you.", text, right=True)


def wrong_pair(text: str) -> SeededPair | None:
    """Another question that looks like it: another number, the opposite, or a negation. None where no rule applies."""
    for pattern, change in ((NUMBER, _next), (WORD, _opposite), (ASKING, _negated)):
        changed, times = pattern.subn(change, text, count=1)
        if times:
            return SeededPair(changed, text, right=False)
    return None


def _next(found: re.Match[str]) -> str:
    return str(int(found[0]) + 1)


def _opposite(found: re.Match[str]) -> str:
    return TURNED[found[0].lower()]


def _negated(found: re.Match[str]) -> str:
    return f"{found[0]} not"
