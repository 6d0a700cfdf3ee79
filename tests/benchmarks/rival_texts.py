"""What both sides are asked: questions made by the project's templates, and rows from files."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import normalize

from subsecond.semantic.embedders.support.pinned import DATA, pinned
from subsecond.semantic.embedders.support.wordpiece import SHA256, VOCABULARY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TEMPLATES = Path(__file__).parents[2] / "training" / "templates.txt"
# The templates' slots for a word; those with a slot for half a sentence are left out.
WORD = re.compile(r"{[NVAP]}")
SLOTS = re.compile(r"{[NVAPD]}")
SHORTEST = 3
SEED = 3
OUT_OF_SCOPE = "oos"
# How the same thing is asked again: begun in other words where it can be, else with words around it.
REWORDED = (
    ("how do i ", "how can i "),
    ("how can i ", "how do i "),
    ("how do you ", "how does one "),
    ("how to ", "how do i "),
    ("how should i ", "how shall i "),
    ("what is ", "what's "),
    ("what are ", "which are "),
    ("can i ", "am i able to "),
    ("i want to ", "i'd like to "),
)
WRAPPED = ("please tell me {}", "hi, {}", "{} thanks", "i would like to know {}", "{} please", "can you tell me {}")


@dataclass(frozen=True, slots=True)
class Row:
    """`answer`: what a right reply to `asked` is."""

    asked: str
    answer: str


def made(rows: int, asks: int, words: int | None = None) -> tuple[list[str], list[str]]:
    """`rows` different questions, and `asks` of them in other words; the same every time. `words`: from so many words,
    so that the questions are alike; from all of the embedder's vocabulary by default."""
    draw = random.Random(SEED)
    drawn = _vocabulary()
    drawn = draw.sample(drawn, words) if words else drawn
    lines = TEMPLATES.read_text().splitlines()
    templates = [line for line in lines if WORD.search(line) and "{" not in SLOTS.sub("", line)]
    stored: dict[str, None] = {}
    while len(stored) < rows:
        stored[SLOTS.sub(lambda slot: _filled(slot[0], drawn, draw), draw.choice(templates))] = None
    questions = list(stored)
    return questions, [_again(question, draw) for question in draw.choices(questions, k=asks)]


def _again(question: str, draw: random.Random) -> str:
    for begun, other in REWORDED:
        if question.startswith(begun):
            return other + question.removeprefix(begun)
    return draw.choice(WRAPPED).format(question)


def _vocabulary() -> list[str]:
    pieces = pinned(DATA / VOCABULARY, SHA256).decode().splitlines()
    return sorted(piece for piece in pieces if piece.isascii() and piece.isalpha() and len(piece) >= SHORTEST)


def _filled(slot: str, words: Sequence[str], draw: random.Random) -> str:
    return str(draw.randint(2, 100)) if slot == "{D}" else draw.choice(words)


def pairs(path: Path) -> tuple[list[str], list[Row]]:
    """Rows `query_a, query_b, label`: what is stored, its own text being the answer, and what is asked."""
    read = list(_read(path))
    asked = [Row(_plain(row["query_b"]), _plain(row["query_a"]) if row["label"] else OUT_OF_SCOPE) for row in read]
    return list(dict.fromkeys(_plain(row["query_a"]) for row in read)), asked


def stream(path: Path, limit: int) -> list[Row]:
    """Rows `query, intent`, in order; the intent is the answer."""
    return [Row(_plain(row["query"]), row["intent"]) for row in _read(path)][:limit]


def _read(path: Path) -> Iterator[dict[str, str]]:
    for line in path.read_text().splitlines():
        if line.strip():
            yield json.loads(line)


def _plain(text: str) -> str:
    """As a gateway compares texts, so that both sides look the same text up."""
    return normalize("NFC", text).strip()
