"""`/v1/cache/explain`, `/v1/cache/feedback`, `/v1/cache/invalidate`: the wire around `cache_operations`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from subsecond.api import cache_operations as control
from subsecond.api import plans
from subsecond.api.bodies import TAG, Message, check
from subsecond.api.models import JSON
from subsecond.api.request import RequestContext
from subsecond.api.response import JsonReply
from subsecond.cache.end_user import user_tag
from subsecond.cache.false_hits import digest
from subsecond.config import Settings
from subsecond.errors import InvalidRequest, NotFound
from subsecond.model import Call, Tenant
from subsecond.streaming.json_bytes import dump

HASH = r"^[0-9a-f]{64}$"
# A person's answers go by a tag.
By = Literal["entry", "scope", "namespace", "tag", "model", "user"]
Hash = Annotated[str, Field(pattern=HASH)]
RequestId = Annotated[str, Field(pattern=r"^[\w-]{1,100}$")]
# The dialects whose requests can be explained, and the fields that tell which it is.
Spoken = Literal["chat", "text", "responses", "messages"]
TELLS: dict[str, Spoken] = {"prompt": "text", "input": "responses"}
Question = Annotated[str, Field(min_length=1, max_length=100_000)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)


class ExplainQuery(_Asked):
    entry: Hash | None = None
    request_id: RequestId | None = None
    question: Question | None = None
    dialect: Spoken | None = None


class FeedbackBody(_Asked):
    verdict: Literal["wrong", "right"]
    request_id: RequestId | None = None
    entry: Hash | None = None
    question: Question | None = None
    messages: list[Message] | None = None


class InvalidateBody(_Asked):
    by: By
    value: str = ""
    before: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    dry_run: bool = False


# What to send as `value` instead of what is none of its kind.
WANTED: dict[By, str] = {
    "entry": "an entry's key is wanted, 64 hexadecimal digits, as Cache-Status has it",
    "scope": "a scope is wanted, 64 hexadecimal digits, as /v1/cache/explain has it",
    "namespace": "leave 'value' out, as it is always the API key's own namespace that is invalidated",
    "tag": "a tag has 1 to 64 letters, digits and _ . : / @ + -",
    "model": "a model's name has 1 to 256 characters",
    "user": "the name is wanted that the requests had as `user` or `safety_identifier`",
}


class _Value(_Asked):
    """What `value` may be, by its kind."""

    entry: Hash = ""
    scope: Hash = ""
    namespace: Annotated[str, Field(max_length=0)] = ""
    tag: Annotated[str, Field(pattern=TAG)] = ""
    model: Annotated[str, Field(min_length=1, max_length=256)] = ""
    user: Annotated[str, Field(min_length=1, max_length=10_000)] = ""


def _reply(context: RequestContext, make: Callable[[Tenant], Awaitable[dict[str, Any]]]) -> Response:
    async def made() -> tuple[str, bytes]:
        tenant = await context.authenticate()
        _check_place(context.gateway.settings)
        return JSON, dump(await make(tenant))

    return JsonReply(context, made)


def _check_place(settings: Settings) -> None:
    """A function that shares figures but no answers, as the one for statistics does, would invalidate only its own."""
    if settings.exact == "memory" != settings.ledger:
        raise NotFound("This function has no answers: ask under the base URL that answers your requests.")


def explain(context: RequestContext) -> Response:
    """`GET ?entry=KEY[&question=TEXT]` or `?request_id=ID`."""

    async def make(tenant: Tenant) -> dict[str, Any]:
        query = check(ExplainQuery, dict(context.query))
        if query.entry:
            return await control.explain_entry(context.gateway, tenant, query.entry, query.question)
        if query.request_id:
            return await control.explain_hit(context.gateway, tenant, query.request_id)
        raise InvalidRequest("Name an 'entry' (Cache-Status has its key) or a 'request_id'.", param="entry")

    return _reply(context, make)


def explain_question(context: RequestContext) -> Response:
    """`POST` with the body of a completion: what would answer it. `?entry=KEY`: what is said of that entry for it."""

    async def make(tenant: Tenant) -> dict[str, Any]:
        query = check(ExplainQuery, dict(context.query))
        call = _call(context, await context.body(), query.dialect)
        if query.entry is None:
            return await control.explain_call(context.gateway, tenant, call)
        prompt = context.gateway.keying.prepare(call, tenant)
        return await control.explain_entry(context.gateway, tenant, query.entry, prompt.text, prompt.scope)

    return _reply(context, make)


def _call(context: RequestContext, body: dict[str, Any], dialect: Spoken | None) -> Call:
    """The completion that the body asks for, in the dialect that the query names; else in the one that its fields, or
    the header of Anthropic's clients, tell."""
    usual: Spoken = "messages" if "anthropic-version" in context.headers else "chat"
    told = [endpoint for field, endpoint in TELLS.items() if field in body]
    [endpoint, *_] = [dialect] if dialect else [*told, usual]
    if endpoint == "responses":
        return plans.responses(context)(body)[0]
    if endpoint != "text":
        return plans.chat(context, endpoint)(body)[0]
    calls, _ = plans.texts(context, body, streamed=False)
    if len(calls) != 1:
        raise InvalidRequest("One prompt at a time is explained.", param="prompt", code="invalid_value")
    return calls[0]


def feedback(context: RequestContext) -> Response:
    """`POST {"verdict": "wrong" | "right"}` with a `request_id`, or an `entry` and the `question` or `messages`."""

    async def make(tenant: Tenant) -> dict[str, Any]:
        body = check(FeedbackBody, await context.body())
        key, asked = await _pair(context, tenant, body)
        trace, gateway = context.trace, context.gateway
        found = await control.report(gateway, tenant, key, asked, trace, wrong=body.verdict == "wrong")
        await gateway.record(trace)
        return found

    return _reply(context, make)


async def _pair(context: RequestContext, tenant: Tenant, body: FeedbackBody) -> tuple[str, str]:
    """The entry that answered, and the digest of what it answered."""
    if body.request_id:
        hit = await control.hit_named(context.gateway, tenant, body.request_id)
        return hit.entry, hit.asked
    if body.entry and body.question:
        return body.entry, digest(tenant.partition, body.question)
    if body.entry and body.messages:
        return body.entry, control.digest_of(tenant, [message.model_dump() for message in body.messages])
    raise InvalidRequest(
        "Name the 'request_id' of the answer, or the 'entry' and the 'question' or 'messages' that it answered.",
        param="request_id",
    )


def _check_value(by: By, value: str) -> None:
    try:
        check(_Value, {by: value})
    except InvalidRequest as error:
        raise InvalidRequest(f"'value' is no {by}: {WANTED[by]}.", param="value", code=error.code) from None


def invalidate(context: RequestContext) -> Response:
    """`POST {"by": "entry" | "scope" | "namespace" | "tag" | "model" | "user", "value", "before", "dry_run"}`."""

    async def make(tenant: Tenant) -> dict[str, Any]:
        body = check(InvalidateBody, await context.body())
        _check_value(body.by, body.value)
        gateway, before = context.gateway, body.before
        if body.by == "user":
            tag = user_tag(tenant, body.value)
            return await control.invalidate(gateway, tenant, "tag", tag, before, dry_run=body.dry_run)
        return await control.invalidate(gateway, tenant, body.by, body.value, before, dry_run=body.dry_run)

    return _reply(context, make)
