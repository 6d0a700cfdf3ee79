"""What an environment's first request would pay for, paid before it comes: imports, clients, connections, the index.

Every part is touched through its port, without spending a token. A part that fails is named in the report and in the
log; the next request meets it as it would have anyway. `warm_environments.py` sends the events that are answered here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Mapping
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from subsecond.aio.fail_open import fail_open
from subsecond.aio.lazy import Lazy
from subsecond.aws.client import Aws, aws_of
from subsecond.config import Settings
from subsecond.errors import SubsecondError
from subsecond.model import Endpoint, Tenant
from subsecond.pipeline import Gateway
from subsecond.stats.increments import count_in
from subsecond.stats.trace import Trace

if TYPE_CHECKING:
    from subsecond.ports import Upstream
    from subsecond.stages.semantic import SemanticCache

log = logging.getLogger("subsecond")

# Seconds for each part; the upstream's package alone takes one to import on a small function.
TIMEOUT_S = 10.0
# Nobody's: no key has this hash, and no answer lies there.
NOBODY = "prewarm"
# Partitions whose index is loaded ahead at the most, those with the largest first: each costs a GET every time.
PARTITIONS = 20
# Seconds between two looks at who has arrived.
POLL_S = 0.1
# Seconds to stay where there is no table to meet in: events that were sent together have arrived by then.
HOLD_S = 1.0
# Seconds until DynamoDB may delete what a rendezvous left.
KEPT_S = 3600


class WarmupHandler:
    """One environment's answer to events that are no requests: `{"prewarm": true}`, or with an object instead.

    rendezvous, environments, wait: stay until so many environments are at the rendezvous of this name, at most `wait`
    seconds, so that as many events need as many environments. partition, body: answer this request into the cache.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._used = False
        # Not made before it is needed: environments restored from one snapshot would share it.
        self._name = ""

    def served(self) -> None:
        """To be called when a request has been answered: this environment is not cold any more."""
        self._used = True

    async def __call__(self, event: Any, _context: object = None) -> dict[str, Any]:
        order = event.get("prewarm") if isinstance(event, Mapping) else None
        order = order if isinstance(order, Mapping) else {}
        cold, self._used = not self._used, True
        if "body" in order:
            return await answer(self._gateway, str(order["partition"]), order["body"])
        self._name = self._name or uuid4().hex
        begun = time.monotonic()
        # Beside each other: who is still loading is there, and does not keep the others.
        report, arrived = await asyncio.gather(prewarm(self._gateway), self._rendezvous(order))
        milliseconds = round((time.monotonic() - begun) * 1000)
        report = {"environment": self._name, "cold": cold, "arrived": arrived, "ms": milliseconds, **report}
        log.info("prewarmed", extra=report)
        return report

    async def _rendezvous(self, order: Mapping[str, Any]) -> int:
        if "rendezvous" not in order:
            return 1
        settings, wait = self._gateway.settings, float(order["wait"])
        if "dynamodb" not in (settings.keys, settings.flights):
            await asyncio.sleep(min(wait, HOLD_S))
            return 1
        rendezvous = Rendezvous(aws_of(settings), settings.state_table, str(order["rendezvous"]))
        arrived = rendezvous.arrive_and_wait(self._name, order["environments"], wait)
        return await fail_open(Trace(), "rendezvous", arrived, 2 * TIMEOUT_S) or 1


class Rendezvous:
    """An item of the state table: pk `prewarm#<name>`, sk `rendezvous`, arrived (names of environments), ttl."""

    def __init__(self, aws: Aws, table: str, name: str) -> None:
        self._aws = aws
        self._item: dict[str, Any] = {
            "TableName": table,
            "Key": {"pk": {"S": f"prewarm#{name}"}, "sk": {"S": "rendezvous"}},
        }

    async def arrive_and_wait(self, who: str, number: int, wait: float) -> int:
        """Write that `who` is here, and wait until `number` are, at most `wait` seconds. Returns how many are."""
        end = time.monotonic() + wait
        arrived = await self._aws.run(partial(self._arrive, who))
        while arrived < number and time.monotonic() < end:
            await asyncio.sleep(POLL_S)
            arrived = await self._aws.run(self._arrived)
        return arrived

    def _arrive(self, who: str) -> int:
        found = self._aws.dynamodb.update_item(
            **self._item,
            UpdateExpression="SET #ttl = :ttl ADD arrived :who",
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues={":ttl": {"N": str(int(time.time()) + KEPT_S)}, ":who": {"SS": [who]}},
            ReturnValues="ALL_NEW",
        )
        return len(found["Attributes"]["arrived"]["SS"])

    def _arrived(self) -> int:
        item = self._aws.dynamodb.get_item(**self._item, ConsistentRead=True).get("Item", {})
        return len(item["arrived"]["SS"]) if item else 0


async def prewarm(gateway: Gateway, *, keyless: bool = False) -> dict[str, Any]:
    """`steps_ms`: milliseconds that each part took; `failed`: the parts that did not answer. keyless: the upstream's
    key is not read, because what is in memory now will lie in a snapshot."""
    trace, upstream = Trace(), gateway.models.upstream
    took: dict[str, float] = {}

    async def touch(part: str, work: Awaitable[object]) -> None:
        begun = time.perf_counter()
        await fail_open(trace, part, work, TIMEOUT_S)
        took[part] = round((time.perf_counter() - begun) * 1000, 3)

    touches = [
        touch("keys", gateway.keys.tenant(NOBODY)),
        touch("answers", gateway.exact.get(NOBODY, NOBODY, "whole")),
        touch("upstream", _upstream(upstream, keyless=keyless)),
    ]
    if gateway.settings.exact != "memory":
        touches.append(touch("objects", _objects(gateway.settings)))
    if gateway.semantic:
        touches.append(touch("semantic", _semantic(gateway.semantic)))
    await asyncio.gather(*touches)
    return {
        "steps_ms": took,
        "failed": sorted(name.removesuffix("_failed") for name in trace.counts),
    }


async def _upstream(upstream: Upstream, *, keyless: bool) -> None:
    """A connection, and whether its server takes our key. Not every adapter asks a server for its models: Bedrock's
    lists what it was told."""
    warm = getattr(upstream, "warm", None)
    if warm:
        await warm()
    if not (warm and keyless):
        await upstream.fetch("/models", None, None)


async def answer(gateway: Gateway, partition: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Ask in the name of this partition, unless the answer is there and will be for another half of its life. What a
    user is asking at this moment is joined and not asked twice, as for any two requests."""
    from subsecond.api.bodies import ChatBody, TextBody, check  # pydantic
    from subsecond.api.wire import Asked, to_call

    tenant, namespace = partition.split(":")
    endpoint: Endpoint = "chat" if "messages" in body else "text"
    trace = Trace(partition=partition)
    try:
        checked = check(ChatBody if endpoint == "chat" else TextBody, body)
        call = to_call(endpoint, Asked(body), checked, f"max-age={int(gateway.settings.ttl / 2)}", None)
        async with aclosing(gateway.complete(Tenant(tenant, namespace, NOBODY), call, trace)) as events:
            async for _ in events:
                pass
    except SubsecondError as error:
        return {"source": None, "tokens": 0, "error": type(error).__name__}
    tokens = count_in(trace.usage, "total_tokens") if trace.source == "upstream" else 0
    return {"source": trace.source, "tokens": tokens or 0, "error": None}


async def _semantic(lazy: Lazy[SemanticCache]) -> None:
    """numpy, the policy's tables, the embedder and its model, the index."""
    semantic = await lazy.get()
    if warm := getattr(semantic.embedder, "warm", None):
        await warm()
    await semantic.reader.load(PARTITIONS)


async def _objects(settings: Settings) -> None:
    """A connection to the bucket. "No such object" will do, which S3 says as 403 to those who may not list."""
    aws = aws_of(settings)

    def ask() -> None:
        s3 = aws.s3
        with suppress(s3.exceptions.ClientError):
            s3.get_object(Bucket=settings.bucket, Key=f"answers/{NOBODY}")

    await aws.run(ask)
