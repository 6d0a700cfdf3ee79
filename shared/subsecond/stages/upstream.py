"""The model is asked, with the prompt trimmed for it, and its answer streamed through as it comes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from subsecond.admission import Admission
from subsecond.errors import SubsecondError
from subsecond.failopen import fail_open
from subsecond.late import Late
from subsecond.model import Call, Done, Event, Head
from subsecond.ports import Upstream
from subsecond.stats.trace import Trace
from subsecond.transcript import Transcript

if TYPE_CHECKING:
    from subsecond.prompts.optimiser import Optimiser

# Seconds for the optimiser, its loading included. It does not wait for anybody.
BOX = 5.0


@dataclass(frozen=True, slots=True)
class Models:
    """The stage's parts. optimiser: None where nothing is ever trimmed."""

    upstream: Upstream
    admission: Admission
    optimiser: Late[Optimiser] | None = None

    async def ask(self, call: Call, trace: Trace) -> AsyncGenerator[Event]:
        """Head once the first payload is there and no error, then Chunks, then Done.

        Raises UpstreamError, Overloaded, ContextLengthExceeded.
        """
        trace.source = "upstream"
        place = self.admission.place(call.model, trace.partition or "", call.deadline, call.batch)
        async with place:
            with trace.step("optimise"):
                sent = await self._optimised(call, trace)
            async with aclosing(_streamed(self.upstream, sent, trace)) as events:
                async for event in events:
                    if isinstance(event, Done):
                        self._learn(sent, trace)
                    yield event

    async def _optimised(self, call: Call, trace: Trace) -> Call:
        if self.optimiser is None:
            return call
        outcome = await fail_open(trace, "optimise", self._run(call, trace), BOX)
        if isinstance(outcome, SubsecondError):
            raise outcome
        return outcome or call

    async def _run(self, call: Call, trace: Trace) -> Call | SubsecondError:
        """What is to be sent; what the client is to be told is no failure of ours."""
        assert self.optimiser
        optimiser = await self.optimiser.get()
        try:
            sent, trace.optimise = optimiser.run(call, call.optimise, trace.partition or "")
        except SubsecondError as error:
            return error
        trace.counts.update(trace.optimise.counts())
        return sent

    def _learn(self, sent: Call, trace: Trace) -> None:
        if trace.optimise and self.optimiser and self.optimiser.made:
            self.optimiser.made.learn(trace.optimise, sent.model, trace.usage)


async def _streamed(upstream: Upstream, call: Call, trace: Trace) -> AsyncGenerator[Event]:
    transcript = Transcript(call.endpoint)
    async with aclosing(upstream.stream(call)) as payloads:
        with trace.step("upstream"):
            # A stream without an event is no answer: the transcript refuses the empty payload.
            chunk = transcript.add(await anext(payloads, b""))
        trace.first_byte()
        yield Head("upstream", call.model)
        if chunk:
            yield chunk
        async for payload in payloads:
            if chunk := transcript.add(payload):
                yield chunk
    if usage := transcript.usage_chunk():
        yield usage
    trace.usage = transcript.usage
    yield Done(transcript.answer())
