"""Answers whose upstream keeps an object: it belongs to the partition that made it, and to nobody else.

The id of an object is recorded before the event that names it is told, so that whoever asks for it at once finds it,
also in another environment. A request with `store: false` that names no object records and looks up nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from starlette.types import Send

from subsecond.aio.fail_open import fail_open
from subsecond.api import plans
from subsecond.api.cache_operations import sure
from subsecond.api.request import RequestContext
from subsecond.api.response import STREAM_HEADERS, CompletionReply, GuardedResponse, Plan, write
from subsecond.dialects.lookup import dialect_of
from subsecond.errors import InvalidRequest, NotFound
from subsecond.model import Call, Endpoint, Tenant
from subsecond.pipeline import Gateway
from subsecond.ports import OWNERS_BATCH, EventStream, Owners, Reply
from subsecond.streaming.sse import encode

# What an id can be: of anything else nobody is the owner, and no table is told or asked. DynamoDB refuses a key of more
# than 2 KB, and a lone surrogate cannot be sent to it.
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
# Objects that one request may name: the thoughts and calls of some hundred turns, each sent as its id. With no limit
# 3,000 of them held the table's threads for 4 s and more.
MOST_NAMED = 512
# A response that was made while nobody listened: its items are told here first.
_BACKGROUND = re.compile(rb'"background"\s*:\s*true')


class ObjectsReply(CompletionReply):
    """A completion whose request may name objects, and whose answer may tell of new ones."""

    def __init__(self, context: RequestContext, plan: Plan, endpoint: Endpoint) -> None:
        super().__init__(context, plan, endpoint)
        self._partition = ""
        self._asked: Mapping[str, Any] = {}
        self._recorded: set[str] = set()

    async def work(self, send: Send) -> None:
        context = self.context
        claim, (call, options) = await context.claimed(self.plan)
        context.watch()
        if named := self.dialect.objects_named(call.body):
            await claim.confirmed(context.trace)
            call = await self._where_it_lies(claim.tenant, call, named)
        self._partition, self._asked = claim.tenant.partition, call.body
        self.keeps = self.keeps or bool(self.dialect.state(call.body))
        await self.send_completion(claim, call, options, send)

    async def hear(self, payload: bytes) -> None:
        """Record the objects that it names, for an answer that was made for this request."""
        context = self.context
        if context.trace.source != "upstream":
            return
        found = _ids(self.dialect.object_ids(payload, self._asked))
        if names := [name for name in found if name not in self._recorded]:
            self._recorded.update(names)
            await record(context, self._partition, names, context.trace.model or "")

    async def _where_it_lies(self, tenant: Tenant, call: Call, named: Sequence[str]) -> Call:
        """The call for the model whose server has what it goes on from. Raises InvalidRequest, NotFound,
        Unavailable."""
        gateway = self.context.gateway
        if len(named) > MOST_NAMED:
            told = f"names too many objects. Expected {MOST_NAMED} at most, but got {len(named)} instead."
            raise InvalidRequest(f"'input' {told}", param="input", code="array_above_max_length")
        places = await places_of(gateway, tenant, named)
        beside = gateway.models.beside(call.model, places[named[0]])
        return call if beside == call.model else replace(call, model=beside)


class ResponsesReply(ObjectsReply):
    """`POST /v1/responses`."""

    def __init__(self, context: RequestContext) -> None:
        super().__init__(context, plans.responses(context), "responses")


class MessagesReply(ObjectsReply):
    """`POST /v1/messages`. Which tools make a container is the upstream's to say, so each answer is heard."""

    keeps = True

    def __init__(self, context: RequestContext) -> None:
        super().__init__(context, plans.chat(context, "messages"), "messages")


class ObjectReply(GuardedResponse):
    """`/v1/responses/ID` and what stands behind it, as the upstream that has it says it."""

    def __init__(self, context: RequestContext, method: str, behind: str) -> None:
        super().__init__(context)
        self.dialect = dialect_of("responses")
        self._method = method
        self._behind = behind
        self._recorded = {context.name}

    async def work(self, send: Send) -> None:
        context, name = self.context, self.context.name
        models, trace = context.gateway.models, context.trace
        tenant = await context.authenticate()
        context.watch()
        place = (await places_of(context.gateway, tenant, [name]))[name]
        path = f"{self.dialect.path}/{name}{self._behind}{context.query_string}"
        async with aclosing(models.kept(place, self._method, path, context.deadline(None), trace)) as answers:
            answer = await anext(answers)
            if isinstance(answer, Reply):
                await self._whole(answer, tenant.partition, place, send)
            else:
                await self._stream(answer, tenant.partition, place, send)

    async def _whole(self, reply: Reply, partition: str, place: str, send: Send) -> None:
        context = self.context
        if self._method == "GET" and _BACKGROUND.search(reply.body):
            await self._record(reply.body, partition, place)
        if self._method == "DELETE":
            dropped = (await owners_of(context.gateway)).drop(partition, context.name)
            await fail_open(context.trace, "owners", dropped, context.gateway.settings.store_timeout)
        await context.gateway.record(context.trace)
        context.settle()
        await self.send_whole(reply.body, send, reply.content_type)

    async def _stream(self, events: EventStream, partition: str, place: str, send: Send) -> None:
        """Each event as it comes. It goes on behind the event that the query names (`starting_after`), so whether the
        response was made in the background may stand in none: the items of all are recorded."""
        context = self.context
        request_id = (b"x-request-id", context.trace.request_id.encode())
        await self.start(send, [*STREAM_HEADERS, request_id, *events.headers], streaming=True)
        while event := await events.next():
            if not event.comment:
                self.events += 1
                self.begun = self.begun or event.data
                await self._record(event.data, partition, place)
            await write(send, encode(event))
        context.settle()
        await context.gateway.record(context.trace)
        await write(send, b"", more=False)

    async def _record(self, payload: bytes, partition: str, place: str) -> None:
        found = _ids(self.dialect.object_ids(payload, {}))
        if names := [one for one in found if one not in self._recorded]:
            self._recorded.update(names)
            await record(self.context, partition, names, place)


def _ids(names: Iterable[str]) -> list[str]:
    return [name for name in names if _ID.fullmatch(name)]


async def record(context: RequestContext, partition: str, names: Sequence[str], place: str) -> None:
    """They are the partition's. A table that is away costs nobody the answer."""
    owners = await owners_of(context.gateway)
    added = owners.add(partition, names, place)
    await fail_open(context.trace, "owners", added, context.gateway.settings.store_timeout)


async def owners_of(gateway: Gateway) -> Owners:
    assert gateway.models.owners
    return await gateway.models.owners.get()


async def places_of(gateway: Gateway, tenant: Tenant, names: Sequence[str]) -> Mapping[str, str]:
    """Where each of them lies. Raises NotFound for the first that is not the tenant's, and asks for no more then;
    Unavailable."""
    for name in names:
        if not _ID.fullmatch(name):
            raise unknown(name)
    owners, places = await owners_of(gateway), dict[str, str]()
    for at in range(0, len(names), OWNERS_BATCH):
        asked = names[at : at + OWNERS_BATCH]
        places.update(await sure(owners.places(tenant.partition, asked)))
        for name in asked:
            if name not in places:
                raise unknown(name)
    return places


def unknown(name: str) -> NotFound:
    """Of an object that is somebody else's the same is said as of one that there is not."""
    return NotFound(f"Nothing with the id {name[:128]!r} was found.", code="not_found")
