"""What a body asks for: checked, and told apart into the call and how its answer shall travel."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from subsecond.api.request import RequestContext
from subsecond.api.response import Plan
from subsecond.api.usual_body import UsualBody, usual_chat, usual_responses, usual_text
from subsecond.api.wire import Asked, DeliveryOptions, to_call
from subsecond.dialects.lookup import dialect_of
from subsecond.errors import InvalidRequest
from subsecond.model import Call, Endpoint

if TYPE_CHECKING:
    from subsecond.api.bodies import ChatBody, Common, ResponsesBody, TextBody

OPTIMISE = "x-subsecond-optimise"
GRANULARITIES = ("token", "sentence")


def chat(context: RequestContext, endpoint: Endpoint = "chat") -> Plan:
    """Also of Anthropic's Messages: what is acted on stands in the same places."""

    def plan(body: dict[str, Any]) -> tuple[Call, DeliveryOptions]:
        checked = usual_chat(body) or _checked_chat(body)
        return _call(context, endpoint, Asked(body, context.raw), checked), delivery(context, checked, endpoint)

    return plan


def responses(context: RequestContext) -> Plan:
    def plan(body: dict[str, Any]) -> tuple[Call, DeliveryOptions]:
        checked = usual_responses(body) or _checked_responses(body)
        call = _call(context, "responses", Asked(body, context.raw), checked)
        if context.gateway.settings.responses_state == "ignore":
            call = replace(call, rules=replace(call.rules, objects=False))
        return call, delivery(context, checked, "responses")

    return plan


def texts(context: RequestContext, body: dict[str, Any], *, streamed: bool) -> tuple[list[Call], DeliveryOptions]:
    """One call for each prompt. Token arrays are one prompt each, and passed through."""
    filled = _with_default_model(context, body)
    checked = usual_text(filled) or _checked_text(filled)
    how, prompt = delivery(context, checked, "text"), checked.prompt
    if not isinstance(prompt, list) or not prompt or isinstance(prompt[0], int):
        raw = context.raw if "model" in body else None
        return [_call(context, "text", Asked(filled, raw, streamed=streamed), checked)], how
    _bounded(context, len(prompt), "prompt")
    each = (Asked({**filled, "prompt": one}, streamed=streamed) for one in prompt)
    return _alike([_call(context, "text", one, checked) for one in each], context), how


def batch(context: RequestContext, body: dict[str, Any]) -> list[Call]:
    body = _with_default_model(context, body)
    from subsecond.api.bodies import BatchBody, check  # pydantic, which most requests do without

    checked = check(BatchBody, body)
    _bounded(context, len(checked.prompts), "prompts")
    rest = {name: value for name, value in body.items() if name not in ("prompts", "stream", "stream_options")}
    each = (Asked({**rest, "prompt": prompt}) for prompt in checked.prompts)
    # Its reply is one object, whatever the body says of streams.
    return _alike([replace(_call(context, "text", one, checked), form="whole") for one in each], context)


def _checked_chat(body: dict[str, Any]) -> ChatBody:
    from subsecond.api.bodies import ChatBody, check

    return check(ChatBody, body)


def _checked_responses(body: dict[str, Any]) -> ResponsesBody:
    from subsecond.api.bodies import ResponsesBody, check

    return check(ResponsesBody, body)


def _checked_text(body: dict[str, Any]) -> TextBody:
    from subsecond.api.bodies import TextBody, check

    return check(TextBody, body)


def delivery(context: RequestContext, checked: Common | UsualBody, endpoint: Endpoint) -> DeliveryOptions:
    granularity = context.headers.get("x-subsecond-granularity", "token")
    offered = GRANULARITIES if dialect_of(endpoint).in_sentences else GRANULARITIES[:1]
    if granularity not in offered:
        wanted = " or ".join(offered)
        raise InvalidRequest(
            f"x-subsecond-granularity: {wanted}, not {granularity!r}.", param="x-subsecond-granularity"
        )
    options = checked.stream_options
    return DeliveryOptions(
        usage=bool(options and options.include_usage),
        sentences=granularity == "sentence",
        trace=context.flag("x-subsecond-trace"),
    )


def _call(context: RequestContext, endpoint: Endpoint, asked: Asked, checked: Common | UsualBody) -> Call:
    call = to_call(endpoint, asked, checked, context.cache_control, context.deadline(checked.max_latency_ms))
    if passed := context.passed_on(dialect_of(endpoint).headers):
        call = replace(call, headers=passed)
    level = context.headers.get(OPTIMISE, "")
    return replace(call, optimise=_optimise(context, call.model, level)) if level else call


def _optimise(context: RequestContext, model: str, asked: str) -> str:
    """What the header asks of the optimiser, refused before anything is looked up where it makes no sense."""
    from subsecond.optimiser.plan import plan_for  # for those who send the header

    plan_for(context.gateway.settings, model, asked)
    return asked


def _alike(calls: list[Call], context: RequestContext) -> list[Call]:
    """The calls of one request."""
    return [replace(call, batch=context.trace.request_id) for call in calls]


def _with_default_model(context: RequestContext, body: dict[str, Any]) -> dict[str, Any]:
    """The plain routes may be asked without a model; OpenAI's chat route may not."""
    default = context.gateway.settings.default_model
    return {"model": default, **body} if default else body


def _bounded(context: RequestContext, count: int, param: str) -> None:
    most = context.gateway.settings.max_batch
    if count > most:
        raise InvalidRequest(f"'{param}' holds {count} prompts; {most} are the most. Send them in parts.", param=param)
