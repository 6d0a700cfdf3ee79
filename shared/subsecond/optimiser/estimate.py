"""Estimates a text's tokens without the tokenizer: each piece of it costs what pieces of its kind and length cost.

The pieces are those into which the GPT-4o tokenizer (o200k) cuts a text before it looks into its vocabulary. The tables
in `data/tokens.json` hold mean tokens by class and length, fitted by `training/fit_tokens.py`; docs/optimiser.md has
their errors on text that the fit has not seen.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from operator import mul
from pathlib import Path
from typing import TypedDict

TABLES = Path(__file__).parent / "data" / "tokens.json"
WORDS = Path(__file__).parent / "data" / "words.txt.gz"
# Chinese characters that are a token of their own in o200k.
HAN = Path(__file__).parent / "data" / "han.txt"
# A longer chunk is not remembered, because it is no word that comes again: a line of Chinese, base64. A link comes
# again when the paragraph around it is counted by itself.
LONGEST_WORD = 400
# Bytes of remembered words; beyond, the memory is emptied. Each word takes its characters and so much for its entry.
MOST_BYTES, BYTES_PER_WORD = 10_000_000, 150

# What may stand before a word and is cut off with it: a space or one sign.
_SIGN = r"!-/:-@\[-`{-~"


@cache
def _piece() -> re.Pattern[str]:
    """The tokenizer's own cut (o200k), letters told apart by script. Each alternative repeats one class, once: no input
    makes it backtrack over more than one character."""
    return re.compile(
        rf"(?P<low>[ {_SIGN}]?[a-z]+(?:'(?:[sdmt]|ll|ve|re)\b)?)"
        rf"|(?P<cap>[ {_SIGN}]?[A-Z]+(?:[a-z]+(?:'(?:[sdmt]|ll|ve|re)\b)?)?)"
        r"|(?P<num>[0-9]{1,3})"
        rf"|(?P<rule> ?(?P<rep>[{_SIGN}])(?P=rep){{3,}})"
        rf"|(?P<sym> ?[{_SIGN}]+)"
        rf"|(?P<han>[{HAN.read_text(encoding='utf-8').strip()}]+)"
        r"|(?P<rare>[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+)"
        r"|(?P<kana>[\u3040-\u30ff\u31f0-\u31ff]+)"
        r"|(?P<hangul> ?[\u1100-\u11ff\uac00-\ud7af]+)"
        r"|(?P<cyr> ?[\u0400-\u052f]+)"
        r"|(?P<greek> ?[\u0370-\u03ff]+)"
        r"|(?P<arab> ?[\u0600-\u06ff]+)"
        r"|(?P<lat>[a-zA-Z]?[\u00c0-\u024f]+[a-z]*)"
        r"|(?P<wide>[\u2000-\u206f\u3000-\u303f\uff00-\uffef]+)"
        r"|(?P<alpha> ?[^\W\d_]+)"
        r"|(?P<space> )"
        r"|(?P<else>.)",
        re.DOTALL,
    )


def pieces(chunk: str) -> Iterator[tuple[str, str]]:
    """Class and text of each piece of a chunk without white space, with the space before it. A `*` marks known ones."""
    known = words()
    for found in _piece().finditer(" " + chunk):
        text = found.group()
        name = found.lastgroup or "else"
        if name in ("han", "kana") and len(text) > 1:
            yield from _characters(name, text, known)
        else:
            yield (name + "*" if text in known else name), text


def _characters(name: str, run: str, known: frozenset[str]) -> Iterator[tuple[str, str]]:
    """A run of Chinese or Japanese in known words, the longest first, and single characters."""
    at = 0
    while at < len(run):
        size = next((size for size in (4, 3, 2) if run[at : at + size] in known), 1)
        yield (name + "*" if size > 1 else name), run[at : at + size]
        at += size


@cache
def words() -> frozenset[str]:
    """Pieces that are one token each in o200k: English words, names of code and signs among its first 60,000 tokens;
    Chinese and Japanese words among all."""
    return frozenset(gzip.decompress(WORDS.read_bytes()).decode("utf-8").split("\n"))


def gaps(text: str) -> tuple[int, ...]:
    """What is between the words, counted: line ends, empty lines, indented lines, tabs, wide gaps, sentences' ends."""
    return (
        text.count("\n"),
        text.count("\n\n"),
        text.count("\n "),
        text.count("\t"),
        text.count("    "),
        text.count(".\n"),
    )


class Table(TypedDict):
    """One tokenizer's fit. pieces: mean tokens by class, and by length from 1 on. gaps: tokens of each kind of
    `gaps`."""

    pieces: dict[str, list[float]]
    gaps: list[float]


class Estimator:
    """Counts with one table. The cost of a word that was seen before is a look-up."""

    exact = False

    def __init__(self, table: Table, name: str = "") -> None:
        self.name = f"{name} estimate"
        self._words = _Words(table["pieces"])
        self._gaps = table["gaps"]

    def count(self, text: str) -> int:
        words = text.split()
        if len(words) * 64 < len(text):
            # Text without spaces: its chunks do not come again.
            total = sum(map(self._words.cost, words))
        else:
            total = sum(map(self._words.__getitem__, words))
            self._words.bound()
        if "\n" in text or "\t" in text or "    " in text:
            total += sum(map(mul, self._gaps, gaps(text)))
        return max(1, round(total)) if text else 0


class _Words(dict[str, float]):
    """Tokens of each word seen."""

    def __init__(self, costs: Mapping[str, list[float]]) -> None:
        super().__init__()
        self._costs = costs
        self._bytes = 0

    def __missing__(self, word: str) -> float:
        cost = self.cost(word)
        if len(word) <= LONGEST_WORD:
            self[word] = cost
            self._bytes += BYTES_PER_WORD + len(word)
        return cost

    def bound(self) -> None:
        if self._bytes > MOST_BYTES:
            self.clear()
            self._bytes = 0

    def cost(self, word: str) -> float:
        total = 0.0
        for name, piece in pieces(word):
            row = self._costs.get(name) or self._costs["else"]
            length = len(piece)
            total += row[length - 1] if length <= len(row) else row[-1] * length / len(row)
        return total


@cache
def tables() -> dict[str, Table]:
    """All fitted tables, by the tokenizer's name."""
    loaded: dict[str, Table] = json.loads(TABLES.read_text(encoding="utf-8"))
    return loaded
