"""Responses whose upstream keeps an object: it belongs to the partition that made it, and to nobody else.

The id of an object is recorded before the event that names it is told, so that whoever asks for it at once finds it,
also in another environment. A request with `store: false` that names no object records and looks up nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from starlette.types import Send

from subsecond.aio.fail_open import fail_open
from subsecond.api import plans
from subsecond.api.cache_operations import sure
from subsecond.api.request import RequestContext
from subsecond.api.response import CompletionReply, GuardedResponse
from subsecond.dialects.lookup import dialect_of
from subsecond.errors import NotFound
from subsecond.model import Call, Tenant
from subsecond.pipeline import Gateway
from subsecond.ports import Owners

# What an id can be; of anything else nobody is the owner.
_ID = re.compile(r"[\w-]{1,128}")


class ResponsesReply(CompletionReply):
    """`POST /v1/responses`."""

    def __init__(self, context: RequestContext) -> None:
        super().__init__(context, plans.responses(context), "responses")
        self._partition = ""

    async def work(self, send: Send) -> None:
        context = self.context
        claim, (call, options) = await context.claimed(self.plan)
        context.watch()
        if named := self.dialect.objects_named(call.body):
            await claim.confirmed(context.trace)
            call = await self._where_it_lies(claim.tenant, call, named)
        if self.dialect.state(call.body):
            self.keeps, self._partition = True, claim.tenant.partition
        await self.send_completion(claim, call, options, send)

    async def hear(self, payload: bytes) -> None:
        """Record the objects that it names, for an answer that was made for this request."""
        context = self.context
        if context.trace.source == "upstream" and (names := self.dialect.object_ids(payload)):
            owners = await owners_of(context.gateway)
            added = owners.add(self._partition, names, context.trace.model or "")
            await fail_open(context.trace, "owners", added, context.gateway.settings.store_timeout)

    async def _where_it_lies(self, tenant: Tenant, call: Call, named: Sequence[str]) -> Call:
        """The call for the model whose server has what it goes on from. Raises NotFound, Unavailable."""
        gateway = self.context.gateway
        owners = await owners_of(gateway)
        places = await sure(owners.places(tenant.partition, named))
        for name in named:
            if name not in places:
                raise unknown(name)
        beside = gateway.models.beside(call.model, places[named[0]])
        return call if beside == call.model else replace(call, model=beside)


class ObjectReply(GuardedResponse):
    """`/v1/responses/ID` and what stands behind it, as the upstream that has it says it."""

    dialect = dialect_of("responses")

    def __init__(self, context: RequestContext, method: str, behind: str) -> None:
        super().__init__(context)
        self._method = method
        self._behind = behind

    async def work(self, send: Send) -> None:
        context, name = self.context, self.context.name
        gateway, trace = context.gateway, context.trace
        tenant = await context.authenticate()
        context.watch()
        owners = await owners_of(gateway)
        places = await sure(owners.places(tenant.partition, [name])) if _ID.fullmatch(name) else {}
        if name not in places:
            raise unknown(name)
        path = f"{self.dialect.path}/{name}{self._behind}{context.query_string}"
        reply = await gateway.models.kept(places[name], self._method, path, context.deadline(None), trace)
        if self._method == "DELETE":
            await fail_open(trace, "owners", owners.drop(tenant.partition, name), gateway.settings.store_timeout)
        await gateway.record(trace)
        context.settle()
        await self.send_whole(reply.body, send, reply.content_type)


async def owners_of(gateway: Gateway) -> Owners:
    assert gateway.models.owners
    return await gateway.models.owners.get()


def unknown(name: str) -> NotFound:
    """Of an object that is somebody else's the same is said as of one that there is not."""
    return NotFound(f"Nothing with the id {name[:128]!r} was found.", code="not_found")
