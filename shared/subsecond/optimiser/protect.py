"""Tells which lines of a text are prose, and which must stay as they are.

A scanner over lines, with one open region at a time. Protected: fenced and indented code, inline code and quotes that
run over several lines, block quotes, JSON and other bracketed blocks, XML and HTML elements, YAML keys, tables, aligned
columns, few-shot examples. In doubt a line is protected: a fence, a quote or an element that never closes protects
everything after it.

What is protected depends on the lines without their trailing blanks, and not on how many empty lines stand between
them: so removing those changes nothing about it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import accumulate
from typing import NamedTuple

BLANKS = " \t\r"
# The kinds of a line. Plain numbers: an enum's members cost more to look up than the rest of a line's work.
BLANK, PROSE, PROTECTED = 0, 1, 2


class Region(NamedTuple):
    """An open region. `ends` tells of a line whether it is the last; it is asked only of lines that hold the needle."""

    needle: str
    ends: Callable[[str], bool]


# A line without any of these opens nothing. One class, because alternatives would be tried at each character.
_remarkable = re.compile('["`|\t~<>{}\\[\\]:“”]').search
# The longest line that can announce an example without a colon ("## Few-shot examples 12").
_SHORT = 32
_FENCE = re.compile(r"(`{3,}|~{3,})(.*)")
_TAG = re.compile(r"<([A-Za-z_][\w.:-]*)")
_YAML = re.compile(r"(?:- +)?[a-z_][\w.-]*:(?:\s|$)|---$|\.\.\.$")
_EXAMPLE = re.compile(
    # The first letter of any of the words, so that most lines fail at once.
    r"(?:#+ *|\*\*|\d+[.)] *|- +)?(?=[feioqauhr])"
    r"(?:few-?shots?|(?:for )?examples?|inputs?|outputs?|q|a|questions?|answers?|user|human|assistant|ai|response"
    r"|expected)"
    r"(?: *#?\d+)?(?:\*\*)? *(?::|$)",
    re.IGNORECASE,
)
_NOT_BLANK = re.compile(rb"[^\x00]+")
_HEADING = re.compile(r"#+ ")
_ONE_LINE = Region("", lambda _: True)
_TO_BLANK = Region("", lambda bare: not bare)
# Ends before a heading, for which `kinds` looks itself.
_TO_HEADING = Region("#", lambda _: False)


def line_kinds(lines: list[str]) -> list[int]:
    """The kind of each line. Blank lines inside a region are protected too."""
    found = [PROTECTED] * len(lines)
    region: Region | None = None
    needle = ""
    for at, line in enumerate(lines):
        if region and needle not in line:
            continue
        bare = line.rstrip(BLANKS)
        if region:
            # A heading ends an example, and is itself no part of it.
            if region is not _TO_HEADING or not _HEADING.match(bare):
                region = None if region.ends(bare) else region
                continue
            region = None
        if not bare:
            found[at] = BLANK
        elif _remarkable(bare) or bare[0] == "'" or (len(bare) < _SHORT and _EXAMPLE.match(bare)):
            found[at], region = _closer(bare)
            needle = region.needle if region else ""
        elif bare[0] not in " +" and "  " not in bare:
            found[at] = PROSE
    return found


def paragraphs(text: str) -> list[tuple[int, int]]:
    """Start and end of each paragraph: lines between blank ones, a protected region never cut."""
    lines = text.split("\n")
    starts = list(accumulate(map(len, lines), initial=0))
    runs = map(re.Match.span, _NOT_BLANK.finditer(bytes(line_kinds(lines))))
    return [(starts[first] + first, starts[end] + end - 1) for first, end in runs]


def _closer(bare: str) -> tuple[int, Region | None]:
    """Kind of a line that needs a closer look, and the region that it opens, if it opens one."""
    inner = bare.lstrip(BLANKS)
    if opened := _block(inner):
        return PROTECTED, None if opened is _ONE_LINE else opened
    if opened := _open_quote(inner):
        return PROTECTED, opened
    if inner != bare or "  " in inner or "\t" in inner or " | " in inner:
        return PROTECTED, None
    return (PROTECTED if inner[0] in "|+" or (":" in inner and _YAML.match(inner)) else PROSE), None


def _block(inner: str) -> Region | None:
    """The block that begins here; `_ONE_LINE` for one that ends on its line; None for no block."""
    first = inner[0]
    if first in "`~" and (fence := _FENCE.match(inner)):
        return _fence_end(fence[1]) if "`" not in fence[2] or first == "~" else _ONE_LINE
    if first in "{[" or inner[-1] in "{[":
        return _bracket_end(inner)
    if first == "<" and (opened := _element(inner)):
        return opened
    if first == ">":
        return _TO_BLANK
    return _TO_HEADING if (":" in inner or len(inner) < _SHORT) and _EXAMPLE.match(inner) else None


def _fence_end(fence: str) -> Region:
    return Region(fence, lambda bare: (line := bare.strip(BLANKS)).startswith(fence) and not line.strip(fence[0]))


def _bracket_end(inner: str) -> Region:
    depth = _depth(inner)
    if depth <= 0:
        return _ONE_LINE

    def ends(bare: str) -> bool:
        nonlocal depth
        depth += _depth(bare)
        return depth <= 0

    return Region("", ends)


def _depth(line: str) -> int:
    return line.count("{") + line.count("[") - line.count("}") - line.count("]")


def _element(inner: str) -> Region | None:
    if inner.startswith("<!--"):
        return _ONE_LINE if "-->" in inner else Region("-->", lambda _: True)
    if inner.startswith(("<?", "<!", "</")):
        return _ONE_LINE
    tag = _TAG.match(inner)
    if not tag:
        return None
    name = tag[1]
    closes = f"</{name}"
    depth = 0

    def ends(bare: str) -> bool:
        nonlocal depth
        depth += _TAG.findall(bare).count(name) - bare.count(closes)
        return depth <= 0

    return _ONE_LINE if ends(inner) or inner.endswith("/>") else Region(name, ends)


def _odd_count(quote: str) -> Region:
    return Region(quote, lambda bare: bare.count(quote) % 2 == 1)


_QUOTES = tuple((quote, _odd_count(quote)) for quote in ("`", '"', "'''"))


def _open_quote(inner: str) -> Region | None:
    for quote, region in _QUOTES:
        if quote in inner and inner.count(quote) % 2:
            return region
    if "“" in inner and inner.count("“") > inner.count("”") and "„" not in inner:
        return Region("”", lambda _: True)
    return None
