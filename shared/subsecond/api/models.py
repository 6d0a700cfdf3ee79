"""`GET /v1/models`: the list of models, passed through or the catalogue's, in the dialect of who asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.responses import Response

from subsecond.api.models_listing import in_dialect
from subsecond.api.request import RequestContext
from subsecond.api.response import JsonReply
from subsecond.dialects.lookup import dialect_of
from subsecond.errors import UpstreamUnreachable
from subsecond.resending import counted_in
from subsecond.stats.trace import Step
from subsecond.streaming.disguise import error_in
from subsecond.streaming.events import parsed
from subsecond.streaming.json_bytes import dump
from subsecond.upstreams.kind import kind_of

JSON = "application/json"
# Anthropic's list alone has pages, of 20 unless somebody asks for more (https://docs.claude.com/en/api/models-list).
# Whose `after_id` was not passed on would ask for the second page for ever.
_ALL = "?limit=1000"


def models(context: RequestContext) -> Response:
    async def make() -> tuple[str, bytes]:
        await context.authenticate()
        kind, listed = await _listed(context, context.query_string if _is_of_messages(context) else "")
        translated = in_dialect(parsed(listed), messages=_is_of_messages(context))
        return kind, listed if translated is None else dump(translated)

    return _told(context, make)


def model(context: RequestContext) -> Response:
    """One of the list: not every upstream serves `/models/NAME`."""

    async def make() -> tuple[str, bytes]:
        from subsecond.routing.catalogue import unknown  # routing, which nothing else here needs

        await context.authenticate()
        _, listed = await _listed(context)
        whole = parsed(listed)
        data = (in_dialect(whole, messages=_is_of_messages(context)) or whole).get("data")
        found = {str(one.get("id")): one for one in data if isinstance(one, dict)} if isinstance(data, list) else {}
        name = context.name
        if name not in found:
            raise unknown(name, found)
        return JSON, dump(found[name])

    return _told(context, make)


def _told(context: RequestContext, make: Callable[[], Awaitable[tuple[str, bytes]]]) -> Response:
    reply = JsonReply(context, make)
    reply.dialect = dialect_of("messages" if _is_of_messages(context) else "chat")
    return reply


def _is_of_messages(context: RequestContext) -> bool:
    """Anthropic's clients ask at the same path, and send this with every request."""
    return "anthropic-version" in context.headers


async def _listed(context: RequestContext, query: str = "") -> tuple[str, bytes]:
    """The models that there are, as OpenAI's list object; some servers answer with the bare array. query: which page
    of a list that has pages; without it a page that holds all. Raises the error that comes in the list's place,
    whatever its status was."""
    if routed := context.gateway.models.routed:
        return JSON, dump(routed.router.catalogue.listing())
    context.watch()
    trace = context.trace
    trace.source = "upstream"
    counted_in(trace.counts)
    with trace.step(Step.UPSTREAM):
        page = (query or _ALL) if kind_of(context.gateway.settings) == "anthropic" else ""
        reply = await context.gateway.models.listed(page, context.deadline(None), trace)
    found = parsed(reply.body)
    if error := error_in(found):
        raise error
    if not isinstance(found, dict | list):
        raise UpstreamUnreachable("The upstream's list of models is not JSON.")
    await context.gateway.record(trace)
    if isinstance(found, list):
        return JSON, dump({"object": "list", "data": found})
    return reply.content_type, reply.body
