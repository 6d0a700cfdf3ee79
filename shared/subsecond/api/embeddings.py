"""`POST /v1/embeddings`."""

from __future__ import annotations

from starlette.types import Send

from subsecond.api.headers import response_headers
from subsecond.api.request import RequestContext
from subsecond.api.response import GuardedResponse, with_fields, write
from subsecond.api.wire import to_embeddings
from subsecond.model import Call, Tenant


class EmbeddingsResponse(GuardedResponse):
    """The body, then the figures, then the end of the response."""

    async def work(self, send: Send) -> None:
        context = self.context
        tenant = await context.authenticate()
        call = _call(context, await context.body())
        context.watch()
        try:
            await self._answer(tenant, call, send)
        except BaseException as error:
            context.trace.fail(error)
            raise
        finally:
            await context.gateway.record(context.trace)
        await write(send, b"", more=False)

    async def _answer(self, tenant: Tenant, call: Call, send: Send) -> None:
        context = self.context
        reply = await context.gateway.embeddings.answer(tenant, call, context.trace)
        context.settle()
        body = reply.body
        if context.flag("x-subsecond-trace"):
            body = with_fields(body, {"subsecond": context.trace.public()})
        headers = [
            (b"content-type", reply.content_type.encode("latin-1")),
            (b"content-length", str(len(body)).encode()),
            *response_headers(reply.head, context.trace),
        ]
        await self.start(send, headers, streaming=False)
        await write(send, body)


def _call(context: RequestContext, body: dict[str, object]) -> Call:
    from subsecond.api.bodies import EmbeddingsBody, check  # pydantic, which completions do without

    checked = check(EmbeddingsBody, body)
    return to_embeddings(body, checked, context.cache_control, context.deadline(checked.max_latency_ms))
