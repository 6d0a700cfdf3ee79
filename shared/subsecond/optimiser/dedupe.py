"""Long verbatim repeats of context: the first stays.

Only in system and developer messages: what a user or a tool says twice may be said twice on purpose, and a file that an
agent reads again is not the same file. What goes is whole: a paragraph, a fenced block, an element, a passage.
"""

from __future__ import annotations

from collections.abc import Iterable

from subsecond.optimiser.passages import Span, passages_of, regions, without
from subsecond.optimiser.protect import units

# Shorter repeats may be a form's parts ("Answer in one word.").
LONG = 120


def may_repeat(texts: Iterable[str]) -> bool:
    """Whether lines come again that are long enough together: without those, no paragraph does, and this is quicker."""
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
        return without(text, repeats), len(repeats)

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
    for start, end in [*regions(text), (len(text), len(text))]:
        found += [(at + one, at + two) for one, two in units(text[at:start])]
        at = end
    return found
