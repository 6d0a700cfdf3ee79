"""One answer on the wire: whole, or as events in their time."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from subsecond.errors import UpstreamUnreachable
from subsecond_local.simulator.names import FOREVER, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from subsecond.model import Endpoint

encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def as_json(value: Any) -> bytes:
    """JSON in UTF-8; half a surrogate pair goes out as the escape that it came in as."""
    return encode(value).encode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice: its content in tokens, or the pieces of the arguments for the function `tool`."""

    pieces: tuple[str, ...]
    finish: str
    tool: str | None = None


@dataclass(frozen=True, slots=True)
class SimulatedAnswer:
    """One answer, ready to be played or sent whole. `times`: seconds from the start to each token."""

    endpoint: Endpoint
    id: str
    created: int
    model: str
    choices: tuple[Choice, ...]
    usage: Mapping[str, Any]
    times: tuple[float, ...]
    faults: Mapping[str, float]

    def whole(self) -> bytes:
        """The completion object."""
        choices = [self._whole_choice(index, choice) for index, choice in self._numbered()]
        kind = "chat.completion" if self.endpoint == "chat" else "text_completion"
        return as_json(self._head(kind) | {"choices": choices, "usage": self.usage})

    def steps(self, *, usage: bool) -> Iterator[list[bytes]]:
        """The payloads of the `data:` lines, by token; the last step closes the answer. `usage`: with a usage chunk."""
        head = encode(self._head("chat.completion.chunk" if self.endpoint == "chat" else "text_completion"))[:-1]
        # Like OpenAI's server: with include_usage, every chunk has the field, null in all but the last.
        tail = ',"usage":null}' if usage else "}"
        numbered = self._numbered()
        opening = [self._opening(index, choice) for index, choice in numbered]
        for number in range(len(self.times)):
            deltas = [
                self._delta(index, choice, choice.pieces[number])
                for index, choice in numbered
                if number < len(choice.pieces)
            ]
            yield [_chunk(head, body, tail) for body in (*opening, *deltas) if body]
            opening = []
        closing = (self._closing(index, choice) for index, choice in numbered)
        last = [_chunk(head, body, tail) for body in (*opening, *closing) if body]
        if usage:
            last.append(f'{head},"choices":[],"usage":{encode(self.usage)}}}'.encode("utf-8", "backslashreplace"))
        yield last

    def _numbered(self) -> list[tuple[int, Choice]]:
        return [(0 if "sameindex" in self.faults else index, choice) for index, choice in enumerate(self.choices)]

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _call(self, choice: Choice, arguments: str) -> dict[str, Any]:
        function = {"name": choice.tool, "arguments": arguments}
        return {"id": "call_" + self.id.rpartition("-")[2], "type": "function", "function": function}

    def _opening(self, index: int, choice: Choice) -> str:
        if self.endpoint == "text":
            return ""
        delta: dict[str, Any] = {"role": "assistant", "content": ""}
        if choice.tool is not None:
            delta = {"role": "assistant", "content": None, "tool_calls": [{"index": 0} | self._call(choice, "")]}
        return f'"index":{index},"delta":{encode(delta)},"logprobs":null,"finish_reason":null'

    def _delta(self, index: int, choice: Choice, piece: str) -> str:
        text = encode(piece)
        if self.endpoint == "text":
            body = f'"text":{text}'
        elif choice.tool is None:
            body = f'"delta":{{"content":{text}}}'
        else:
            body = f'"delta":{{"tool_calls":[{{"index":0,"function":{{"arguments":{text}}}}}]}}'
        return f'"index":{index},{body},"logprobs":null,"finish_reason":null'

    def _closing(self, index: int, choice: Choice) -> str:
        body = '"text":""' if self.endpoint == "text" else '"delta":{}'
        return f'"index":{index},{body},"logprobs":null,"finish_reason":"{choice.finish}"'

    def _whole_choice(self, index: int, choice: Choice) -> dict[str, Any]:
        text = "".join(choice.pieces)
        ending = {"logprobs": None, "finish_reason": choice.finish}
        if self.endpoint == "text":
            return {"index": index, "text": text} | ending
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if choice.tool is not None:
            message |= {"content": None, "tool_calls": [self._call(choice, text)]}
        return {"index": index, "message": message} | ending


def _chunk(head: str, body: str, tail: str) -> bytes:
    return f'{head},"choices":[{{{body}}}]{tail}'.encode("utf-8", "backslashreplace")


class Pause(Protocol):
    """How waiting is done; it raises what ends the wait before its time."""

    async def __call__(self, seconds: float, *, first: bool) -> None: ...


class PacedPayloads:
    """One answer's payloads in their time."""

    def __init__(self, answer: SimulatedAnswer, pause: Pause, *, usage: bool) -> None:
        self._answer = answer
        self._pause = pause
        self._steps = enumerate(answer.steps(usage=usage))
        self._started = monotonic()
        self._ready: deque[bytes] = deque()

    async def next(self) -> bytes | None:
        """The next one; None at the end, with or without `[DONE]`. UpstreamError for the faults that end a stream."""
        while not self._ready:
            step = next(self._steps, None)
            if step is None:
                return None
            await self._step(*step)
        return self._ready.popleft()

    async def _step(self, at: int, payloads: list[bytes]) -> None:
        tokens = len(self._answer.times)
        if at < tokens:
            await self._pause(max(0.0, self._started + self._answer.times[at] - monotonic()), first=at == 0)
        for fault, number in self._answer.faults.items():
            if at == min(number, tokens) and fault == "malformed":
                self._ready.append(b'{"choices":[{"delta":{"content":"cut')
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
    """The completion object with its faults, but for those that a connection has. UpstreamError for `errorevent`."""
    if "errorevent" in answer.faults:
        raise refusal("The fault asked for: an error instead of an answer.", status=500, code="simulated_error")
    body = answer.whole()
    return body[: len(body) // 2] if "malformed" in answer.faults else body
