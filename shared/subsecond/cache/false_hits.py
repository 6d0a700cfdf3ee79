"""Reported false hits: an entry that answered a text wrongly must not answer that text again."""

from __future__ import annotations

from hashlib import sha256

from subsecond.cache.normal_form import sounds_like
from subsecond.model import Entry

# With so many, an entry answers nobody but its own question: it is near to too much. 64 digests are 2 KB of its item.
MOST = 64
DIGEST = 32


def digest(partition: str, text: str) -> str:
    """Of the text as it sounds: neither case, blanks nor the mark at its end make it another one."""
    said = sounds_like(text)
    # The partition, so that equal digests tell nothing across tenants. A lone surrogate is no UTF-8.
    return sha256(f"{partition}\n{said}".encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]


def objection(entry: Entry, text: str) -> str | None:
    """Why the entry must not answer this text, though it is similar; None when nobody has objected."""
    if not entry.false_hits:
        return None
    if digest(entry.partition, text) in entry.false_hits:
        return "reported as wrong"
    return "reported as wrong too often" if len(entry.false_hits) >= MOST else None
