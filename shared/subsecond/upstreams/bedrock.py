"""The account's own models on Amazon Bedrock, by the role's credentials: no key, no secret.

Where Bedrock's OpenAI-compatible endpoint serves a model (`SUBSECOND_BEDROCK_OPENAI`), a chat call goes there as it
came. The others are spoken to in Converse: `upstreams/converse/` has the mapping, docs/bedrock.md the table. Claude
takes Anthropic's Messages as they are, by InvokeModel. Embeddings are Titan's and Cohere's. Everything below that
(pool, time limits, retries) is what `openai` has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from time import time
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

from subsecond.aws.client import aws_of
from subsecond.config import Settings
from subsecond.errors import DialectNotSpoken, NotFound, UpstreamError
from subsecond.model import Call, Passage
from subsecond.ports import ByteStream, EventStream, Reply
from subsecond.streaming.json_bytes import dump
from subsecond.upstreams.client import Client, Sender
from subsecond.upstreams.converse.answer import Frame, whole_reply
from subsecond.upstreams.converse.embeddings import embedding_requests, embeddings_reply
from subsecond.upstreams.converse.failures import bedrock_refusal
from subsecond.upstreams.converse.families import Families, Family
from subsecond.upstreams.converse.messages import MessagesSplitter, invoke_request
from subsecond.upstreams.converse.request import Terms, converse_request
from subsecond.upstreams.converse.stream import ConverseSplitter
from subsecond.upstreams.http.exchange import Fields, Incoming, Outgoing
from subsecond.upstreams.reading import Events, read_answer, read_reply
from subsecond.upstreams.refusals import refusal
from subsecond.upstreams.request_body import adds_usage, request_body
from subsecond.upstreams.retrying import RETRIED, Passing
from subsecond.upstreams.signed_wire import SignedWire
from subsecond.upstreams.time_limits import Clock

OPENAI_PATH = "/openai/v1/chat/completions"
# Calls at once for the texts of one request of embeddings: Titan takes one text a call.
EMBEDDING_CALLS = 8

_TOKENS = b"x-amzn-bedrock-input-token-count"
_GUARDRAIL = "x-amzn-bedrock-guardrailidentifier", "x-amzn-bedrock-guardrailversion"

T = TypeVar("T")


def build(settings: Settings) -> BedrockUpstream:
    """ValueError where SUBSECOND_BEDROCK_GUARDRAIL is not like ID:VERSION. A key of another upstream is not used."""
    settings = replace(settings, upstream_key="", upstream_secret="")
    guardrail = settings.bedrock_guardrail.rpartition(":")
    if settings.bedrock_guardrail and not (guardrail[0] and guardrail[2]):
        raise ValueError("SUBSECOND_BEDROCK_GUARDRAIL is not like ID:VERSION")
    terms = Terms(settings.bedrock_max_tokens, (guardrail[0], guardrail[2]) if guardrail[0] else None)
    # Converse takes the guardrail in its body, and embeddings have none.
    fields = {OPENAI_PATH: dict(zip(_GUARDRAIL, terms.guardrail, strict=True))} if terms.guardrail else {}
    return BedrockUpstream(settings, SignedWire(settings, aws_of(settings), fields), terms)


class BedrockUpstream:
    """The port `Upstream`, of one region. One pool of connections for the process; it belongs to one event loop."""

    def __init__(self, settings: Settings, sender: Sender, terms: Terms) -> None:
        self._settings = settings
        self._terms = terms
        self._families = Families.of(settings)
        self._client = Client(settings, sender, settings.bedrock_region or "bedrock", _refused)

    async def ask(self, call: Call) -> Reply | EventStream:
        """See the port. InvalidRequest for what Converse cannot carry."""
        family = self._families.find(call.model)
        if family.openai and call.endpoint == "chat":
            return await self._ask_openai(call)
        if call.endpoint == "messages":
            return await self._ask_claude(call, family)
        asked = converse_request(call, family, self._terms)
        path = _model_path(call.model) + ("/converse-stream" if call.form == "stream" else "/converse")
        await self._client.load()
        clock = Clock(self._settings, call.deadline)

        async def read(incoming: Incoming, secret: bytes) -> Reply | EventStream:
            frame = Frame(call.endpoint, call.model, _request_id(incoming.headers), int(time()), asked.schema_tool)
            if call.form == "whole":
                reply = await read_reply(incoming, clock, secret, [])
                return replace(reply, body=whole_reply(frame, reply.body), content_type="application/json")
            return await _begun(Events(incoming, clock, secret, b"", ConverseSplitter(frame)))

        return await self._client.call(Outgoing(path, dump(asked.content)), clock, read)

    async def fetch(self, path: str, body: Mapping[str, Any] | None, deadline: float | None) -> Reply:
        """`/embeddings`, and `/models`, which lists SUBSECOND_BEDROCK_MODELS: AWS's own list is behind another
        permission. NotFound for any other path."""
        if path == "/models":
            return Reply(dump(_listing(self._settings)))
        if path != "/embeddings" or body is None:
            raise NotFound(f"Bedrock has no {path[:60]}.")
        family = self._families.find(str(body["model"]))
        requests = embedding_requests(body, family)
        path = _model_path(str(body["model"])) + "/invoke"
        await self._client.load()
        clock, turns = Clock(self._settings, deadline), asyncio.Semaphore(EMBEDDING_CALLS)

        async def read(incoming: Incoming, secret: bytes) -> tuple[bytes, int]:
            count = next((value for name, value in incoming.headers if name == _TOKENS), b"")
            return (await read_reply(incoming, clock, secret, [])).body, int(count) if count.isdigit() else 0

        async def one(request: dict[str, Any]) -> tuple[bytes, int]:
            async with turns:
                return await self._client.call(Outgoing(path, dump(request)), clock, read)

        return Reply(embeddings_reply(body, await _all([one(request) for request in requests])))

    async def pass_on(self, passage: Passage) -> ByteStream:
        """See the port: it has none of these."""
        raise NotFound(f"Bedrock has no {passage.path} here.")

    async def warm(self) -> None:
        """What the first call would pay for: the signer, a connection. Raises UpstreamError."""
        await self._client.warm()

    async def hang_up(self) -> None:
        """Close every connection; the next call opens a new one."""
        await self._client.hang_up()

    async def aclose(self) -> None:
        """Closes every connection."""
        await self._client.hang_up()

    async def _ask_claude(self, call: Call, family: Family) -> Reply | EventStream:
        """In Claude's own dialect, which no other model speaks here."""
        if family.claude is None:
            raise DialectNotSpoken("Anthropic's Messages")
        path = _model_path(call.model) + ("/invoke-with-response-stream" if call.form == "stream" else "/invoke")
        guardrail = zip(_GUARDRAIL, self._terms.guardrail or (), strict=False)
        headers = tuple((name.encode(), value.encode()) for name, value in guardrail)
        await self._client.load()
        clock = Clock(self._settings, call.deadline)

        async def read(incoming: Incoming, secret: bytes) -> Reply | EventStream:
            if call.form == "whole":
                return await read_reply(incoming, clock, secret, [])
            return await _begun(Events(incoming, clock, secret, b"", MessagesSplitter()))

        return await self._client.call(Outgoing(path, invoke_request(call), headers), clock, read)

    async def _ask_openai(self, call: Call) -> Reply | EventStream:
        await self._client.load()
        clock = Clock(self._settings, call.deadline)

        async def read(incoming: Incoming, secret: bytes) -> Reply | EventStream:
            return await read_answer(incoming, clock, secret)

        outgoing = Outgoing(OPENAI_PATH, request_body(call, usage=adds_usage(call)))
        return await self._client.call(outgoing, clock, read)


async def _begun(events: Events) -> Events:
    """An exception that comes as the first event is asked again like a status."""
    try:
        await events.begin()
    except UpstreamError as error:
        raise Passing(error) if error.status in RETRIED else error from error.__cause__
    return events


async def _all(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Their results in order. The first that fails ends the others."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _model_path(model: str) -> str:
    """Also of a profile's ARN, whose slashes and colons are the name's."""
    return f"/model/{quote(model, safe='')}"


def _request_id(fields: Fields) -> str:
    found = next((value.decode("latin-1") for name, value in fields if name == b"x-amzn-requestid"), "")
    return found[:64] or uuid4().hex


def _refused(status: int, fields: Fields, body: bytes, secret: bytes) -> UpstreamError:
    return bedrock_refusal(status, fields, body, secret) or refusal(status, fields, body, secret)


def _listing(settings: Settings) -> dict[str, Any]:
    named = [*settings.bedrock_models.split(","), settings.default_model]
    models = dict.fromkeys(filter(None, map(str.strip, named)))
    return {
        "object": "list",
        "data": [{"id": name, "object": "model", "created": 0, "owned_by": "bedrock"} for name in models],
    }
