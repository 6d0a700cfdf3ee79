"""What is said, in no dialect's words. Each dialect says it in its own: whole, or token by token."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Kind = Literal["thought", "text", "call"]
Finish = Literal["stop", "length", "tool_calls", "content_filter"]

encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def as_json(value: Any) -> bytes:
    """JSON in UTF-8; half a surrogate pair goes out as the escape that it came in as."""
    return encode(value).encode("utf-8", "backslashreplace")


class Payload(NamedTuple):
    """One event: the value of its `data:` lines, and its name where the dialect has names."""

    data: bytes
    name: bytes = b""


class Move(NamedTuple):
    """One move of a choice's part: it begins, says a piece, or ends."""

    kind: Literal["open", "piece", "close"]
    at: int
    piece: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A thought, words, or the arguments for the function `name`, in tokens."""

    kind: Kind
    pieces: tuple[str, ...]
    name: str = ""

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice. stop: the text of the request that has ended it."""

    parts: tuple[Part, ...]
    finish: Finish
    stop: str | None = None

    def tokens(self, *kinds: Kind) -> int:
        """How many it has, of all kinds or of these."""
        return sum(len(part.pieces) for part in self.parts if not kinds or part.kind in kinds)

    def of(self, kind: Kind) -> list[Part]:
        return [part for part in self.parts if part.kind == kind]

    def moves(self, steps: int) -> Iterator[list[Move]]:
        """The moves of each of so many tokens, none where the choice is over; at last those of its end."""
        pieces = [(at, piece) for at, part in enumerate(self.parts) for piece in part.pieces]
        opened = -1
        for number in range(steps):
            moves: list[Move] = []
            if number < len(pieces):
                at, piece = pieces[number]
                moves += self._turned(opened, at)
                opened = at
                moves.append(Move("piece", at, piece))
            yield moves
        yield self._turned(opened, len(self.parts))

    def _turned(self, opened: int, at: int) -> list[Move]:
        """The end of the part that is open, and the beginnings up to the part `at`; parts of no tokens besides."""
        moves: list[Move] = []
        while opened < at:
            if opened >= 0:
                moves.append(Move("close", opened))
            opened += 1
            if opened < len(self.parts):
                moves.append(Move("open", opened))
        return moves


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens. asked: of the whole prompt, of which a prefix cache was written and read; thought: of those answered."""

    asked: int
    answered: int
    thought: int = 0
    written: int = 0
    read: int = 0


@dataclass(frozen=True, slots=True)
class SimulatedAnswer:
    """One answer, ready to be played or sent whole. `times`: seconds from the start to each token. identity: what the
    ids in it are made of. asked: the request, of which some dialects say fields again."""

    endpoint: str
    identity: str
    created: int
    model: str
    choices: tuple[Choice, ...]
    usage: Usage
    times: tuple[float, ...]
    faults: Mapping[str, float]
    asked: Mapping[str, Any]
