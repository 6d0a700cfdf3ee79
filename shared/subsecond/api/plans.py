"""What a body asks for: checked, and told apart into the call and how its answer shall travel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from subsecond.api.request import Exchange
from subsecond.api.response import Plan
from subsecond.api.wire import BatchBody, ChatBody, Common, TextBody, Travel, check, to_call
from subsecond.errors import InvalidRequest
from subsecond.model import Call, Endpoint

OPTIMISE = "x-subsecond-optimise"
GRANULARITIES = ("token", "sentence")


def chat(exchange: Exchange) -> Plan:
    def plan(body: dict[str, Any]) -> tuple[Call, Travel]:
        checked = check(ChatBody, body)
        return _call(exchange, "chat", body, checked), travel(exchange, checked)

    return plan


def texts(exchange: Exchange, body: dict[str, Any], *, streamed: bool) -> tuple[list[Call], Travel]:
    """One call for each prompt. Token arrays are one prompt each, and passed through."""
    body = _with_default_model(exchange, body)
    checked = check(TextBody, body)
    how = travel(exchange, checked, streamed=streamed)
    prompt = checked.prompt
    if not isinstance(prompt, list) or not prompt or isinstance(prompt[0], int):
        return [_call(exchange, "text", body, checked)], how
    _bounded(exchange, len(prompt), "prompt")
    return _alike([_call(exchange, "text", {**body, "prompt": one}, checked) for one in prompt], exchange), how


def batch(exchange: Exchange, body: dict[str, Any]) -> list[Call]:
    body = _with_default_model(exchange, body)
    checked = check(BatchBody, body)
    _bounded(exchange, len(checked.prompts), "prompts")
    rest = {name: value for name, value in body.items() if name != "prompts"}
    calls = [_call(exchange, "text", {**rest, "prompt": prompt}, checked) for prompt in checked.prompts]
    return _alike(calls, exchange)


def travel(exchange: Exchange, checked: Common, *, streamed: bool = False) -> Travel:
    granularity = exchange.headers.get("x-subsecond-granularity", "token")
    if granularity not in GRANULARITIES:
        wanted = " or ".join(GRANULARITIES)
        raise InvalidRequest(
            f"x-subsecond-granularity: {wanted}, not {granularity!r}.", param="x-subsecond-granularity"
        )
    options = checked.stream_options
    return Travel(
        stream=streamed or bool(checked.stream),
        usage=bool(options and options.include_usage),
        sentences=granularity == "sentence",
        trace=exchange.flag("x-subsecond-trace"),
    )


def _call(exchange: Exchange, endpoint: Endpoint, body: dict[str, Any], checked: Common) -> Call:
    cache_control = exchange.headers.get("cache-control", "")
    call = to_call(endpoint, body, checked, cache_control, exchange.deadline(checked.max_latency_ms))
    asked = exchange.headers.get(OPTIMISE, "")
    return replace(call, optimise=_optimise(exchange, call.model, asked)) if asked else call


def _optimise(exchange: Exchange, model: str, asked: str) -> str:
    """What the header asks of the optimiser, refused before anything is looked up where it makes no sense."""
    from subsecond.optimiser.plan import plan_for  # noqa: PLC0415 -- for those who send the header

    plan_for(exchange.gateway.settings, model, asked)
    return asked


def _alike(calls: list[Call], exchange: Exchange) -> list[Call]:
    """The calls of one request."""
    return [replace(call, batch=exchange.trace.request_id) for call in calls]


def _with_default_model(exchange: Exchange, body: dict[str, Any]) -> dict[str, Any]:
    """The plain routes may be asked without a model; OpenAI's chat route may not."""
    default = exchange.gateway.settings.default_model
    return {"model": default, **body} if default else body


def _bounded(exchange: Exchange, count: int, param: str) -> None:
    most = exchange.gateway.settings.max_batch
    if count > most:
        raise InvalidRequest(f"'{param}' holds {count} prompts; {most} are the most. Send them in parts.", param=param)
