"""BERT's uncased WordPiece in plain Python: gives the pieces of the `tokenizers` package, without its 30 MB.

A test compares them character by character and on any text. This one is ready in 12 ms of CPU (that package: 40) and
takes 3 to 5 µs a question (20), because questions repeat their words; 10 µs where none is repeated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from subsecond.semantic.embedders.support import characters
from subsecond.semantic.embedders.support.characters import Characters
from subsecond.semantic.embedders.support.pinned import DATA, pinned

# The vocabulary of bert-base-uncased, which all-MiniLM-L6-v2 uses unchanged.
VOCABULARY = "vocabulary.txt"
SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
UNKNOWN, FIRST, LAST = 100, 101, 102
# Characters of the longest word that is spelled; a longer one is unknown.
LONGEST_WORD = 100
# Chunks between blanks, as written: at least so many of the last are remembered, at most twice as many (5 MB), and none
# that is longer.
REMEMBERED, LONGEST_REMEMBERED = 8192, 40

_PLAIN_WORDS = re.compile(r"[0-9a-z]+|[^0-9a-z]")


class Spelled(NamedTuple):
    """rows: of the pieces in the vocabulary, UNKNOWN for each word that it cannot spell. unknown: those words."""

    rows: tuple[int, ...]
    unknown: tuple[str, ...] = ()


class WordPiece:
    """Used from any thread: at worst two learn the same word."""

    def __init__(self, rows: Mapping[str, int], table: Characters) -> None:
        # A word's first piece, and the others: no word begins with "#", which is a word by itself.
        self._heads = rows
        self._tails = {piece[2:]: row for piece, row in rows.items() if piece.startswith("##")}
        self._longest = max(map(len, rows))
        # How long a later piece with these two letters in front can be: keeps a word that cannot be spelled cheap.
        self._reach: dict[str, int] = {}
        for piece in self._tails:
            self._reach[piece[:2]] = max(len(piece), self._reach.get(piece[:2], 1))
        self._characters = table
        self._recent: dict[str, Spelled] = {}
        self._older: dict[str, Spelled] = {}

    def spell(self, text: str) -> Spelled:
        """Lower case, accents off, Chinese characters one by one, longest pieces first. No special pieces are added."""
        rows: list[int] = []
        unknown: list[str] = []
        # A blank ends a word whatever stands around it.
        for chunk in text.replace("\n", " ").split(" "):
            spelled = self._recent.get(chunk) or self._learn(chunk)
            rows += spelled.rows
            if spelled.unknown:
                unknown += spelled.unknown
        return Spelled(tuple(rows), tuple(unknown))

    def _learn(self, chunk: str) -> Spelled:
        spelled = self._older.get(chunk) or self._spell(chunk)
        if len(chunk) <= LONGEST_REMEMBERED:
            if len(self._recent) >= REMEMBERED:
                self._older, self._recent = self._recent, {}
            self._recent[chunk] = spelled
        return spelled

    def _spell(self, chunk: str) -> Spelled:
        plain = chunk.isascii() and chunk.isprintable()
        if plain and chunk.isalnum() and (row := self._heads.get(chunk.lower())) is not None:
            return Spelled((row,))
        words = _PLAIN_WORDS.findall(chunk.lower()) if plain else self._characters.words(chunk)
        rows: list[int] = []
        strange: list[int] = []
        for at, word in enumerate(words):
            pieces = self._pieces(word)
            rows += pieces or (UNKNOWN,)
            if not pieces:
                strange.append(at)
        if plain or not strange:
            return Spelled(tuple(rows), tuple(words[at] for at in strange))
        positions = self._characters.positions(chunk)
        return Spelled(tuple(rows), tuple(chunk[positions[at][0] : positions[at][1]].lower() for at in strange))

    def _pieces(self, word: str) -> Sequence[int]:
        """The rows of a word's pieces; none for a word that cannot be spelled."""
        row = self._heads.get(word)
        if row is not None:
            return (row,)
        length = len(word)
        if length > LONGEST_WORD:
            return ()
        pieces: list[int] = []
        begin, known, longest = 0, self._heads, self._longest
        while begin < length:
            for end in range(min(length, begin + longest), begin, -1):
                row = known.get(word[begin:end])
                if row is not None:
                    break
            else:
                return ()
            pieces.append(row)
            begin, known = end, self._tails
            longest = self._reach.get(word[begin : begin + 2], 1)
        return pieces


@lru_cache(1)
def load() -> WordPiece:
    """The one of this process: embedders and guards spell with it, and it takes 6 MB. Raises Unavailable when the
    vocabulary, or the table of characters, is not the pinned one."""
    pieces = pinned(DATA / VOCABULARY, SHA256).decode().splitlines()
    return WordPiece({piece: row for row, piece in enumerate(pieces)}, characters.load())
