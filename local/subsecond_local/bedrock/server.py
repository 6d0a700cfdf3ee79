"""The stand-in over HTTP, for all regions at once: a request says its region in its signature.

    python -m subsecond_local.bedrock.server --port 0 --key-id ID --secret SECRET       prints: READY http://127.0.0.1:PORT

POST /model/ID/converse, /converse-stream, /invoke, /invoke-with-response-stream, and /openai/v1/chat/completions, as
Bedrock has them; models are those of the simulator, and any id of Bedrock's form. GET /health; GET /stats lists what
was asked since POST /stats/reset; POST /throttle/REGION/N throttles the next N calls there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from uuid import uuid4

from subsecond.errors import UpstreamError, UpstreamUnreachable
from subsecond_local.bedrock.checks import OPERATIONS, Refused, check_shape, check_signature
from subsecond_local.bedrock.frames import event, exception
from subsecond_local.bedrock.simulated_converse import Converse, whole
from subsecond_local.bedrock.simulated_invoke import claude_answer, openai_answer, vectors
from subsecond_local.run.ports import port_number
from subsecond_local.simulator.engine import Simulation
from subsecond_local.simulator.names import FOREVER
from subsecond_local.simulator.paced import PacedPayloads, whole_body
from subsecond_local.simulator.request_cycle import RequestCycle
from subsecond_local.simulator.server import serve_app
from subsecond_local.simulator.simulated_answer import as_json

if TYPE_CHECKING:
    from subsecond_local.run.browser_guard import Message, Receive, Send

_STREAM = b"application/vnd.amazon.eventstream"
_OPENAI = "/openai/v1/chat/completions"
# What Bedrock calls the simulator's statuses.
_NAMES: Mapping[int, tuple[str, int]] = {
    400: ("ValidationException", 400),
    403: ("AccessDeniedException", 403),
    404: ("ResourceNotFoundException", 404),
    408: ("ModelTimeoutException", 408),
    424: ("ModelErrorException", 424),
    429: ("ThrottlingException", 429),
    500: ("InternalServerException", 500),
    503: ("ServiceUnavailableException", 503),
}


class BedrockApp:
    """The ASGI app. key: the id and the secret that it wants requests to be signed with."""

    def __init__(self, key: tuple[str, str], seed: int = 0) -> None:
        self._key = key
        self._simulation = Simulation(seed)
        self._throttled: Counter[str] = Counter()
        self._asked: list[dict[str, Any]] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        cycle = RequestCycle(scope, receive, send)
        target = scope["raw_path"].decode("latin-1")
        try:
            await self._route(cycle, target)
        except Refused as error:
            await self._refuse(cycle, error)
        except UpstreamUnreachable:
            pass  # to return without the response's end makes uvicorn close the connection
        except UpstreamError as error:
            name, status = _NAMES.get(error.status, ("InternalServerException", 500))
            await self._refuse(cycle, Refused(name, error.message, status, error.retry_after))

    async def _route(self, cycle: RequestCycle, target: str) -> None:
        if target == "/health":
            await cycle.reply(b'{"status":"ok"}')
        elif target == "/stats":
            await cycle.reply(as_json({"asked": self._asked}))
        elif target == "/stats/reset":
            self._asked.clear()
            self._simulation.reset()
            await cycle.reply(b"{}")
        elif target.startswith("/throttle/"):
            _, _, region, times = target.split("/")
            self._throttled[region] = int(times)
            await cycle.reply(b"{}")
        else:
            await self._answer(cycle, target)

    async def _answer(self, cycle: RequestCycle, target: str) -> None:
        data = await cycle.data()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in cycle.headers.items()}
        region = check_signature(cycle.method, target, headers, data, self._key)
        body = json.loads(data)
        parts = target.split("/")
        if target == _OPENAI:
            operation, model = "ChatCompletions", str(body.get("model"))
        elif parts[1] == "model" and len(parts) == 4 and parts[3] in OPERATIONS:  # noqa: PLR2004 - as the path has
            operation, model = OPERATIONS[parts[3]], unquote(parts[2])
            given = {"body": data} if operation.startswith("InvokeModel") else body
            check_shape(operation, model, given)
        else:
            raise Refused("UnknownOperationException", "", 404)
        told = {name: value for name, value in headers.items() if name.startswith("x-amzn-bedrock-")}
        self._asked.append({"region": region, "operation": operation, "model": model, "body": body, "headers": told})
        if self._throttled[region] > 0:
            self._throttled[region] -= 1
            raise Refused("ThrottlingException", "Too many requests, please wait before trying again.", 429)
        await self._said(cycle, operation, model, region, body)

    async def _said(self, cycle: RequestCycle, operation: str, model: str, region: str, body: dict[str, Any]) -> None:
        if operation.startswith("InvokeModel") and "anthropic_version" in body:
            await _claude(self._simulation, cycle, model, body, streamed=operation != "InvokeModel")
        elif operation == "InvokeModel":
            reply, tokens = vectors(self._simulation, model, body)
            await _reply(cycle, reply, [(b"x-amzn-bedrock-input-token-count", b"%d" % tokens)])
        elif operation == "ChatCompletions":
            await openai_answer(self._simulation, cycle, body)
        else:
            converse = Converse(self._simulation, model, region, body, self._simulation.memory)
            payloads = PacedPayloads(converse.answer, _pause, usage=True)
            if operation == "Converse":
                if "errorevent" in converse.answer.faults:
                    raise Refused("InternalServerException", "The fault asked for: an error.", 500)
                await _whole(cycle, converse, payloads)
            else:
                await _stream(cycle, converse, payloads)

    async def _refuse(self, cycle: RequestCycle, error: Refused) -> None:
        told = as_json({"message": str(error)})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(told)), _request_id()]
        headers.append((b"x-amzn-errortype", f"{error.name}:http://internal.amazon.com/coral/".encode()))
        if error.after:
            headers.append((b"retry-after", error.after.encode()))
        await cycle.start(error.status, headers)
        await cycle.end(told)


async def _whole(cycle: RequestCycle, converse: Converse, payloads: PacedPayloads) -> None:
    try:
        await _reply(cycle, whole([one async for one in converse.events(payloads)]), [])
    except UpstreamUnreachable:
        await cycle.start(200, [(b"content-type", b"application/json"), (b"content-length", b"100"), _request_id()])
        await cycle.write(b'{"output"')
        raise


async def _stream(cycle: RequestCycle, converse: Converse, payloads: PacedPayloads) -> None:
    await cycle.start(200, [(b"content-type", _STREAM), _request_id()])
    try:
        async for kind, said in converse.events(payloads):
            await cycle.write(event(kind, as_json(said | {"p": "abcdefgh"})))
    except UpstreamUnreachable:
        raise
    except UpstreamError as error:
        await cycle.write(exception("modelStreamErrorException", as_json({"message": error.message})))
    await cycle.end()


async def _claude(
    simulation: Simulation, cycle: RequestCycle, model: str, body: dict[str, Any], *, streamed: bool
) -> None:
    """Anthropic's Messages, as Claude takes them by InvokeModel."""
    answer = claude_answer(simulation, model, body)
    if not streamed:
        await _pause(answer.times[-1], first=True)
        await _reply(cycle, json.loads(whole_body(answer)), [])
        return
    await cycle.start(200, [(b"content-type", _STREAM), _request_id()])
    payloads = PacedPayloads(answer, _pause, usage=True)
    try:
        while (payload := await payloads.next()) is not None:
            await cycle.write(event("chunk", as_json({"bytes": b64encode(payload.data).decode(), "p": "abcd"})))
    except UpstreamUnreachable:
        raise
    except UpstreamError as error:
        await cycle.write(exception("modelStreamErrorException", as_json({"message": error.message})))
    await cycle.end()


async def _reply(cycle: RequestCycle, value: Any, more: list[tuple[bytes, bytes]]) -> None:
    data = as_json(value)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data)), _request_id(), *more]
    await cycle.start(200, headers)
    await cycle.end(data)


def _request_id() -> tuple[bytes, bytes]:
    return b"x-amzn-requestid", str(uuid4()).encode()


async def _pause(seconds: float, *, first: bool) -> None:
    del first
    await asyncio.sleep(min(seconds, FOREVER))


def main() -> None:
    parser = argparse.ArgumentParser(description="A stand-in for Amazon Bedrock.")
    parser.add_argument("--port", type=port_number, default=0, help="0: a free one")
    parser.add_argument("--key-id", default="testing", help="the access key id that requests are signed with")
    parser.add_argument("--secret", default="testing", help="its secret")
    options = parser.parse_args()
    try:
        app = BedrockApp((options.key_id, options.secret))
        serve_app(lambda _: app, options.port)
    except OSError as error:
        sys.exit(f"The stand-in cannot listen on port {options.port}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
