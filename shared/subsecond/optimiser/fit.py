"""Fits a chat into the model's window. It drops, in this order, until the chat fits:

1. context passages, the least relevant to the question first; the most relevant one stays for now;
2. old turns, from the middle: the first turn and the newest stay for now; then old steps of the newest turn, a tool
   call always together with its results; then the first turn;
3. the last passages;
4. paragraphs of the system's text, the least relevant first; its first paragraph never goes.

The question never goes, nor what the caller has marked for the provider's cache. Order is kept. Turns go in blocks of
an eighth of the window, so that the cut stays the same over several calls and the provider's prefix cache holds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

from subsecond.optimiser.messages import INSTRUCTING, Message, last_user, query, texts, with_texts
from subsecond.optimiser.passages import Span, cut_out, passages_of, without_context
from subsecond.optimiser.protect import paragraphs
from subsecond.optimiser.relevance import ranked

BLOCKS = 8
# A recount may find a few tokens more than the sum of the parts; each round takes at least one thing away.
MOST_ROUNDS = 6


@dataclass(frozen=True, slots=True)
class FitResult:
    messages: list[Message]
    passages: int = 0
    turns: int = 0
    paragraphs: int = 0


class _Piece(NamedTuple):
    """A span of the text `part` of the message `at`, and what stands there."""

    at: int
    part: int
    span: Span
    body: str


class Fit:
    """One call's fitting. `text` counts a text's tokens, `message` a message's."""

    def __init__(
        self,
        messages: Sequence[Message],
        pinned: int,
        text: Callable[[str], int],
        message: Callable[[Message], int],
    ) -> None:
        self._messages = list(messages)
        self._pinned = pinned
        self._text = text
        self._question = without_context(query(self._messages))
        self._sizes = [message(one) for one in self._messages]
        self._message = message
        # By message and part.
        self._removed: dict[tuple[int, int], list[Span]] = {}
        self._removed_turns: set[int] = set()
        self._ranked: dict[str, list[_Piece]] = {}
        self._fitted = {"passages": 0, "turns": 0, "paragraphs": 0}

    def fit_to(self, budget: int) -> FitResult:
        """The messages in at most `budget` tokens; in more where nothing else may go."""
        messages = self._messages
        for _ in range(MOST_ROUNDS):
            over = sum(map(self._message, messages)) - budget
            if over <= 0 or not self._drop(over, budget):
                break
            messages = self._edited()
        return FitResult(messages, **self._fitted)

    def _drop(self, over: int, budget: int) -> bool:
        """Drop at least `over` tokens. False when nothing more may go."""
        before = sum(self._fitted.values())
        over -= self._take("passages", self._passages, over, keep=1)
        over -= self._take_turns(over, max(1, budget // BLOCKS))
        over -= self._take("passages", self._passages, over)
        self._take("paragraphs", self._paragraphs, over)
        return sum(self._fitted.values()) > before

    def _take(self, kind: str, find: Callable[[], list[_Piece]], over: int, keep: int = 0) -> int:
        """Tokens freed. The pieces are ranked once, and counted only when they go."""
        freed = 0
        if over <= 0:
            return freed
        if kind not in self._ranked:
            self._ranked[kind] = self._most_first(find())
        left = self._ranked[kind]
        while len(left) > keep and freed < over:
            piece = left.pop()
            if piece.at not in self._removed_turns:
                freed += self._text(piece.body)
                self._removed.setdefault((piece.at, piece.part), []).append(piece.span)
                self._fitted[kind] += 1
        return freed

    def _take_turns(self, over: int, block: int) -> int:
        if over <= 0:
            return 0
        gone = sum(self._sizes[at] for at in self._removed_turns)
        # Up to the next whole block, counted from the beginning: the same cut until that is not enough.
        wanted = -(-(gone + over) // block) * block - gone
        freed = 0
        for turn in self._old_turns():
            if freed >= wanted:
                break
            freed += sum(self._sizes[at] for at in turn)
            self._removed_turns.update(turn)
            self._fitted["turns"] += 1
        return freed

    def _passages(self) -> list[_Piece]:
        return [
            _Piece(at, part, span, text[span[0] : span[1]])
            for at, part, text in self._texts()
            for span in passages_of(text)
        ]

    def _paragraphs(self) -> list[_Piece]:
        """Of the system's texts, but for the first of each, and for those that hold passages."""
        found = []
        for at, part, text in self._texts():
            if self._messages[at].get("role") in INSTRUCTING:
                held = [start for start, _ in passages_of(text)]
                spans = [
                    (start, end)
                    for start, end in paragraphs(text)[1:]
                    if bisect_left(held, start) == bisect_left(held, end)
                ]
                found += [_Piece(at, part, span, text[slice(*span)]) for span in spans]
        return found

    def _most_first(self, pieces: list[_Piece]) -> list[_Piece]:
        order = ranked(self._question, [piece.body for piece in pieces])
        return [pieces[at] for at in order]

    def _texts(self) -> Iterator[tuple[int, int, str]]:
        """The texts that may lose a part: system's and users', behind what is pinned, still there."""
        for at in range(self._pinned, len(self._messages)):
            if at not in self._removed_turns and self._messages[at].get("role") in INSTRUCTING | {"user"}:
                for part, text in enumerate(texts(self._messages[at])):
                    yield at, part, text

    def _old_turns(self) -> list[list[int]]:
        """The turns that may go, in the order in which they go."""
        newest = last_user(self._messages)
        turns: list[list[int]] = []
        steps: list[list[int]] = []
        for at, message in enumerate(self._messages):
            if message.get("role") in INSTRUCTING:
                continue
            if at < newest:
                _append(turns, at, begins=message.get("role") == "user")
            elif at > newest:
                _append(steps, at, begins=message.get("role") == "assistant")
        first, middle = turns[:1], turns[1:]
        return [
            turn
            for turn in [*middle, *steps[:-1], *first]
            if turn[0] >= self._pinned and turn[0] not in self._removed_turns
        ]

    def _edited(self) -> list[Message]:
        return [self._cut(at) for at in range(len(self._messages)) if at not in self._removed_turns]

    def _cut(self, at: int) -> Message:
        parts = count()
        return with_texts(
            self._messages[at], lambda text: cut_out(text, sorted(self._removed.get((at, next(parts)), ())))
        )


def _append(groups: list[list[int]], at: int, *, begins: bool) -> None:
    if begins or not groups:
        groups.append([at])
    else:
        groups[-1].append(at)
