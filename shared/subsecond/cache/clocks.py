"""Finds the time of asking in a system text: it makes every request another one, and no cache ever hits.

A time is the time of asking where it equals the request's arrival in some time zone, and where it is told apart from
times that are content: opening hours, a deadline, a line of a log. An exact instant (with a zone, or as a count of
seconds) needs no more. With today's date it must have seconds, an odd minute, or a word like "now" before it. Alone it
needs such a word, and no other time beside it. Only the time of day is masked: dates stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from subsecond.cache.system_text import EARLY, LATE, MASKED, may_have_clock
from subsecond.dialects.lookup import dialect_of
from subsecond.model import Endpoint

# Characters of a text that are read at its beginning and at its end, where templates put the time.
LONGEST = 8_000
MASK = "\N{WATCH}"

_HOUR, _DAY = 3_600, 86_400
# Of all zones in use: whole hours, and those beside.
_OFFSETS = (*range(-12 * _HOUR, 15 * _HOUR, _HOUR), *(int(hours * _HOUR) for hours in (-9.5, -3.5, -2.5, 3.5, 4.5)))
_ZONES = (*_OFFSETS, *(int(hours * _HOUR) for hours in (5.5, 5.75, 6.5, 8.75, 9.5, 10.5, 12.75)))
_TIME = re.compile(r"(?<![\d:.])(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,]\d{1,9})?)?(?![\d:])(?:\s?([AaPp])\.?[Mm]\b\.?)?")
_EPOCH = re.compile(r"(?<![\w.-])(\d{10})(\d{3})?(?:\.\d{1,9})?(?![\w-])")
_ZONE = re.compile(r" ?(?:(Z\b|UTC|GMT)(?![\w+-])|(?:UTC|GMT)?([+-])(\d\d):?(\d\d)?(?!\d))")
_GAP = r"(?:T|_|,? ?(?:at|um|à|a las|alle|om|kl\.?)? ?)$"
_DATES = tuple(
    re.compile(date + _GAP)
    for date in (
        r"(?<!\d)(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})",
        r"(?<!\d)(?P<d>\d{1,2})[-/.] ?(?P<m>\d{1,2})[-/.] ?(?P<y>\d{4})",
        r"(?<!\d)(?P<d>\d{1,2})(?:st|nd|rd|th|\.)?(?: de| of)? (?P<month>[^\W\d_]{3,10})\.?(?: de)?,? (?P<y>\d{4})",
        r"(?P<month>[^\W\d_]{3,10})\.? (?P<d>\d{1,2})(?:st|nd|rd|th)?(?:,? (?P<y>\d{4}))?",
    )
)
# How months begin in six languages. French June and July begin alike.
_MONTHS = (
    *(("jan", "ene"), ("feb", "fév", "fev"), ("mar", "mär"), ("apr", "abr", "avr"), ("may", "mai"), ("jun", "jui")),
    *(("jul", "jui"), ("aug", "ago", "aoû", "aou"), ("sep",), ("oct", "okt", "out"), ("nov",)),
    ("dec", "dez", "dic", "déc"),
)
_CUE = re.compile(
    r"\b(?:it is|it's|now|current(?:ly)?|present|time is|local time|timestamp|clock|as of|generated|today(?:'s)?|date|"
    r"datetime|jetzt|aktuelle?r?|uhrzeit|heute|ahora|actual|hoy|maintenant|actuelle|aujourd'hui|adesso|attuale|agora|atual)\b",
    re.IGNORECASE,
)
_BARE_CUE = re.compile(
    r"\b(?:now|current(?:ly)?|present time|time is|local time|clock|jetzt|aktuelle?r?|uhrzeit|ahora|actual|maintenant|"
    r"actuelle|adesso|attuale|agora|atual)\b[^.;!?\n]{0,25}$",
    re.IGNORECASE,
)
# What may stand before a date that a line begins with: a day of the week, in full or short.
_HEAD = re.compile(r"[\W\d_]*(?:[^\W\d_]*(?:day|tag)|[^\W\d_]{2,3})?[\W\d_]*")
# A time that begins or ends a span of time.
_SPAN_BEFORE = re.compile(
    r"(?:\d|[AaPp]\.?[Mm]\.?)\s?(?:-|–|—|to|till|until|bis|and)\s?$|"  # noqa: RUF001 -- the dashes of such spans
    r"\b(?:from|between|until|till|by|before|after|opens|closes|starts|ends|bis|von|ab|vor|nach|hasta|desde|depuis|"
    r"jusqu'à)(?: at| um)?\s$",
    re.IGNORECASE,
)
_SPAN_AFTER = re.compile(r"\s?(?:[AaPp]\.?[Mm]\.?)?\s?(?:-|–|—|to|till|until|bis)\s?\d", re.IGNORECASE)  # noqa: RUF001
# Characters before a time that are read for its date and its word; times of a text that are looked at.
_BEFORE, _MOST = 48, 64


@dataclass(frozen=True, slots=True)
class Clock:
    """Where a time of asking stands: in which part of the body, and from which character to which."""

    where: str
    start: int
    end: int
    # `beginning`, `middle` or `end` of its text.
    place: str


def clocks_in(endpoint: Endpoint, body: Mapping[str, Any], arrival: float) -> list[Clock]:
    """Those of the system texts. arrival: epoch seconds. Texts in parts are counted each from its own beginning."""
    found = []
    for where, text in dialect_of(endpoint).system_texts(body):
        for start, end in spans(text, arrival):
            found.append(Clock(where, start, end, _place(start, len(text) - end, len(text))))
    return found


def _place(before: int, after: int, whole: int) -> str:
    if min(before, after) > whole / 3:
        return "middle"
    return "beginning" if before <= after else "end"


def without_clocks(endpoint: Endpoint, body: dict[str, Any], arrival: float) -> dict[str, Any]:
    """The body with these times masked; itself where there are none."""
    count = len(clocks_in(endpoint, body, arrival))
    if not count:
        return body
    masked = dialect_of(endpoint).with_system_texts(body, lambda text: _mask(text, arrival))
    # Counted: a text that has the mask in it is another one.
    return {**masked, MASKED: count}


def _mask(text: str, arrival: float) -> str:
    for start, end in reversed(spans(text, arrival)):
        text = f"{text[:start]}{MASK}{text[end:]}"
    return text


def spans(text: str, arrival: float) -> list[tuple[int, int]]:
    """From where to where the times of asking stand, in order."""
    if len(text) > 2 * LONGEST:
        first, shift = text[:LONGEST], len(text) - LONGEST
        last = [(start + shift, end + shift) for start, end in spans(text[shift:], arrival)]
        return spans(first, arrival) + last
    if not may_have_clock(text, arrival):
        return []
    found = [one.span() for one in islice(_TIME.finditer(text), _MOST) if _is_now(text, one, arrival)]
    numbers = islice(_EPOCH.finditer(text), _MOST)
    found += [one.span() for one in numbers if -EARLY <= arrival - int(one[1]) <= LATE]
    return sorted(found)


def _is_now(text: str, match: re.Match[str], arrival: float) -> bool:
    hour, minute, second, half = match.groups()
    clock = (int(hour) % 12 + (12 if half in "Pp" else 0) if half else int(hour)) * _HOUR + int(minute) * 60
    clock += int(second or 0)
    if clock >= _DAY:
        return False
    before = text[max(0, match.start() - _BEFORE) : match.start()]
    zone = _ZONE.match(text, match.end())
    dated = _dated(before)
    late, days = (LATE if second else LATE + 59), (dated.days if dated else None)
    offsets = (_offset(zone),) if zone else _ZONES
    if not any(_fits(arrival + offset, clock, late, days) for offset in offsets):
        return False
    return bool(zone) or _is_told_apart(text, match, before, dated)


def _fits(local: float, clock: int, late: float, days: list[tuple[int | None, int, int]] | None) -> bool:
    """Whether the time of day, on one of these dates where there are any, is the local time."""
    ago = (local - clock + _DAY / 2) % _DAY - _DAY / 2
    if not -EARLY <= ago <= late:
        return False
    day = datetime.fromtimestamp(local - ago, UTC)
    return days is None or any(
        (month, date) == (day.month, day.day) and year in (None, day.year) for year, month, date in days
    )


def _is_told_apart(text: str, match: re.Match[str], before: str, dated: _Dated | None) -> bool:
    """Whether a time without a zone is no content."""
    if _SPAN_BEFORE.search(before) or _SPAN_AFTER.match(text, match.end()):
        return False
    line = before.rpartition("\n")[2]
    if dated is None:
        return _BARE_CUE.search(line) is not None
    if match[3] or int(match[2]) % 5:
        return True
    return _CUE.search(line) is not None or _HEAD.fullmatch(dated.before) is not None


def _offset(zone: re.Match[str]) -> int:
    if zone[1]:
        return 0
    seconds = int(zone[3]) * _HOUR + int(zone[4] or 0) * 60
    return -seconds if zone[2] == "-" else seconds


@dataclass(frozen=True, slots=True)
class _Dated:
    """days: what the date may say: year, month, day. before: what stands before it on its line."""

    days: list[tuple[int | None, int, int]]
    before: str


def _dated(before: str) -> _Dated | None:
    """The date that stands before a time."""
    for pattern in _DATES:
        if not (match := pattern.search(before)):
            continue
        parts = match.groupdict()
        year, day = int(parts["y"]) if parts["y"] else None, int(parts["d"])
        if "month" in parts:
            days = [(year, month, day) for month in _months(parts["month"])]
        else:
            month = int(parts["m"])
            days = [(year, month, day), (year, day, month)]
        if days:
            return _Dated(days, before[: match.start()].rpartition("\n")[2])
    return None


def _months(word: str) -> list[int]:
    return [number for number, names in enumerate(_MONTHS, 1) if word.casefold().startswith(names)]
