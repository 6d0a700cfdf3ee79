"""The life of a request, top to bottom.

    authenticate -> prepare -> exact -> upstream -> store -> record

There is one path, and it streams: a whole reply is a stream that somebody joined, a hit is a stored answer replayed.
The first event is a Head, so whatever fails before it has a proper status. After Done nothing is owed to the client:
the writes come then, before the generator ends, because Lambda freezes what would run later.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from subsecond.config import Settings
from subsecond.errors import NotCached
from subsecond.failopen import fail_open
from subsecond.model import Call, Done, Event, Head, Tenant
from subsecond.ports import ExactStore, Keys, Ledger, Upstream
from subsecond.prompts.canonical import prepare
from subsecond.stages.authenticate import authenticate
from subsecond.stages.exact import head_of_hit, keep, look_up, usage_of
from subsecond.stats.trace import Trace
from subsecond.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Gateway:
    """One environment's gateway: the adapters that `bootstrap` chose."""

    settings: Settings
    keys: Keys
    exact: ExactStore
    upstream: Upstream
    ledger: Ledger

    async def authenticate(self, token: str | None, trace: Trace) -> Tenant:
        """Who asks, before anything is read, looked up or spent. Raises Unauthorized, Unavailable."""
        return await authenticate(self.keys, token, trace)

    async def complete(self, tenant: Tenant, call: Call, trace: Trace) -> AsyncGenerator[Event]:
        """Head, then Chunks, then Done; after a hit's Head, Done alone. Raises SubsecondError. To be closed."""
        trace.model = call.model
        try:
            async with aclosing(self._answer(tenant, call, trace)) as events:
                async for event in events:
                    yield event
        except BaseException as error:
            trace.fail(error)
            raise
        finally:
            await self.record(trace)

    async def _answer(self, tenant: Tenant, call: Call, trace: Trace) -> AsyncGenerator[Event]:
        with trace.step("prepare"):
            prompt = prepare(call, tenant)

        with trace.step("exact"):
            entry = await look_up(self.exact, self.settings, call, tenant, prompt, trace)
        if entry:
            yield head_of_hit(entry, trace)
            yield Done(entry.answer)
            trace.usage = usage_of(entry.answer)
            return
        if call.rules.only_if_cached:
            raise NotCached("Nothing is cached for this request, and `only-if-cached` forbids asking the model.")

        transcript = Transcript(call.endpoint)
        trace.source = "upstream"
        async with aclosing(self.upstream.stream(call)) as payloads:
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
        answer, trace.usage = transcript.answer(), transcript.usage
        yield Done(answer)

        with trace.step("store"):
            await keep(self.exact, self.settings, call, tenant, prompt, answer, trace)

    async def record(self, trace: Trace) -> None:
        """On every exit. The merge into the shared table comes after the last byte, every few seconds at the most."""
        trace.finish()
        self.ledger.record(trace)
        await fail_open(trace, "flush", self.ledger.flush(), self.settings.store_timeout)
