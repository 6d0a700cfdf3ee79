"""What is not a completion: passed through, or answered from the figures."""

from __future__ import annotations

from starlette.responses import Response

from subsecond.api.exchange import Exchange
from subsecond.api.reply import JsonReply
from subsecond.api.wire import EmbeddingsBody, check
from subsecond.transcript import dump

JSON = "application/json"


def embeddings(exchange: Exchange) -> Response:
    async def make() -> tuple[str, bytes]:
        await exchange.authenticate()
        body = await exchange.body()
        check(EmbeddingsBody, body)
        exchange.watch()
        reply = await exchange.gateway.relay("/embeddings", body, exchange.trace)
        return reply.content_type, reply.body

    return JsonReply(exchange, make)


def models(exchange: Exchange) -> Response:
    async def make() -> tuple[str, bytes]:
        await exchange.authenticate()
        exchange.watch()
        reply = await exchange.gateway.relay("/models", None, exchange.trace)
        return reply.content_type, reply.body

    return JsonReply(exchange, make)


def statistics(exchange: Exchange) -> Response:
    async def make() -> tuple[str, bytes]:
        tenant = await exchange.authenticate()
        return JSON, dump(dict(await exchange.gateway.statistics(tenant)))

    return JsonReply(exchange, make)
