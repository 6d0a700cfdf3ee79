"""An answer's payloads in their time, and with its faults."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import Protocol

from subsecond.errors import UpstreamError, UpstreamUnreachable
from subsecond_local.simulator.dialects import DIALECTS
from subsecond_local.simulator.names import FOREVER, refusal
from subsecond_local.simulator.simulated_answer import Payload, SimulatedAnswer, as_json

_CUT = b'{"choices":[{"delta":{"content":"cut'


class Pause(Protocol):
    """How waiting is done; it raises what ends the wait before its time."""

    async def __call__(self, seconds: float, *, first: bool) -> None: ...


class PacedPayloads:
    """One answer's payloads in their time."""

    def __init__(self, answer: SimulatedAnswer, pause: Pause, *, usage: bool) -> None:
        self._answer = answer
        self._pause = pause
        self._dialect = DIALECTS[answer.endpoint]
        self._steps = enumerate(self._dialect.steps(answer, usage=usage))
        self._started = monotonic()
        self._ready: deque[Payload] = deque()
        self._sent = 0

    async def next(self) -> Payload | None:
        """The next one; None at the end, with or without what closes the stream. UpstreamError for the faults that end
        a stream."""
        while not self._ready:
            step = next(self._steps, None)
            if step is None:
                return None
            await self._step(*step)
        self._sent += 1
        return self._ready.popleft()

    def failed(self, error: UpstreamError) -> Payload:
        """The event that says this error, behind those that were handed out."""
        return self._dialect.error_event(error, self._sent)

    async def _step(self, at: int, payloads: list[Payload]) -> None:
        tokens = len(self._answer.times)
        if at < tokens:
            await self._pause(max(0.0, self._started + self._answer.times[at] - monotonic()), first=at == 0)
        for fault, number in self._answer.faults.items():
            if at == min(number, tokens) and fault == "malformed":
                self._ready.append(Payload(_CUT, self._dialect.piece))
            elif at == min(number, tokens) and fault in ("stall", "truncate", "errorevent"):
                await _apply_fault(fault, self._pause, first=at == 0)
        self._ready += payloads


async def _apply_fault(fault: str, pause: Pause, *, first: bool) -> None:
    if fault == "stall":
        await pause(FOREVER, first=first)
    if fault == "truncate":
        raise UpstreamUnreachable("The connection died.")
    if fault == "errorevent":
        raise refusal("The fault asked for: an error in mid-stream.", status=502, code="simulated_error")


def whole_body(answer: SimulatedAnswer) -> bytes:
    """The answer's object with its faults, but for those that a connection has. UpstreamError for `errorevent`."""
    if "errorevent" in answer.faults:
        raise refusal("The fault asked for: an error instead of an answer.", status=500, code="simulated_error")
    body = as_json(DIALECTS[answer.endpoint].whole(answer))
    return body[: len(body) // 2] if "malformed" in answer.faults else body
