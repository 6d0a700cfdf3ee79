"""What the demo asks: questions of a shop's customers, made up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle

MODEL = "sim-support"
# Its server answers 500, so that another model answers in its place.
BROKEN = "sim-broken"

# Each question, and the same in other words.
REWORDED = (
    ("How do I reset my password?", "How can I reset my password?"),
    ("How long does delivery take?", "How long does shipping take?"),
    ("Can I change my delivery address?", "Is it possible to change my delivery address?"),
    ("Where can I download my invoice?", "How can I download my invoice?"),
    ("Which payment methods do you accept?", "What payment methods do you accept?"),
    ("How do I contact support?", "How can I get in touch with support?"),
)
# Nearly the same, and not: the model is asked.
TRAPS = ("Do you ship to Norway?", "Do you ship to Sweden?", "Is my data encrypted?", "Is my data not encrypted?")
TO_THE_BROKEN = ("Is the green one in stock?", "What does gift wrapping cost?")
# As many people as ask this at the same moment.
CROWD = 5
BY_THE_CROWD = "When does the sale begin?"


@dataclass(frozen=True, slots=True)
class Ask:
    """One question; `crowd`: asked by so many at once."""

    text: str
    model: str = MODEL
    crowd: int = 1


def opening() -> list[Ask]:
    """Every kind of answer once or more: from the model, repeated, reworded, nearly the same, fallen back, joined."""
    asks = [Ask(text) for question, other in REWORDED for text in (question, question, other)]
    asks += [Ask(text) for text in TRAPS]
    asks += [Ask(text, BROKEN) for text in TO_THE_BROKEN]
    return [*asks, Ask(BY_THE_CROWD, crowd=CROWD)]


def afterwards() -> Iterator[Ask]:
    """Traffic as a warm cache has it, without an end: mostly what was asked before, now and then something new."""
    known = cycle([text for pair in REWORDED for text in pair])
    for number in range(1, 10**6):
        yield Ask(f"Where is order {number:05}?") if number % 5 == 0 else Ask(next(known))
