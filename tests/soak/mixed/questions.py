"""What the clients of a mixed soak ask, and what is right: the simulator's text is made of the question, so that an
answer to another one shows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

from subsecond_local.simulator.engine import Simulation
from tests.soak.mixed.spoken import SPOKEN, Spoken

MODEL = "sim-t5-i1-n12"
# Slow enough that clients meet in one call, and that a stream can be left in its midst.
LONG = "sim-t60-i3-n60"
_THINGS = (
    "reset my password", "renew a library card", "cancel an order", "change my address", "download an invoice",
    "report a lost parcel", "book a meeting room", "update my phone number", "close my account", "add a second user",
    "return a pair of shoes", "print a boarding pass", "export my contacts", "pay by bank transfer", "mute a channel",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Question:
    """tag: by which its answer can be deleted. near: other questions whose answers will do. dialect: as `SPOKEN` has
    it."""

    text: str
    model: str = MODEL
    tag: str = ""
    near: tuple[str, ...] = ()
    dialect: str = "chat"

    @property
    def spoken(self) -> Spoken:
        return SPOKEN[self.dialect]

    def body(self, *, stream: bool) -> bytes:
        told = self.spoken.body(self.model, self.text)
        if self.tag:
            told["subsecond"] = {"tags": [self.tag]}
        if stream:
            told["stream"] = True
        return json.dumps(told).encode()

    def right(self) -> str:
        return _said(self.dialect, self.model, self.text)

    def right_too(self) -> set[str]:
        """What a similar question's answer may say."""
        return {_said(self.dialect, self.model, text) for text in self.near}


@lru_cache(maxsize=4_096)
def _said(dialect: str, model: str, text: str) -> str:
    spoken = SPOKEN[dialect]
    answer = Simulation().answer(spoken.endpoint, spoken.body(model, text))
    return "".join(part.text for part in answer.choices[0].of("text"))


def phrasings(number: int) -> tuple[str, ...]:
    """One question in words that mean the same."""
    thing = _THINGS[number % len(_THINGS)]
    return f"How do I {thing}?", f"How can I {thing}?", f"Hello, how do I {thing}, please?"


def family(number: int, which: int, dialect: str = "chat") -> Question:
    """A question whose other phrasings may answer it."""
    same = phrasings(number)
    return Question(same[which % len(same)], tag=f"family{number % len(_THINGS)}", near=same, dialect=dialect)


def lookalike(number: int, dialect: str) -> Question:
    """One of several that lie side by side and have different answers."""
    thing = _THINGS[number % len(_THINGS)]
    text = f"Where in the guide on how to {thing} is page {number // len(_THINGS) % 3 + 17}?"
    return Question(text, dialect=dialect)


def common(number: int, dialect: str) -> Question:
    """One that many ask in the same words, both tenants among them."""
    return Question(f"Common question {number}: what is known about it?", tag=f"common{number % 10}", dialect=dialect)
