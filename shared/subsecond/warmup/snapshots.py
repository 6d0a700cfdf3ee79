"""An environment's start: what is loaded before its first request, and what SnapStart's snapshot may hold.

On demand a client waits for the start, so it loads what every request needs, and no more. Provisioned, or for a
snapshot, nobody waits: everything is loaded, the index too. A snapshot holds no connection, no secret and no state of a
random generator that two environments could share; after it was restored, the index's manifests are checked.
"""

from __future__ import annotations

import asyncio
import random

# In the managed runtime, and in the layer with its client.
from snapshot_restore_py import register_after_restore, register_before_snapshot  # type: ignore[import-untyped]

from subsecond.aio.fail_open import fail_open
from subsecond.aws import secrets
from subsecond.aws.client import aws_of
from subsecond.config import Settings, started_ahead
from subsecond.pipeline import Gateway
from subsecond.ports import Upstream
from subsecond.stats.trace import Trace
from subsecond.warmup.prewarm import PARTITIONS, prewarm

# Referred to, because the loop does not.
_opening: set[asyncio.Task[None]] = set()
# Seconds for the restored environment's look at the manifests: AWS ends a restore that takes ten.
TIMEOUT_S = 2.0
# The same for a connection that is begun before the first request: the loop stands still until that comes, its clock
# does not. The connection's own time limit ends it.
OPENING_S = 60.0


def start(gateway: Gateway, loop: asyncio.AbstractEventLoop) -> None:
    """To be called while the function is initialised, with the loop that serves its requests."""
    settings = gateway.settings
    if in_tables(settings):
        # Lambda gives a starting environment all of two cores, whatever its memory; a request of a small function has
        # half of one.
        aws_of(settings).prepare()
    if started_ahead():
        loop.run_until_complete(prewarm(gateway, keyless=True))
    else:
        # The loop stands still until the first request comes: the connection opens beside its lookups.
        loop.run_until_complete(_begin_opening(gateway.models.upstream))
    # The runtime calls them where there is a snapshot, and nowhere else.
    register_before_snapshot(lambda: loop.run_until_complete(before_snapshot(gateway)))
    register_after_restore(lambda: loop.run_until_complete(after_restore(gateway)))


async def _begin_opening(upstream: Upstream) -> None:
    if warm := getattr(upstream, "warm", None):
        _opening.add(task := asyncio.create_task(fail_open(Trace(), "upstream", warm(), OPENING_S)))
        task.add_done_callback(_opening.discard)
        await asyncio.sleep(0)


def in_tables(settings: Settings) -> bool:
    """Whether a request asks DynamoDB."""
    return settings.keys == "dynamodb" or settings.exact in ("dynamodb", "layered")


async def before_snapshot(gateway: Gateway) -> None:
    """Close what would be dead in the restored environment, and forget what must not lie in a snapshot."""
    await gateway.ledger.flush(force=True)
    await hang_up(gateway)
    secrets.forget_all()


async def after_restore(gateway: Gateway) -> None:
    """Hours, or weeks, after the snapshot, in one of many environments that come from it."""
    random.seed()
    secrets.forget_all()
    await hang_up(gateway)
    if gateway.semantic and gateway.semantic.made:
        await fail_open(Trace(), "index", gateway.semantic.made.reader.load(PARTITIONS), TIMEOUT_S)


async def hang_up(gateway: Gateway) -> None:
    """Every connection; the next call opens a new one."""
    if in_tables(gateway.settings):
        aws_of(gateway.settings).hang_up()
    if close := getattr(gateway.models.upstream, "hang_up", None):
        await close()
