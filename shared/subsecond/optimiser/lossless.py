"""Removes trailing blanks and repeated empty lines from prose: no reader sees them."""

from __future__ import annotations

from subsecond.optimiser.protect import BLANK, BLANKS, PROSE, PROTECTED, line_kinds

_SIGNS = (" \n", "\t\n", " \r\n", "\t\r\n", "\n\n\n", "\n\r\n\r\n")


def without_idle_blanks(text: str) -> str:
    """The same text without trailing blanks on prose lines, and with one empty line where prose has several."""
    if not (text.endswith((" ", "\t", "\n\n")) or text.startswith("\n\n") or any(sign in text for sign in _SIGNS)):
        return text
    lines = text.split("\n")
    kept: list[str] = []
    blanks: list[str] = []
    # The text's two ends count as prose.
    before = PROSE
    for line, kind in zip(lines, line_kinds(lines), strict=True):
        if kind == BLANK:
            blanks.append(line)
            continue
        if blanks:
            kept += _between(blanks, before, kind)
            blanks = []
        kept.append(_stripped(line) if kind == PROSE and line[-1] in BLANKS else line)
        before = kind
    kept += _between(blanks, before, PROSE)
    return "\n".join(kept)


def _between(blanks: list[str], before: int, after: int) -> list[str]:
    """Empty lines beside something protected stay as they are."""
    if not blanks or PROTECTED in (before, after):
        return blanks
    return [_stripped(blanks[0])]


def _stripped(line: str) -> str:
    return line[:-1].rstrip(BLANKS) + "\r" if line.endswith("\r") else line.rstrip(BLANKS)
