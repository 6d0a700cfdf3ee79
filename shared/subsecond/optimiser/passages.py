"""Finds the context that a prompt carries: passages between marks that say so.

Known marks: an element such as <context> or <documents> whose tag begins a line, and a line `Context:` (`Documents:`,
`Sources:`, ...) up to a line `Question:`. In a user message the label counts only with its question behind it. The
passages within are child elements, or paragraphs. What is not so marked is no context, and is never selected from.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable
from functools import lru_cache

from subsecond.optimiser.protect import paragraphs

_NAMES = "contexts?|documents?|docs|passages?|sources|search_results|retrieved_context|knowledge|excerpts"
_OPEN = re.compile(rf"^<({_NAMES})(?: [^<>\n]*)?>", re.MULTILINE | re.IGNORECASE)
_LABEL = re.compile(
    r"^(?:#+ )?(?:\*\*)?(?:retrieved |relevant )?(?:context|documents|passages|sources|search results|excerpts)"
    r"(?:\*\*)?:(?:\*\*)?[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
_QUESTION = re.compile(
    r"^(?:#+ )?(?:\*\*)?(?:(?:user )?question|query|task|instructions?)(?:\*\*)?:", re.MULTILINE | re.IGNORECASE
)
_TAG = re.compile(r"<(/?)([A-Za-z_][\w.-]*)")
_CHILD = re.compile(r"\s*<([A-Za-z_][\w.-]*)(?: [^<>\n]*)?>")


# Start and end of a passage.
Span = tuple[int, int]


# One call asks for the same text's passages several times: for repeats, for the budget, for the window.
@lru_cache(maxsize=4)
def passages_of(text: str) -> tuple[Span, ...]:
    """All passages, in their order."""
    found: list[Span] = []
    for start, end in context_regions(text):
        found += _children(text, start, end)
    return tuple(found)


def without_context(text: str) -> str:
    """The text without its context: the question, and what is said around it."""
    kept, at = [], 0
    for start, end in context_regions(text):
        kept.append(text[at:start])
        at = end
    return "".join([*kept, text[at:]])


def context_regions(text: str) -> list[Span]:
    """The spans of context, its marks excluded."""
    found: list[Span] = []
    at = fences = counted = 0
    missing: set[str] = set()
    tags: _Tags | None = None
    while opened := _OPEN.search(text, at):
        at = opened.end()
        name = opened[1]
        fences += text.count("```", counted, at)
        counted = at
        if fences % 2:
            continue  # inside a fence it is an example of context, and code
        tags = tags or _Tags(text)
        end = -1 if name in missing else tags.closing(name, at)
        if end < 0:
            # Looked for once: what is not closed after here is not closed after a later place.
            missing.add(name)
            continue
        found.append((opened.end(), end))
        at = end
    return found or _labelled(text)


def _labelled(text: str) -> list[Span]:
    label = _LABEL.search(text)
    if not label:
        return []
    question = _QUESTION.search(text, label.end())
    return [(label.end(), question.start())] if question else []


class _Tags:
    """The tags of each name, found in one pass: a text may open with very many names (`<doc>`, `<Doc>`), and searching
    it for each would cost the square of its length."""

    def __init__(self, text: str) -> None:
        self._by_name: dict[str, list[tuple[int, int]]] = {}
        for tag in _TAG.finditer(text):
            self._by_name.setdefault(tag[2], []).append((tag.start(), -1 if tag[1] else 1))

    def closing(self, name: str, at: int) -> int:
        """The start of the element's closing tag, past nested ones of its name; -1 where it is not closed."""
        tags = self._by_name.get(name, [])
        depth = 1
        for index in range(bisect_left(tags, (at, -1)), len(tags)):
            start, step = tags[index]
            depth += step
            if not depth:
                return start
        return -1


def _children(text: str, start: int, end: int) -> list[Span]:
    inner = text[start:end]
    found: list[Span] = []
    at = 0
    tags: _Tags | None = None
    while child := _CHILD.match(inner, at):
        tags = tags or _Tags(inner)
        close = tags.closing(child[1], child.end())
        if close < 0:
            break
        after = inner.find(">", close) + 1
        if not after:
            break
        found.append((start + child.start() + len(child[0]) - len(child[0].lstrip()), start + after))
        at = after
    if found and not inner[at:].strip():
        return found
    return [(start + one, start + two) for one, two in paragraphs(inner)]


def cut_out(text: str, gone: Iterable[Span]) -> str:
    """The text without these spans, which are in order. Each takes the white space behind it along, up to what
    follows."""
    kept, at = [], 0
    for start, end in gone:
        kept.append(text[at:start])
        at = end
        while at < len(text) and text[at] in " \t\r\n":
            at += 1
    joined = "".join(kept)
    rest = text[at:]
    return joined + rest if rest else joined.rstrip(" \t\r\n")
