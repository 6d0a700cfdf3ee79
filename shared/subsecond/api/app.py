"""The one app that every function and the laptop serve: routes, and nothing that a route decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from subsecond import bootstrap
from subsecond.aio.fail_open import fail_open
from subsecond.api import plans
from subsecond.api.embeddings import EmbeddingsResponse
from subsecond.api.errors import on_http_exception
from subsecond.api.lists import BatchReply, TextReply
from subsecond.api.models import model, models
from subsecond.api.page import page
from subsecond.api.request import RequestContext
from subsecond.api.response import CompletionReply
from subsecond.api.statistics import statistics
from subsecond.model import Endpoint
from subsecond.pipeline import Gateway
from subsecond.stats.trace import Trace

# What passes unread, and whose dialect it is of, behind `/v1`. Files, batches and what else an upstream keeps are not
# among them (`errors.SHARED`).
UNREAD: Mapping[str, Endpoint | None] = {
    "/moderations": None,
    "/images/generations": None,
    "/images/edits": None,
    "/images/variations": None,
    "/audio/speech": None,
    "/audio/transcriptions": None,
    "/audio/translations": None,
    "/messages/count_tokens": "messages",
}

Handle = Callable[[RequestContext], Response]
Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


def create_app(gateway: Gateway | None = None, *, bare: bool = False) -> Starlette:
    """The ASGI app of `gateway` (default: the one that the environment describes): FastAPI, or, where it is `bare`,
    Starlette under the same routes. No route here uses what FastAPI adds, and its import is half of a function's."""
    served = gateway or bootstrap.gateway()
    app = Starlette(lifespan=_lifespan(served)) if bare else _fastapi(_lifespan(served))
    # A redirect would name the host that the client claims to have asked.
    app.router.redirect_slashes = False
    if served.settings.cors_origins:
        from subsecond.api import cors  # no function needs it

        cors.allow(app, served.settings.cors_origins)
    app.add_exception_handler(HTTPException, on_http_exception)

    def route(method: str, path: str, handle: Handle) -> None:
        app.router.routes.append(Route(path, _Endpoint(served, handle), methods=[method]))

    route("POST", "/v1/chat/completions", lambda context: CompletionReply(context, plans.chat(context)))
    route("POST", "/v1/responses", _responses("ResponsesReply"))
    for method, behind in (("GET", ""), ("DELETE", ""), ("GET", "/input_items"), ("POST", "/cancel")):
        route(method, f"/v1/responses/{{name}}{behind}", _responses("ObjectReply", method, behind))
    route("POST", "/v1/completions", lambda context: TextReply(context, streamed=False))
    route("POST", "/v1/completions/stream", lambda context: TextReply(context, streamed=True))
    route("POST", "/v1/completions/batch", BatchReply)
    route("POST", "/v1/messages", _responses("MessagesReply"))
    for path, endpoint in UNREAD.items():
        route("POST", f"/v1{path}", _unread(path, endpoint))
    route("POST", "/v1/embeddings", EmbeddingsResponse)
    route("GET", "/v1/models", models)
    route("GET", "/v1/models/{name:path}", model)
    route("GET", "/v1/cache/stats", statistics)
    route("GET", "/dashboard", page)
    route("GET", "/v1/cache/explain", _control("explain"))
    route("POST", "/v1/cache/explain", _control("explain_question"))
    route("POST", "/v1/cache/feedback", _control("feedback"))
    route("POST", "/v1/cache/invalidate", _control("invalidate"))
    app.add_route("/health", _health, methods=["GET"])
    app.add_route("/", _to_the_page, methods=["GET"])
    return app


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """A route's ASGI app. Starlette's own, around a function, adds three frames to a request, one to a send."""

    gateway: Gateway
    handle: Handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.handle(RequestContext(Request(scope, receive, send), self.gateway))(scope, receive, send)


def _lifespan(served: Gateway) -> Lifespan:
    """What a plain server does before its first request and after its last one."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        # A server that starts once need not begin cold, as a function must: no miss of it goes without the search.
        if served.semantic:
            await fail_open(Trace(), "embed", served.semantic.get(), served.settings.loading_timeout)
        checking = _checking(served)
        yield
        if checking:
            checking.cancel()
        await bootstrap.close(served)

    return lifespan


def _checking(served: Gateway) -> asyncio.Task[None] | None:
    """Checks beside the requests of a plain server. Functions run no lifespan: there `Verify` checks."""
    checker = bootstrap.checker(served) if served.semantic else None
    return asyncio.create_task(checker.forever()) if checker else None


def _responses(name: str, *how: str) -> Handle:
    def handle(context: RequestContext) -> Response:
        from subsecond.api import responses  # no chat completion needs it

        reply: Response = getattr(responses, name)(context, *how)
        return reply

    return handle


def _control(name: str) -> Handle:
    def handle(context: RequestContext) -> Response:
        from subsecond.api import cache_routes  # pydantic, which no completion needs

        reply: Response = getattr(cache_routes, name)(context)
        return reply

    return handle


def _unread(path: str, endpoint: Endpoint | None) -> Handle:
    def handle(context: RequestContext) -> Response:
        from subsecond.api.passages import PassedOn  # for these alone

        return PassedOn(context, path, endpoint)

    return handle


def _fastapi(lifespan: Lifespan) -> Starlette:
    from fastapi import FastAPI  # see create_app

    # No docs pages: they load scripts from elsewhere. No schema: the wire is OpenAI's. No spans: the trace is ours, and
    # to find out for each request that nobody wants any took 4 % of a hit's time.
    return FastAPI(
        title="Subsecond",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )


async def _to_the_page(_request: Request) -> Response:
    """Who opens the gateway's address in a browser sees the page. The path alone: no host that a client claims."""
    return Response(status_code=307, headers={"location": "/dashboard"})


async def _health(_request: Request) -> Response:
    """Alive: it asks nothing of the stores, so that a load balancer does not take down what still answers."""
    return JSONResponse({"status": "healthy"})
