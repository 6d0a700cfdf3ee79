"""What the clients of a mixed soak ask, and what is right: the simulator's text is made of the question, so that an
answer to another one shows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from subsecond_local.simulator.engine import Simulation

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
    """tag: by which its answer can be deleted. near: other questions whose answers will do."""

    text: str
    model: str = MODEL
    tag: str = ""
    near: tuple[str, ...] = ()

    def body(self, *, stream: bool) -> bytes:
        told: dict[str, Any] = {"model": self.model, "messages": [{"role": "user", "content": self.text}]}
        if self.tag:
            told["subsecond"] = {"tags": [self.tag]}
        if stream:
            told["stream"] = True
        return json.dumps(told).encode()

    def right(self) -> str:
        return _said(self.model, self.text)

    def right_too(self) -> set[str]:
        """What a similar question's answer may say."""
        return {_said(self.model, text) for text in self.near}


def _said(model: str, text: str) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    return "".join(part.text for part in Simulation().answer("chat", body).choices[0].of("text"))


def phrasings(number: int) -> tuple[str, ...]:
    """One question in words that mean the same."""
    thing = _THINGS[number % len(_THINGS)]
    return f"How do I {thing}?", f"How can I {thing}?", f"Hello, how do I {thing}, please?"


def family(number: int, which: int) -> Question:
    """A question whose other phrasings may answer it."""
    same = phrasings(number)
    return Question(same[which % len(same)], tag=f"family{number % len(_THINGS)}", near=same)


def lookalike(number: int) -> Question:
    """One of several that lie side by side and have different answers."""
    thing = _THINGS[number % len(_THINGS)]
    return Question(f"Where in the guide on how to {thing} is page {number // len(_THINGS) % 3 + 17}?")


def common(number: int) -> Question:
    """One that many ask in the same words, both tenants among them."""
    return Question(f"Common question {number}: what is known about it?", tag=f"common{number % 10}")
