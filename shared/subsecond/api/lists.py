"""`/v1/completions` and its relatives: one prompt or many."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from time import perf_counter
from typing import Any

from starlette.types import Send

from subsecond.api import plans
from subsecond.api.batches import Answered, answer_all, joined, lone, seed_fields, stream_all
from subsecond.api.request import RequestContext
from subsecond.api.response import STREAM_HEADERS, CompletionReply, GuardedResponse, write
from subsecond.api.stream_encoder import StreamEncoder
from subsecond.api.wire import DeliveryOptions
from subsecond.dialects.lookup import dialect_of
from subsecond.errors import SubsecondError
from subsecond.model import Call, Head, Tenant
from subsecond.streaming.json_bytes import dump


class TextReply(CompletionReply):
    """`POST /v1/completions` (`streamed`: `/stream`, where the answer always streams)."""

    def __init__(self, context: RequestContext, *, streamed: bool) -> None:
        GuardedResponse.__init__(self, context)
        self.dialect = dialect_of("text")
        self._streamed = streamed

    async def work(self, send: Send) -> None:
        context = self.context
        claim, (calls, how) = await context.claimed(partial(plans.texts, context, streamed=self._streamed))
        context.watch()
        if len(calls) == 1:
            await self.send_completion(claim, lone(calls[0]), how, send)
            return
        await claim.confirmed(context.trace)
        if calls[0].form == "stream":
            await self._stream_list(claim.tenant, calls, how, send)
        else:
            await self._whole_list(claim.tenant, calls, send)

    def extra_fields(self, body: bytes, head: Head) -> dict[str, Any]:
        """The plain fields that `/v1/completions` carries beside OpenAI's."""
        cached = head.source != "upstream"
        return {
            "response": self.dialect.recorded("whole", (body,)).text,
            "cached": cached,
            "cache_type": head.source if cached else None,
            "latency_ms": round((self.context.trace.first or 0.0) * 1000, 3),
        }

    async def _whole_list(self, tenant: Tenant, calls: list[Call], send: Send) -> None:
        context = self.context
        outcomes = await answer_all(context.gateway, tenant, calls)
        for outcome in outcomes:
            if isinstance(outcome, SubsecondError):
                raise outcome
        answered = [outcome for outcome in outcomes if isinstance(outcome, Answered)]
        whole = {**joined(answered, calls), **seed_fields(answered, context.trace.started)}
        context.settle()
        await self.send_whole(dump(whole), send)

    async def _stream_list(self, tenant: Tenant, calls: list[Call], how: DeliveryOptions, send: Send) -> None:
        context = self.context
        encoder = StreamEncoder(how, self.dialect)
        async with aclosing(stream_all(context.gateway, tenant, calls)) as chunks:
            first = await anext(chunks, None)
            # No Cache-Status: some of the prompts may be hits and others none.
            headers = [(b"x-request-id", context.trace.request_id.encode())]
            await self.start(send, STREAM_HEADERS + headers, streaming=True)
            if first:
                await write(send, encoder.encode(first))
            async for chunk in chunks:
                if data := encoder.encode(chunk):
                    await write(send, data)
        context.settle()
        await write(send, encoder.finish(context.trace), more=False)


class BatchReply(GuardedResponse):
    """`POST /v1/completions/batch`: `prompts` in; `responses` in the same order, null where one failed."""

    async def work(self, send: Send) -> None:
        context = self.context
        tenant = await context.authenticate()
        calls = plans.batch(context, await context.body())
        context.watch()
        outcomes = await answer_all(context.gateway, tenant, calls)
        context.settle()
        await self.send_whole(dump(_batch(outcomes, context.trace.started)), send)


def _batch(outcomes: list[Answered | SubsecondError], started: float) -> dict[str, Any]:
    return {
        "responses": [_text(outcome) for outcome in outcomes],
        "results": [_result(outcome) for outcome in outcomes],
        "errors": [
            {"index": index, **outcome.body()}
            for index, outcome in enumerate(outcomes)
            if isinstance(outcome, SubsecondError)
        ],
        "count": len(outcomes),
        "latency_ms": round((perf_counter() - started) * 1000, 3),
    }


def _text(outcome: Answered | SubsecondError) -> str | None:
    if isinstance(outcome, SubsecondError):
        return None
    return outcome.recording.text


def _result(outcome: Answered | SubsecondError) -> dict[str, Any]:
    if isinstance(outcome, SubsecondError):
        return {"error": outcome.body()["error"]}
    cached = outcome.head.source != "upstream"
    return {
        "cached": cached,
        "cache_type": outcome.head.source if cached else None,
        "latency_ms": round(outcome.seconds * 1000, 3),
    }
