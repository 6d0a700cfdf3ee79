"""Reads numbers with their type: 5 years is 60 months, £50 is fifty pounds, 7pm is 19:00; no type equals another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from subsecond.semantic.guards.lists import lines

# One number: clock times, dates, versions, amounts of money, numbers with a unit behind them.
PATTERN = (
    r"[$\u00a3\u20ac\u00a5\u20b9]\s?\d[\d,]*(?:\.\d+)?(?:\s?(?:k|m|bn|million|billion|thousand)\b)?"
    r"|\d{1,2}(?::\d{2}){1,2}(?:\s?[ap]\.?m\b\.?)?"
    r"|\d{1,2}\s?[aApP]\.?[mM]\b\.?"
    r"|\d{4}-\d{2}-\d{2}"
    r"|v?\d+(?:\.\d+){2,}"
    r"|\d+(?:,\d{3})+(?:\.\d+)?(?:\s?%)?"
    r"|\d+(?:\.\d+)?(?:\s?[%\u20ac\u00a3$\u00b0]|(?:st|nd|rd|th|k|m|bn|p)\b|[^\W\d_]{1,6}\b)?"
)
_TIME = re.compile(r"(\d{1,2})(?::(\d{2}))?(?::(\d{2}))?\s?([ap])?", re.IGNORECASE)
_HALF = re.compile(r"\d{1,2}\s?[ap]\.?m\.?")
_DIGITS = re.compile(r"[\d,]*(?:\.\d+)?")
_MONEY = "$\u00a3\u20ac\u00a5\u20b9"
# Alone they often count nothing: "which one", "at first", "in a second".
WEAK = frozenset(("one", "first", "second"))
# The unit of a number that is a name: "4x", "3d", a very long one. It equals the same letters alone.
LABEL = "label"
# Digits of the longest number that is compared by value; a longer one is a name.
LONGEST = 15
# Letters of the shortest multiplier that is a word of its own.
SHORTEST_MULTIPLIER = 3


class Amount(NamedTuple):
    """unit: its type; empty for a bare number. text: its value in the type's own unit."""

    unit: str
    text: str


def parse(piece: str) -> list[Amount]:
    """The numbers of one match of PATTERN. A date is three."""
    piece = piece.casefold()
    if piece[0] in _MONEY:
        return [_money(piece)]
    if ":" in piece or _HALF.fullmatch(piece):
        return [_clock(piece)]
    if piece.count("-") > 1:  # an ISO date: nothing else in PATTERN has two
        return [Amount("", text(float(part))) for part in piece.split("-")]
    if piece.count(".") > 1:
        return [Amount("version", piece.removeprefix("v"))]
    return [_plain(piece)]


def _plain(piece: str) -> Amount:
    found = _DIGITS.match(piece)
    number = found[0] if found else ""
    behind = piece[len(number) :].strip()
    if not number or len(number) > LONGEST:
        return Amount(LABEL, piece)
    value = float(number.replace(",", ""))
    if behind in ("", "st", "nd", "rd", "th"):
        return Amount("", text(value))
    if behind in units().dimensions:
        return typed(value, behind)
    if behind in units().times:
        return Amount("", text(value * units().times[behind]))
    return Amount(LABEL, piece)


def typed(value: float, unit: str) -> Amount:
    dimension, factor = units().dimensions[unit]
    return Amount(dimension, text(value * factor))


def is_unit(word: str) -> bool:
    return word in units().dimensions


def multiplier(word: str) -> float | None:
    """What a word of its own multiplies the number before it by; "k" and "m" stand at the digits."""
    return units().times.get(word) if len(word) >= SHORTEST_MULTIPLIER else None


def spelled(words: Sequence[str]) -> tuple[float, int] | None:
    """The number that begins here in words, and how many words it takes: "two hundred and five"."""
    counts, total, part, used = units().counts, 0.0, 0.0, 0
    for at, word in enumerate(words):
        if word in counts:
            part += counts[word]
        elif used and word in ("hundred", "dozen"):
            part *= units().times[word]
        elif used and (times := multiplier(word)):
            total, part = total + part * times, 0.0
        elif not (used and word == "and" and words[at - 1] in units().times and words[at + 1 : at + 2]):
            break
        used = at + 1
    if used and words[used - 1] == "and":
        used -= 1
    return (total + part, used) if used else None


def _money(piece: str) -> Amount:
    rest = piece[1:].strip()
    found = _DIGITS.match(rest)
    number = found[0] if found else ""
    if len(number) > LONGEST:
        return Amount(LABEL, piece)
    return typed(float(number.replace(",", "") or 0) * units().times.get(rest[len(number) :].strip(), 1.0), piece[0])


def _clock(piece: str) -> Amount:
    found = _TIME.match(piece)
    if found is None:
        return Amount(LABEL, piece)
    hour, minute, second, half = float(found[1]), float(found[2] or 0), float(found[3] or 0), found[4]
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    return Amount("clock", text(60 * hour + minute + second / 60))


def clock(word: str) -> Amount | None:
    """Noon and midnight."""
    minutes = units().clock.get(word)
    return None if minutes is None else Amount("clock", text(minutes))


@lru_cache(maxsize=1)
def counting() -> frozenset[str]:
    """The words that a number in words, or a time of day, may begin with."""
    return frozenset((*units().counts, *units().clock))


def text(value: float) -> str:
    return f"{value:.{LONGEST}g}"


@dataclass(frozen=True, slots=True)
class Units:
    """dimensions: a unit's dimension, and how much of the dimension's own unit it is. times: "thousand" and "k".
    counts: numbers in words. clock: minutes since midnight."""

    dimensions: dict[str, tuple[str, float]]
    times: dict[str, float]
    counts: dict[str, float]
    clock: dict[str, float]


@lru_cache(maxsize=1)
def units() -> Units:
    """What `data/units.txt` says."""
    lists: dict[str, dict[str, float]] = {"times": {}, "counts": {}, "clock": {}}
    dimensions: dict[str, tuple[str, float]] = {}
    for line in lines("units.txt"):
        name, parts = line.split(":", 1)
        for part in parts.split("|"):
            factor, *words = part.split()
            if name in lists:
                lists[name] |= dict.fromkeys(words, float(factor))
            else:
                dimensions |= dict.fromkeys(words, (name, float(factor)))
    return Units(dimensions, **lists)
