"""What a dialect is: how its requests are read, and how an answer and an error are said in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from subsecond.errors import UpstreamError
from subsecond_local.simulator.question import Question
from subsecond_local.simulator.simulated_answer import Payload, SimulatedAnswer


class Memory(Protocol):
    """What the simulator keeps from one request to the next."""

    def conversation(self, identity: str) -> list[Any] | None:
        """What was asked and answered up to and including this response; None when it is not kept."""

    def item(self, identity: str) -> dict[str, Any] | None:
        """One item of a response that is kept."""

    def prefix(self, prefixes: list[str]) -> int:
        """The place of the longest of these beginnings of a prompt that was there before, -1 for none. From now on all
        of them were."""


class Steps(Protocol):
    """The payloads by token; the last step closes the answer. usage: whether the request asks for usage."""

    def __call__(self, answer: SimulatedAnswer, *, usage: bool) -> Iterator[list[Payload]]: ...


@dataclass(frozen=True, slots=True)
class Dialect:
    """read: UpstreamError 400 for a request that is none. error_event: behind so many events. last: what follows
    the last event of an answer that is whole. piece: the name of the event that a cut one pretends to be."""

    read: Callable[[Mapping[str, Any], Memory], Question]
    whole: Callable[[SimulatedAnswer], dict[str, Any]]
    steps: Steps
    error_body: Callable[[UpstreamError], dict[str, Any]]
    error_event: Callable[[UpstreamError, int], Payload]
    last: bytes = b""
    piece: bytes = b""
