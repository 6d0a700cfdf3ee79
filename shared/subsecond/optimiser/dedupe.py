"""Removes long verbatim repeats of context; the first stays.

Only in system and developer messages: what a user or a tool says twice may be said twice on purpose, and a file that an
agent reads again is not the same file. What goes is whole: a paragraph, a fenced block, an element, a passage.
"""

from __future__ import annotations

from collections.abc import Iterable

from subsecond.optimiser.passages import Span, context_regions, cut_out, passages_of
from subsecond.optimiser.protect import paragraphs

# Shorter repeats may be a form's parts ("Answer in one word.").
LONG = 120


def may_hold_repeats(texts: Iterable[str]) -> bool:
    """Whether enough lines come again that a paragraph could. Quicker than to look for the paragraphs."""
    lines = [line for text in texts for line in map(str.strip, text.split("\n"))]
    return sum(map(len, lines)) - sum(map(len, set(lines))) >= LONG // 2


class Dedupe:
    """Remembers what it has seen, over the messages of one call."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, text: str) -> tuple[str, int]:
        """The text without what was seen before, and how many pieces that were."""
        if len(text) < LONG:
            return text, 0
        spans = sorted([*passages_of(text), *_outside(text)])
        repeats = [(start, end) for start, end in spans if self._again(text[start:end].strip())]
        return cut_out(text, repeats), len(repeats)

    def _again(self, piece: str) -> bool:
        if len(piece) < LONG:
            return False
        if piece in self._seen:
            return True
        self._seen.add(piece)
        return False


def _outside(text: str) -> list[Span]:
    """The paragraphs around the context."""
    found, at = [], 0
    for start, end in [*context_regions(text), (len(text), len(text))]:
        found += [(at + one, at + two) for one, two in paragraphs(text[at:start])]
        at = end
    return found
