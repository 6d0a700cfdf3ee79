"""Recognises a plain prompt that a model shall go on with as code."""

from __future__ import annotations

import re

# Characters read of a prompt's beginning and of its end.
LONGEST = 4_000

# The marks of models that fill a gap, or what no prose has: a line that begins like a statement, or ends like one.
_CODE = re.compile(
    r"<\|?fim[_▁]|<(?:PRE|SUF|MID)>|\[SUFFIX\]|```|^\s?#!|^<\?php|^@\w+$|"
    r"^[ \t]*(?:(?:async )?def \w+ ?\(|class \w+ ?[:({]|fn \w+ ?[(<]|func \w* ?\(|function\b ?\w* ?\()|"
    r"^[ \t]*(?:from [\w.]+ )?import [\w.{*]+[\w.{}*, ]*;?$|^[ \t]*(?:package [\w.]+;?|using [\w.:]+;)$|"
    r"^[ \t]*#(?:include|define|ifdef|endif)\b|"
    r"^[ \t]*(?:const|let|var|val|public|private|protected|static|export|struct|enum|interface|namespace) \w+|"
    r"^[ \t]*(?:if|for|while|switch|elif|else if|catch) ?\(|"
    r"^[ \t]*(?:if|for|while|with|elif|try|else)\b[^\n]{0,120}:[ \t]*$|"
    r"^[ \t]*(?:SELECT\b[^\n]{0,200}\bFROM|INSERT INTO|UPDATE \w+ SET|CREATE TABLE)\b|"
    r"^[ \t]*[\w.\[\]]+ ?(?:[-+*/|&]?=|:=|<-)(?!=)(?: ?[\w.\[({'\"\\-]|[ \t]*\Z)|"
    r"^[ \t]+return\b|\w\([\"'`]|[;{}][ \t]*$|[\w)] ?=>|\)[ \t]*:[ \t]*$|(?:^|\s)(?://|/\*)\s",
    re.MULTILINE,
)


def looks_like_code(text: str) -> bool:
    """A rule of thumb; in doubt it says yes, which is a miss at the worst."""
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]}\n{text[-LONGEST // 2 :]}"
    return _CODE.search(text) is not None
