"""What a partition has learned from its checks, as it is kept: one object that all environments read.

Without numpy: statistics read it too, and the checker only adds to it.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

from subsecond.semantic.verification.accuracy import Accuracy, Check, checked, seeded
from subsecond.semantic.verification.intervals import Counted, JudgeErrors
from subsecond.semantic.verification.samples import Sample
from subsecond.semantic.verification.surge import Pace

VERSION = 1
# Checks that are remembered by their requests, so that one that comes again does not count again. A check comes again
# where a checker died between noting it and deleting its sample; a run begins with what the one before it left.
REMEMBERED = 1_000
# Wrong hits whose neighbourhoods answer nobody any more: 2,000 pairs of 256 numbers are 2 MB. The oldest go first.
MOST_WRONG = 2_000
# Wrong pairs whose texts are shown, and for how many seconds; hours of which the figures are shown.
SHOWN, SHOWN_FOR, HOURS = 20, 3 * 86_400.0, 7 * 24


@dataclass(frozen=True, slots=True)
class Judged:
    """A check: what the judge said of the hit (`wrong`), and of seeded pairs (truly wrong, said wrong). unread:
    verdicts that were neither yes nor no, which count as no. tokens: of all of it."""

    sample: Sample
    wrong: bool
    seeds: tuple[tuple[bool, bool], ...] = ()
    unread: int = 0
    tokens: int = 0

    @property
    def calls(self) -> int:
        return 1 + len(self.seeds)


@dataclass(frozen=True, slots=True)
class WrongPair:
    request_id: str
    entry: str
    at: float
    score: float
    asked: str
    stored: str


@dataclass(frozen=True, slots=True)
class Point:
    """The figures at the end of an hour (epoch seconds at its beginning)."""

    hour: int
    checked: int
    wrong: int
    low: float
    high: float
    cut: float


@dataclass(frozen=True, slots=True)
class Learned:
    """embedder: whose vectors the wrong hits have: `wrong` holds those of the question and of the entry, packed.
    seen: the requests of the last checks. unread: the judge's answers that were neither yes nor no."""

    accuracy: Accuracy
    embedder: str = ""
    wrong: tuple[tuple[bytes, bytes], ...] = ()
    seen: tuple[str, ...] = ()
    judge_calls: int = 0
    judge_tokens: int = 0
    unread: int = 0
    pairs: tuple[WrongPair, ...] = ()
    history: tuple[Point, ...] = ()


def begun(sample: Sample) -> Learned:
    return Learned(Accuracy.begin(sample.bound, sample.cut, trial=True), sample.embedder)


def with_check(learned: Learned, judged: Judged, now: float) -> Learned:
    """What is known after one more check; the same where it is known already. The owner's bound is the sample's."""
    sample = judged.sample
    if sample.request_id in learned.seen:
        return learned
    accuracy = replace(learned.accuracy, bound=sample.bound)
    accuracy = checked(accuracy, Check(sample.score, judged.wrong, sample.shadow, sample.gap, sample.surged))
    for truly_wrong, said_wrong in judged.seeds:
        accuracy = seeded(accuracy, truly_wrong=truly_wrong, said_wrong=said_wrong)
    learned = learned if learned.embedder == sample.embedder else replace(learned, embedder=sample.embedder, wrong=())
    learned = _with_wrong_pair(learned, sample) if judged.wrong else learned
    return replace(
        learned,
        accuracy=accuracy,
        seen=(*learned.seen, sample.request_id)[-REMEMBERED:],
        judge_calls=learned.judge_calls + judged.calls,
        judge_tokens=learned.judge_tokens + judged.tokens,
        unread=learned.unread + judged.unread,
        pairs=tuple(pair for pair in learned.pairs if pair.at > now - SHOWN_FOR),
        history=_with_point(learned.history, accuracy, now),
    )


def _with_wrong_pair(learned: Learned, sample: Sample) -> Learned:
    pair = WrongPair(sample.request_id, sample.entry, sample.at, sample.score, sample.asked, sample.stored)
    vectors = (sample.asked_vector, sample.stored_vector)
    return replace(learned, wrong=(*learned.wrong, vectors)[-MOST_WRONG:], pairs=(*learned.pairs, pair)[-SHOWN:])


def _with_point(history: tuple[Point, ...], accuracy: Accuracy, now: float) -> tuple[Point, ...]:
    hour, told = int(now // 3600) * 3600, accuracy.told
    point = Point(hour, accuracy.checked.n, accuracy.checked.yes, told.low, told.high, accuracy.cut)
    return (*(one for one in history if one.hour != hour), point)[-HOURS:]


def encode(learned: Learned) -> bytes:
    """A line of JSON, then the vectors, all of one length."""
    told = asdict(replace(learned, wrong=()))
    told |= {"version": VERSION, "wrong": len(learned.wrong)}
    vectors = b"".join(asked + stored for asked, stored in learned.wrong)
    return json.dumps(told).encode() + b"\n" + vectors


def decode(data: bytes) -> Learned:
    """Raises ValueError for what is nothing of this version."""
    line, _, vectors = data.partition(b"\n")
    try:
        told = json.loads(line)
        if told.pop("version") != VERSION:
            raise ValueError("another version")
        told["wrong"] = _pairs(vectors, told["wrong"])
        told["accuracy"] = _accuracy(told["accuracy"])
        told["seen"] = tuple(told["seen"])
        told["pairs"] = tuple(WrongPair(**one) for one in told["pairs"])
        told["history"] = tuple(Point(**one) for one in told["history"])
        return Learned(**told)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("nothing that was learned") from error


def _pairs(vectors: bytes, number: int) -> tuple[tuple[bytes, bytes], ...]:
    size = len(vectors) // (2 * number) if number else 0
    if len(vectors) != 2 * number * size:
        raise ValueError("vectors of a strange size")
    rows = [vectors[start : start + size] for start in range(0, len(vectors), size or 1)]
    return tuple(zip(rows[::2], rows[1::2], strict=True))


def _accuracy(told: dict[str, Any]) -> Accuracy:
    judge = JudgeErrors(**{name: Counted(**counted) for name, counted in told.pop("judge").items()})
    told["pace"] = Pace(**told.get("pace", {}))
    counted = {name: Counted(**told.pop(name)) for name in ("checked", "since", "shadow")}
    return Accuracy(**{**told, **counted, "scores": tuple(told["scores"]), "judge": judge})


def public(learned: Learned) -> dict[str, Any]:
    """As `GET /v1/cache/stats` tells it."""
    accuracy = learned.accuracy
    judge, told, shadow = accuracy.judge, accuracy.told, accuracy.told_of_shadow
    return {
        "state": accuracy.state,
        "checked": accuracy.checked.n,
        "wrong": accuracy.checked.yes,
        "rate": _share(accuracy.checked),
        "interval": [round(told.low, 4), round(told.high, 4)],
        "bound": accuracy.bound,
        "checks_left": accuracy.checks_left(),
        "cut": round(accuracy.cut, 4),
        "epoch": accuracy.epoch,
        "surges": accuracy.surges,
        "aliases": 0,
        "shadow": {
            "checked": accuracy.shadow.n,
            "wrong": accuracy.shadow.yes,
            "interval": [round(shadow.low, 4), round(shadow.high, 4)],
        },
        "judge_calls": learned.judge_calls,
        "judge_tokens": learned.judge_tokens,
        "judge_errors": {
            "seeded": judge.wrong.n + judge.right.n,
            "wrong_called_right": _share(Counted(judge.wrong.n, judge.wrong.n - judge.wrong.yes)),
            "right_called_wrong": _share(judge.right),
            "unread": learned.unread,
        },
        "wrong_pairs": [asdict(pair) for pair in learned.pairs if pair.at > time.time() - SHOWN_FOR],
        "history": [asdict(point) for point in learned.history],
    }


def _share(counted: Counted) -> float | None:
    return round(counted.yes / counted.n, 4) if counted.n else None
