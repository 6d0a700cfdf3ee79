"""How likely it is that a question needs the stronger model: plain arithmetic on its words, no model, no network.

Two logistic regressions say how likely the weak model is to be wrong and the strong one to be right; what is hard for
both is not worth the strong one's price. Their features are the words (hashed) and nine counts of the surface.

The weights are one JSON file with the figures that were measured of it (`data/difficulty.json`,
`training/train_difficulty.py`; `subsecond route fit` makes one of the user's own traffic).
"""

from __future__ import annotations

import json
import math
import re
from array import array
from base64 import b64decode
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any
from zlib import crc32

from subsecond.setting_values import check_choice

FORMAT = 1
SHIPPED = Path(__file__).parent / "data" / "difficulty.json"
# What is read of a text, in characters: its beginning and its end. It bounds the time.
HEAD, TAIL = 1_200, 300
# A number counts by its digits, up to these.
DIGITS = 4
# Different words of a text whose words count fully; those of a shorter one count less, as one word proves little.
LEAST_WORDS = 16
# Of the characters; below it the text is in no script that the words were learned of.
LEAST_ASCII = 0.6
CHANCE = 0.5

_TOKEN = re.compile(r"[^\W\d_]+|\d+|[^\w\s]")
_SIGNS = re.compile(r"[=+*/^<>]")
_DIGIT = re.compile(r"\d")


def clipped(text: str) -> str:
    return text if len(text) <= HEAD + TAIL else f"{text[:HEAD]} {text[-TAIL:]}"


def word_slots(text: str, bits: int) -> list[int]:
    """The slots of the text's different words, numbers and signs in a table of 2 ** bits. Whole words: `listen` has
    nothing of `list`."""
    mask = (1 << bits) - 1
    words = dict.fromkeys(_TOKEN.findall(clipped(text).lower()))
    # In the text's order, so that sums are the same in every process.
    found = dict.fromkeys("0" * min(len(word), DIGITS) if word.isdigit() else word for word in words)
    return [crc32(word.encode("utf-8", "replace")) & mask for word in found]


def surface(text: str) -> list[float]:
    """Length in words and characters, shares of digits, of different words and of signs, the words' length, several
    lines, a question mark, an open end."""
    text = clipped(text)
    words, size = text.split(), len(text) + 1
    count = len(words) + 1
    return [
        math.log1p(len(words)),
        math.log1p(len(text)),
        10 * len(_DIGIT.findall(text)) / size,
        len(set(words)) / count,
        sum(map(len, words)) / count / 5,
        float("\n" in text),
        float("?" in text),
        20 * len(_SIGNS.findall(text)) / size,
        float(text.rstrip().endswith(":")),
    ]


@dataclass(frozen=True, slots=True)
class LogisticRegression:
    """A logistic regression. words: int8, times `scale`."""

    bias: float
    surface: Sequence[float]
    words: array[int]
    scale: float

    def chance(self, slots: Sequence[int], counts: Sequence[float]) -> float:
        known = self.words
        total = sum([known[slot] for slot in slots]) * self.scale / math.sqrt(max(LEAST_WORDS, len(slots)))
        return _logistic(self.bias + total + sum(map(float.__mul__, self.surface, counts)))


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of the weights, on rows that they were not fitted on: area under the recovered gain over the
    share of strong calls (0.5 is chance), with its 95 % interval."""

    n: int
    apgr: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Scorer:
    """weak: that the weak model is wrong. strong: that the strong one is right. quantiles: of the raw score, in equal
    steps of the share of texts."""

    bits: int
    weak: LogisticRegression
    strong: LogisticRegression
    quantiles: Sequence[float]
    measured: Measured

    def score(self, text: str) -> float | None:
        """The share of the texts it was fitted on that are easier, 0 to 1. None for a text without words, or in a
        script that it does not know."""
        return _share(self.quantiles, self.raw(text)) if _is_known(text) else None

    def raw(self, text: str) -> float:
        """The expected gain of the strong model, -1 to 1, by the text."""
        slots, counts = word_slots(text, self.bits), surface(text)
        return self.weak.chance(slots, counts) + self.strong.chance(slots, counts) - 1


class Ranks:
    """Where a score stands among the latest ones, so that a share of this traffic is meant by a share. Until there are
    enough of them, it stands for itself."""

    WINDOW = 500

    def __init__(self) -> None:
        self._latest: deque[float] = deque()
        self._ordered: list[float] = []

    def percentile(self, score: float) -> float:
        """The share of the latest scores below it, mixed with the score itself while they are few. The score counts
        among the latest from now on."""
        known = len(self._ordered)
        percentile = score
        if known:
            below = (bisect_left(self._ordered, score) + bisect_right(self._ordered, score)) / 2 / known
            weight = known / self.WINDOW
            percentile = weight * below + (1 - weight) * score
        self._latest.append(score)
        insort(self._ordered, score)
        if len(self._latest) > self.WINDOW:
            del self._ordered[bisect_left(self._ordered, self._latest.popleft())]
        return percentile


@cache
def load(name: str) -> Scorer | None:
    """`default`: the shipped one; `file:PATH`; `off`: None. ValueError when there is none, or when it was not measured
    to be better than chance."""
    check_choice("difficulty", name)
    if name == "off":
        return None
    path = SHIPPED if name == "default" else Path(name.removeprefix("file:"))
    try:
        scorer = read(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"SUBSECOND_DIFFICULTY={name!r} cannot be read: {type(error).__name__} {error}") from None
    if not scorer.measured.low > CHANCE:
        raise ValueError(
            f"SUBSECOND_DIFFICULTY={name!r} is not better than chance: its APGR is {scorer.measured.apgr:.3f}, "
            f"95 % interval {scorer.measured.low:.3f} to {scorer.measured.high:.3f}"
        )
    return scorer


def read(file: Mapping[str, Any]) -> Scorer:
    """From the file's JSON. ValueError, KeyError, TypeError when it is not one."""
    if file["format"] != FORMAT:
        raise ValueError(f"format {file['format']!r} is not {FORMAT}")
    bits = int(file["bits"])
    weak, strong = (_regression(file["heads"][name], bits) for name in ("weak", "strong"))
    measured = file["measured"]
    figures = Measured(int(measured["n"]), *(float(measured[name]) for name in ("apgr", "apgr_low", "apgr_high")))
    return Scorer(bits, weak, strong, _floats(file["quantiles"]), figures)


def _regression(given: Mapping[str, Any], bits: int) -> LogisticRegression:
    words = array("b", b64decode(given["words"]))
    if len(words) != 1 << bits:
        raise ValueError(f"{len(words)} weights are not 2 ** {bits}")
    return LogisticRegression(float(given["bias"]), _floats(given["surface"]), words, float(given["scale"]))


def _floats(values: Sequence[Any]) -> list[float]:
    return [float(one) for one in values]


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, value))))


def _share(quantiles: Sequence[float], value: float) -> float:
    """The place of the value between the quantiles, 0 to 1."""
    steps = len(quantiles) - 1
    at = bisect_right(quantiles, value) - 1
    if at < 0:
        return 0.0
    if at >= steps:
        return 1.0
    width = quantiles[at + 1] - quantiles[at]
    return (at + (value - quantiles[at]) / width) / steps


def _is_known(text: str) -> bool:
    text = clipped(text)
    if not any(map(str.isalnum, text)):
        return False
    return text.isascii() or len(text.encode("ascii", "ignore")) >= LEAST_ASCII * len(text)


def hardest(scores: Sequence[float | None]) -> float | None:
    """Of a conversation's turns: once it was hard it stays hard, so that it does not change its model to and fro."""
    known = [one for one in chain(scores) if one is not None]
    return max(known) if known and len(known) == len(scores) else None
