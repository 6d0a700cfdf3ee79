"""What a difficulty score is compared with: a coin, the number of words, and a rule of thumb on phrases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

EASY = ("what is", "who is", "when did", "define", "list", "name")
HARD = ("explain", "analyze", "compare", "why", "how does", "what are the implications")
SHORT, MIDDLING = 15, 20


def words(prompt: str) -> float:
    return float(len(prompt.split()))


def phrases(prompt: str) -> float:
    """1 for the strong model. The rule is the one that many gateways begin with, its faults included: it looks for
    substrings, so that `filename` asks for a name."""
    text, count = prompt.lower(), len(prompt.split())
    if count < SHORT and any(one in text for one in EASY):
        return 0.0
    return float(any(one in text for one in HARD) or count >= MIDDLING)


def coin(_: str) -> float:
    """All the same: taken in random order, in expectation."""
    return 0.0


RIVALS: Mapping[str, Callable[[str], float]] = {"words": words, "phrases": phrases, "random": coin}
TITLES = {"score": "difficulty score", "words": "number of words", "phrases": "phrases", "random": "random"}


def scored(prompts: Sequence[str], rival: str) -> list[float]:
    return [RIVALS[rival](prompt) for prompt in prompts]
