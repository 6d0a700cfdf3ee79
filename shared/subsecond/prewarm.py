"""What an environment's first request would pay for, paid before it comes: imports, clients, connections.

Every part is touched through its port, without spending a token. A part that fails is named in the report and in the
log; the next request meets it as it would have anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from subsecond.aws import aws_of
from subsecond.config import Settings
from subsecond.failopen import fail_open
from subsecond.late import Late
from subsecond.pipeline import Gateway
from subsecond.stats.trace import Trace

if TYPE_CHECKING:
    from subsecond.stages.semantic import Similar

# Seconds for each part; the upstream's package alone takes one to import on a small function.
BOX = 10.0
# Nobody's: no key has this hash, and no answer lies there.
NOBODY = "prewarm"


async def prewarm(gateway: Gateway) -> dict[str, Any]:
    """`steps_ms`: milliseconds that each part took; `failed`: the parts that did not answer."""
    trace = Trace()

    async def touch(part: str, work: Awaitable[object]) -> None:
        with trace.step(part):
            await fail_open(trace, part, work, BOX)

    touches = [
        touch("keys", gateway.keys.tenant(NOBODY)),
        touch("answers", gateway.exact.get(NOBODY, NOBODY)),
        touch("upstream", gateway.models.upstream.fetch("/models", None, None)),
    ]
    if gateway.settings.exact != "memory":
        touches.append(touch("objects", _objects(gateway.settings)))
    if gateway.similar:
        touches.append(touch("semantic", _similar(gateway.similar)))
    await asyncio.gather(*touches)
    return {
        "steps_ms": {part: round(seconds * 1000, 3) for part, seconds in trace.steps.items()},
        "failed": sorted(name.removesuffix("_failed") for name in trace.counts),
    }


async def _similar(late: Late[Similar]) -> None:
    """numpy, the policy's tables, the embedder and its model."""
    similar = await late.get()
    if warm := getattr(similar.embedder, "warm", None):
        await warm()


async def _objects(settings: Settings) -> None:
    """A connection to the bucket. "No such object" will do, which S3 says as 403 to those who may not list."""
    aws = aws_of(settings)

    def ask() -> None:
        s3 = aws.s3
        with suppress(s3.exceptions.ClientError):
            s3.get_object(Bucket=settings.bucket, Key=f"answers/{NOBODY}")

    await aws.run(ask)
