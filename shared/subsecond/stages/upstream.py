"""The model is asked, and its answer streamed through as it comes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from subsecond.admission import Admission
from subsecond.model import Call, Done, Event, Head
from subsecond.ports import Upstream
from subsecond.stats.trace import Trace
from subsecond.transcript import Transcript


async def ask(upstream: Upstream, admission: Admission, call: Call, trace: Trace) -> AsyncGenerator[Event]:
    """Head once the first payload is there and no error, then Chunks, then Done. Raises UpstreamError, Overloaded."""
    transcript = Transcript(call.endpoint)
    trace.source = "upstream"
    place = admission.place(call.model, trace.partition or "", call.deadline)
    async with place, aclosing(upstream.stream(call)) as payloads:
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
