"""BERT's normaliser and pre-tokeniser: a text as words, in lower case, without accents.

Control characters go, every kind of blank ends a word, and each punctuation mark and Chinese character is a word by
itself. `data/characters.json` says so for every character, made by `training/bert_characters.py` from the `tokenizers`
package. Python's `unicodedata` is asked only for what Unicode never changes: with its releases vectors would change.
"""

from __future__ import annotations

import json
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import groupby
from typing import Any

from subsecond.semantic.embedders.support.pinned import DATA, pinned

FILE = "characters.json"
SHA256 = "c65be0b31ca02717a4603c35a75e9cc6de67fbb275f4e4790f56e1401fff4ce6"

HANGUL = range(0xAC00, 0xD7A4)
# Characters remembered, about 2 MB: as many as the longest text has that is embedded.
REMEMBERED = 8192


class Characters:
    def __init__(self, table: Mapping[str, Any]) -> None:
        self._written: Mapping[str, str] = table["written"]
        runs = sorted((*run, kind) for kind in ("removed", "blank", "alone") for run in table[kind])
        self._firsts = [first for first, _, _ in runs]
        self._runs = runs
        self._classes = {mark: int(position) for position, marks in table["classes"].items() for mark in marks}
        whole = {char for char, text in self._written.items() if not self._classes.keys().isdisjoint(text)}
        # What has such a mark in it.
        self._marked = self._classes.keys() | whole
        self.written = lru_cache(REMEMBERED)(self._look_up)

    def words(self, text: str) -> list[str]:
        if self._marked.isdisjoint(text):
            return "".join(map(self.written, text)).split()
        return "".join([self.written(char) for char, _ in self._sorted(text)]).split()

    def positions(self, text: str) -> list[tuple[int, int]]:
        """The span of each word in the text: from its first to behind its last character that was not taken out."""
        found: list[tuple[int, int]] = []
        begin, end = 0, 0
        for char, position in _with_positions(text) if self._marked.isdisjoint(text) else self._sorted(text):
            for letter in self.written(char):
                if letter != " ":
                    begin, end = begin if end else position, position + 1
                elif end:
                    found.append((begin, end))
                    end = 0
        return [*found, (begin, end)] if end else found

    def _look_up(self, char: str) -> str:
        """The text that replaces a character: nothing, itself, other letters; with blanks around what is a word by
        itself."""
        text = self._written.get(char)
        if text is not None:
            return text
        code = ord(char)
        if code in HANGUL:
            return unicodedata.normalize("NFD", char)
        _, last, kind = self._runs[bisect_right(self._firsts, code) - 1]
        if code > last:
            return char
        return {"removed": "", "blank": " ", "alone": f" {char} "}[kind]

    def _sorted(self, text: str) -> Iterable[tuple[str, int]]:
        """The characters, decomposed, with their marks in the order of their classes. Only a few marks that stay in the
        words make it needed, and control characters between them are taken out before."""
        sources = [(char, position) for char, position in _with_positions(text) if not self._is_control(char)]
        parts = [(self._class(part), part, at == 0) for char, _ in sources for at, part in enumerate(self._parts(char))]
        positions = iter(position for _, position in sources)
        position = 0
        for is_mark, run in groupby(parts, lambda part: part[0] > 0):
            for _, part, is_first in sorted(run, key=lambda part: part[0]) if is_mark else run:
                # The first part of each character takes the next position, wherever it stands now.
                position = next(positions) if is_first else position
                yield part, position

    def _is_control(self, char: str) -> bool:
        return not self.written(char) and not unicodedata.category(char).startswith("M")

    def _parts(self, char: str) -> str:
        """Its canonical decomposition, where the normaliser knows it."""
        parts = unicodedata.normalize("NFD", char)
        return parts if "".join(map(self.written, parts)) == self.written(char) else char

    def _class(self, part: str) -> int:
        """The canonical combining class. Of the marks that stay, newer ones count as letters."""
        return self._classes.get(part, 0) if self.written(part) else unicodedata.combining(part)


def _with_positions(text: str) -> Iterable[tuple[str, int]]:
    return zip(text, range(len(text)), strict=True)


def load() -> Characters:
    """Raises Unavailable when the table is not the pinned one."""
    return Characters(json.loads(pinned(DATA / FILE, SHA256)))
