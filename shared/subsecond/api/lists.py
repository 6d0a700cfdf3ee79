"""`/v1/completions` and its relatives: one prompt or many."""

from __future__ import annotations

import json
from contextlib import aclosing
from time import perf_counter
from typing import Any

from starlette.types import Send

from subsecond.api import plans
from subsecond.api.batches import Answered, answer_all, joined, lone, seed_fields, stream_all
from subsecond.api.request import Exchange
from subsecond.api.response import STREAM_HEADERS, CompletionReply, GuardedResponse, write
from subsecond.api.stream_encoder import Voice
from subsecond.api.wire import Travel
from subsecond.errors import SubsecondError
from subsecond.model import Call, Tenant
from subsecond.streaming.sse import DONE
from subsecond.streaming.transcript import dump


class TextReply(CompletionReply):
    """`POST /v1/completions` (`streamed`: `/stream`, where the answer always streams)."""

    def __init__(self, exchange: Exchange, *, streamed: bool) -> None:
        GuardedResponse.__init__(self, exchange)
        self._streamed = streamed

    async def work(self, send: Send) -> None:
        exchange = self.exchange
        tenant = await exchange.authenticate()
        calls, how = plans.texts(exchange, await exchange.body(), streamed=self._streamed)
        exchange.watch()
        if len(calls) == 1:
            await self.send_completion(tenant, lone(calls[0]), how, send)
        elif how.stream:
            await self._stream_list(tenant, calls, how, send)
        else:
            await self._whole_list(tenant, calls, send)

    async def _whole_list(self, tenant: Tenant, calls: list[Call], send: Send) -> None:
        exchange = self.exchange
        outcomes = await answer_all(exchange.gateway, tenant, calls)
        for outcome in outcomes:
            if isinstance(outcome, SubsecondError):
                raise outcome
        answered = [outcome for outcome in outcomes if isinstance(outcome, Answered)]
        whole = {**joined(answered, calls), **seed_fields(answered, exchange.trace.started)}
        exchange.settle()
        await self.send_whole(dump(whole), send)

    async def _stream_list(self, tenant: Tenant, calls: list[Call], how: Travel, send: Send) -> None:
        exchange = self.exchange
        voice = Voice(how)
        async with aclosing(stream_all(exchange.gateway, tenant, calls)) as chunks:
            first = await anext(chunks, None)
            # No Cache-Status: some of the prompts may be hits and others none.
            headers = [(b"x-request-id", exchange.trace.request_id.encode())]
            await self.start(send, STREAM_HEADERS + headers, streaming=True)
            if first:
                await write(send, voice.say(first))
            async for chunk in chunks:
                if data := voice.say(chunk):
                    await write(send, data)
        exchange.settle()
        await write(send, voice.finish(exchange.trace) + DONE, more=False)


class BatchReply(GuardedResponse):
    """`POST /v1/completions/batch`: `prompts` in; `responses` in the same order, null where one failed."""

    async def work(self, send: Send) -> None:
        exchange = self.exchange
        tenant = await exchange.authenticate()
        calls = plans.batch(exchange, await exchange.body())
        exchange.watch()
        outcomes = await answer_all(exchange.gateway, tenant, calls)
        exchange.settle()
        await self.send_whole(dump(_batch(outcomes, exchange.trace.started)), send)


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
    text: str = json.loads(outcome.answer.body)["choices"][0]["text"]
    return text


def _result(outcome: Answered | SubsecondError) -> dict[str, Any]:
    if isinstance(outcome, SubsecondError):
        return {"error": outcome.body()["error"]}
    cached = outcome.head.source != "upstream"
    return {
        "cached": cached,
        "cache_type": outcome.head.source if cached else None,
        "latency_ms": round(outcome.seconds * 1000, 3),
    }
