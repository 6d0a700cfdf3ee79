"""The passages that matter for the question, up to a budget of tokens: whole ones, in their order."""

from __future__ import annotations

from collections.abc import Callable

from subsecond.optimiser.passages import cut_out, passages_of, without_context
from subsecond.optimiser.relevance import ranked


def select_passages(text: str, query: str | None, budget: int, count: Callable[[str], int]) -> tuple[str, int]:
    """The text with passages of at most `budget` tokens, and how many went. `query`: None for the text's own."""
    found = passages_of(text)
    if not found:
        return text, 0
    bodies = [text[start:end] for start, end in found]
    sizes = list(map(count, bodies))
    if sum(sizes) <= budget:
        return text, 0
    kept, left = set(), budget
    for at in ranked(without_context(text) if query is None else query, bodies):
        if sizes[at] <= left:
            kept.add(at)
            left -= sizes[at]
    return cut_out(text, (span for at, span in enumerate(found) if at not in kept)), len(found) - len(kept)
