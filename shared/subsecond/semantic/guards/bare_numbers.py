"""Refuses a text with another number before either is read: `guarded` asks first, because reading takes most of the
time (two texts of 800 characters: up to 5 ms)."""

from __future__ import annotations

import re
from functools import lru_cache

# A number between blanks, before no "am" or "pm" (12 pm is 0 pm). Up to 9 digits: longer ones may round to one value.
_BARE = re.compile(r"[0-9](?<![^\s(].)[0-9]{0,8}(?=[.,;?!)]?(?:\s|$))(?!\s?[ap](?:\.?\s?m)?\b)", re.IGNORECASE)
# In a quotation of another length other tokens are read.
_QUOTED = re.compile('["`\u201c\u201d\u201e\u00ab\u00bb]')


def differ(one: str, other: str) -> bool:
    """Whether the texts are equal but for bare numbers, of which some differ in value: the same words follow each, so
    its unit is the same, and the amounts differ however the texts are read. False: only reading tells."""
    frame, numbers = _parts(one)
    if not numbers:
        return False
    other_frame, others = _parts(other)
    return numbers != others and frame == other_frame and not _QUOTED.search(one)


# The asked text comes with each of its candidates. An entry holds a text of up to 2,000 characters once more.
@lru_cache(64)
def _parts(text: str) -> tuple[str, tuple[int, ...]]:
    """The text with "0" for each bare number, and the numbers."""
    found = tuple(map(int, _BARE.findall(text)))
    return (_BARE.sub("0", text), found) if found else ("", ())
