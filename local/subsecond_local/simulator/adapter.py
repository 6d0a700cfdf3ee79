"""A model server with no model, in this process: `engine` with the settings' time limits.

Model names, faults and what answers depend on are described in docs/simulator.md. Whole events are all that a caller
sees here, so the fault `slow` does nothing.
"""

from __future__ import annotations

import asyncio
import json
import math
from time import monotonic
from typing import TYPE_CHECKING, Any

from subsecond.errors import DeadlineExceeded, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from subsecond.model import Chunk, Headers
from subsecond.ports import ByteStream, EventStream, Reply
from subsecond_local.simulator.engine import Simulation
from subsecond_local.simulator.names import FOREVER, profile, refusal
from subsecond_local.simulator.objects import found
from subsecond_local.simulator.paced import PacedPayloads, whole_body
from subsecond_local.simulator.simulated_answer import as_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from subsecond.config import Settings
    from subsecond.model import Call, Passage


class Simulator:
    """The adapter: the engine in this process, with the settings' time limits."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._simulation = Simulation(settings.simulator_seed)

    async def ask(self, call: Call) -> Reply | EventStream:
        answer = self._simulation.answer(call.endpoint, {**call.body, "model": call.model})
        pause = _Limited(self._settings, call.deadline)
        if call.form == "whole":
            await pause(FOREVER if "stall" in answer.faults else answer.times[-1], first=True)
            if "truncate" in answer.faults:
                raise UpstreamUnreachable("The connection died.")
            return Reply(whole_body(answer))
        stream = _Stream(PacedPayloads(answer, pause, usage=True))
        await stream.begin()
        return stream

    async def fetch(self, path: str, body: Mapping[str, Any] | None, deadline: float | None) -> Reply:
        if path == "/embeddings" and body is not None:
            await _Limited(self._settings, deadline)(profile(str(body.get("model"))).first, first=True)
            # 2,048 long vectors are a second of CPU, for which the loop would serve nobody.
            return Reply(await asyncio.to_thread(self._simulation.embeddings, body))
        kept = found(self._simulation.memory, "GET", path) if body is None else None
        if kept is None:
            raise refusal(f"The simulator does not serve {path}.", status=404, code="unknown_url")
        return Reply(as_json(kept))

    async def pass_on(self, passage: Passage) -> ByteStream:
        """A count of tokens; the simulator has no pictures and no sounds."""
        if passage.path != "/messages/count_tokens":
            raise refusal(f"The simulator does not serve {passage.path}.", status=404, code="unknown_url")
        return _Whole(self._simulation.tokens(json.loads(passage.content)))


class _Whole:
    """The port `ByteStream`, of what is there already."""

    content_type = "application/json"
    headers: Headers = ()

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body

    async def next(self) -> bytes | None:
        body, self._body = self._body, None
        return body

    def close(self) -> None:
        """There is nothing to end."""


class _Stream:
    """The port `EventStream`: what `upstreams.openai` makes of the same answer from the server."""

    headers: Headers = ()

    def __init__(self, payloads: PacedPayloads) -> None:
        self._payloads: PacedPayloads | None = payloads
        self._first: Chunk | None = None

    async def begin(self) -> None:
        self._first = await self.next()

    async def next(self) -> Chunk | None:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        if self._payloads is None:
            return None
        payloads = self._payloads
        try:
            payload = await payloads.next()
        except UpstreamError as error:
            self._payloads = None
            if error.code != "simulated_error":
                raise
            payload = payloads.failed(error)
        return None if payload is None else Chunk(payload.data, name=payload.name)

    def close(self) -> None:
        self._payloads = self._first = None


class _Limited:
    """Waits as long as the limits allow, then says which one it was."""

    def __init__(self, settings: Settings, deadline: float | None) -> None:
        self._first = settings.first_token_timeout
        self._idle = settings.idle_timeout
        self._end = monotonic() + settings.total_timeout
        self._deadline = math.inf if deadline is None else deadline

    async def __call__(self, seconds: float, *, first: bool) -> None:
        now = monotonic()
        limit = min(self._first if first else self._idle, self._end - now)
        left = self._deadline - now
        await asyncio.sleep(max(0.0, min(seconds, limit, left)))
        if seconds > min(limit, left):
            raise DeadlineExceeded("The time is used up.") if left < limit else UpstreamTimeout("No token in time.")


def build(settings: Settings) -> Simulator:
    return Simulator(settings)
