"""Filler words and long-winded phrases in instructions, by a table for each language (`data/wording.*.json`).

Only on prose lines of system and developer messages, outside quotes, inline code and names in braces, at word
boundaries, and only where the text's own little words say which language it is. What it removes carries no
instruction; it is a matter of taste all the same, and so a level that one has to ask for.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from subsecond.optimiser.protect import PROSE, kinds

FOLDER = Path(__file__).parent / "data"
LANGUAGES = ("en", "de", "fr", "es")
# A language is known by this many of its little words, and twice as many as of any other.
KNOWN_BY = 4
# A line that still changes after so many passes was made to; it stays as it is.
MOST_PASSES = 6

# Spans of a line that keep their wording. Each alternative ends at its own mark or fails there: one pass.
_KEPT = re.compile(
    r'"[^"]*"|“[^“”]*”|„[^„“]*“|«[^«»]*»|`[^`]*`|(?<!\w)\'[^\']*\'(?!\w)|\{[^{}]*\}|<[^<>]*>|\[[^\[\]]*\]|(?<![a-z])[a-z]{1,12}://\S+'
)
_MARKED = re.compile(r"[\"“„«`'{<\[]|://")
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Wording:
    """One language's table. `short` maps a phrase in lower case to what says the same; "" removes it."""

    words: frozenset[str]
    short: dict[str, str]
    pattern: re.Pattern[str]


@cache
def wordings() -> dict[str, Wording]:
    found = {}
    for language in LANGUAGES:
        table = json.loads((FOLDER / f"wording.{language}.json").read_text(encoding="utf-8"))
        short = {**dict.fromkeys(table["remove"], ""), **table["replace"]}
        # Longest first, so that no phrase hides a longer one. What is removed takes the space or comma behind it along.
        phrases = "|".join(map(re.escape, sorted(short, key=lambda phrase: (-len(phrase), phrase))))
        pattern = re.compile(rf"(?<![\w'\u2019-])({phrases})(?![\w'\u2019-])(,? )?", re.IGNORECASE)
        found[language] = Wording(frozenset(table["words"]), short, pattern)
    return found


def language_of(text: str) -> str | None:
    words = set(map(str.lower, _WORD.findall(text)))
    scores = sorted(((len(words & wording.words), name) for name, wording in wordings().items()), reverse=True)
    (best, name), (second, _) = scores[:2]
    return name if best >= KNOWN_BY and best >= 2 * second else None


def shortened(text: str) -> tuple[str, int]:
    """The text in fewer words, and how many phrases changed."""
    if not (language := language_of(text)):
        return text, 0
    wording = wordings()[language]
    lines = text.split("\n")
    edits = 0
    for at, kind in enumerate(kinds(lines)):
        if kind == PROSE:
            lines[at], changed = _line(lines[at], wording)
            edits += changed
    return "\n".join(lines), edits


def _line(line: str, wording: Wording) -> tuple[str, int]:
    new, edits = line, 0
    for _ in range(MOST_PASSES):
        again, changed = _pass(new, wording)
        if not changed:
            # What would now be read as something else than prose stays as it was.
            return (new, edits) if edits and len(new) < len(line) and kinds([new]) == [PROSE] else (line, 0)
        new, edits = again, edits + changed
    return line, 0


def _pass(line: str, wording: Wording) -> tuple[str, int]:
    count = 0

    def short(found: re.Match[str]) -> str:
        nonlocal count
        phrase, behind = found[1], found[2] or ""
        new = wording.short[phrase.lower()]
        if not new and not behind.endswith(" "):
            return found[0]  # at a line's or sentence's end it is no filler
        count += 1
        return _cased(new, phrase) + behind if new else _UPPER if phrase[0].isupper() else ""

    new = "".join(piece if kept else wording.pattern.sub(short, piece) for piece, kept in _spans(line))
    return _recased(new), count


# Stands for "the next letter is a capital": a private-use character, taken out again by `_recased`.
_UPPER = "\ue0c5"


def _cased(new: str, old: str) -> str:
    return new[0].upper() + new[1:] if old[0].isupper() else new


def _recased(line: str) -> str:
    first, *rest = line.split(_UPPER)
    return first + "".join(piece[:1].upper() + piece[1:] for piece in rest)


def _spans(line: str) -> list[tuple[str, bool]]:
    """The line in pieces: those to keep are marked True."""
    if _UPPER in line:
        return [(line, True)]
    if not _MARKED.search(line):
        return [(line, False)]
    pieces, at = [], 0
    for found in _KEPT.finditer(line):
        pieces += [(line[at : found.start()], False), (found[0], True)]
        at = found.end()
    return [*pieces, (line[at:], False)]
