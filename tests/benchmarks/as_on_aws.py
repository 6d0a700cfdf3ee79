"""The streaming function as AWS would run it: 0.58 of a core, frozen between requests, its stores as slow as AWS's.

    python tests/benchmarks/bench.py --only "as on AWS" --targets subsecond

Each kind of request has an environment of its own, so that a pause for one is a pause for all. Beside each stands what
its calls of the stores take by themselves: the sequential ones (`tests/support/round_trips.py`) times one's median.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from itertools import count
from statistics import median
from subprocess import DEVNULL
from time import perf_counter
from typing import TYPE_CHECKING, Any

from cold import children
from raw_client import Connection, request
from servers import PATH, ROOT

from subsecond_local.cli.key_admin import KeyTable
from subsecond_local.lambda_host import Function, LambdaHost, UrlRoute
from subsecond_local.run.stores import stores_from_env
from tests.support.round_trips import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from raw_client import Sample

NAME = "as on AWS: requests"
DELAYS = "dynamodb=4,s3=20,secrets=30"
# Of a core, for 1 GB: 1769 MB are one.
CORE_SHARE = 0.58
ROUNDS = 5
MODEL, SLOW_MODEL = "sim-t0-i0-n8", "sim-t400-i0-n8"
SAME, OTHER, SIMILAR, MISS = KINDS
JOIN = "join, after the leader's last byte"
WARM, SECONDS, MINUTES, COLD = "warm", "after 2 s", "after 10 min", "cold"
# A fresh environment has nothing in memory, and an index is not made here.
NEVER_COLD = (SAME, SIMILAR)
_numbers = count()


@dataclass
class Lane:
    """One kind of request in one form, and the environment that serves it."""

    kind: str
    streamed: bool
    host: LambdaHost
    process: int = 0
    texts: list[str] = field(default_factory=list)
    samples: dict[str, list[tuple[float, float]]] = field(default_factory=dict)


async def measure(ours: Mapping[str, str], progress: Callable[[str], None], rounds: int = ROUNDS) -> dict[str, Any]:
    """Milliseconds to the first byte, and from the last byte to the response's end: medians by kind, form and pause.
    ours: the gateway's settings and the way to a stand-in with delays."""
    stores = stores_from_env(ours, ours["AWS_ENDPOINT_URL"], emulated=True)
    key, _ = KeyTable(stores.dynamodb(), stores.state_table).create("as-on-aws", "default", "default")
    function = function_of(ours)
    async with AsyncExitStack() as stack:
        author = await stack.enter_async_context(_host(replace(function, core_share=0.0, freeze=False, maximum=2)))
        asker = Asker(author, key)
        lanes = []
        for kind in (*KINDS, JOIN):
            for streamed in (True, False):
                progress(f"as on AWS: {kind}")
                lanes.append(await _lane(stack, function, kind, streamed, asker))
        for pause in (WARM, SECONDS, MINUTES):
            for number in range(rounds):
                progress(f"as on AWS: {pause}, round {number + 1} of {rounds}")
                await asker.round(lanes, pause)
        for number in range(rounds):
            progress(f"as on AWS: cold, round {number + 1} of {rounds}")
            for lane in lanes:
                if lane.kind not in NEVER_COLD:
                    async with _host(function) as host:
                        await asker.cold(lane, host)
    return {"trip_ms": _trip(stores), "rounds": rounds, "rows": [_row(lane) for lane in lanes]}


class Asker:
    """The one client. `author`: another environment, which has answered before, or is answering."""

    def __init__(self, author: LambdaHost, key: str) -> None:
        self._author = author
        self._key = key

    async def round(self, lanes: Sequence[Lane], pause: str) -> None:
        """Each lane once, all after the same pause."""
        for lane in lanes:
            await self.prime(lane)
        if pause == SECONDS:
            await asyncio.sleep(2)
        for lane in lanes:
            if pause == MINUTES:
                os.kill(lane.process, signal.SIGUSR1)
            await self._measured(lane, lane.host, pause)

    async def cold(self, lane: Lane, host: LambdaHost) -> None:
        await self.prime(lane)
        await self._measured(lane, host, COLD)

    async def prime(self, lane: Lane) -> None:
        """What must have been asked before the lane's next question."""
        if lane.kind == SAME and lane.texts:
            return
        lane.texts.append(f"Who wrote the book number {next(_numbers)} on the list?")
        if lane.kind == OTHER:
            await self.ask(self._author, lane.texts[-1], lane.streamed)
        if lane.kind in (SAME, SIMILAR):
            await self.ask(lane.host, lane.texts[-1], lane.streamed)

    async def _measured(self, lane: Lane, host: LambdaHost, pause: str) -> None:
        text = lane.texts[-1]
        if lane.kind == JOIN:
            leader = asyncio.create_task(self.ask(self._author, text, lane.streamed, SLOW_MODEL))
            await asyncio.sleep(0.1)
            begun = perf_counter()
            sample = await self.ask(host, text, lane.streamed, SLOW_MODEL)
            led = await leader
            first = sample.first - (0.4 - 0.1) + min(0.0, 0.4 - led.last)
            del begun
        else:
            asked = text.replace("?", " ?") if lane.kind == SIMILAR else text
            sample = await self.ask(host, asked, lane.streamed)
            first = sample.first
            if sample.hit is not (lane.kind != MISS):
                raise RuntimeError(f"{lane.kind}: hit is {sample.hit}")
        lane.samples.setdefault(pause, []).append((first, sample.total - sample.last))

    async def ask(self, host: LambdaHost, text: str, streamed: bool, model: str = MODEL) -> Sample:  # noqa: FBT001
        port = int(host.url.rpartition(":")[2])
        connection = await Connection.open("127.0.0.1", port)
        body = {"model": model, "stream": streamed, "messages": [{"role": "user", "content": text}]}
        sample = await connection.ask(request(port, PATH, self._key, body), streamed=streamed)
        connection.close()
        if sample.status != 200:
            raise RuntimeError(f"{host.url} answers {sample.status}")
        return sample


def function_of(ours: Mapping[str, str]) -> Function:
    """The streaming function in one environment as AWS gives it. ours: as in `measure`."""
    settings = {name: value for name, value in ours.items() if name != "SUBSECOND_API_KEY"}
    return Function(
        "streaming",
        ROOT / "functions" / "streaming",
        environment={**settings, "SUBSECOND_STORES": "aws", "SUBSECOND_HEALTHS": "memory"},
        layers=(ROOT / "tests" / "benchmarks",),
        mode="RESPONSE_STREAM",
        runtime="later",
        maximum=1,
        freeze=True,
        core_share=CORE_SHARE,
    )


def _host(function: Function) -> LambdaHost:
    return LambdaHost([function], [UrlRoute("/", function.name)], output=DEVNULL)


async def _lane(stack: AsyncExitStack, function: Function, kind: str, streamed: bool, asker: Asker) -> Lane:  # noqa: FBT001
    before = children()
    host = await stack.enter_async_context(_host(function))
    lane = Lane(kind, streamed, host)
    # Its first question loads what later ones find loaded.
    await asker.ask(host, f"The very first, {next(_numbers)}?", streamed)
    (lane.process,) = children() - before
    return lane


def _trip(stores: Any) -> float:
    """Milliseconds of one read of the table, as this process sees it."""
    client, took = stores.dynamodb(), []
    for _ in range(40):
        begun = perf_counter()
        client.get_item(TableName=stores.state_table, Key={"pk": {"S": "none"}, "sk": {"S": "none"}})
        took.append(perf_counter() - begun)
    return median(took) * 1000


def _row(lane: Lane) -> dict[str, Any]:
    found = {
        pause: {
            "first_ms": median(first for first, _ in each) * 1000,
            "tail_ms": median(tail for _, tail in each) * 1000,
        }
        for pause, each in lane.samples.items()
    }
    return {"kind": lane.kind, "streamed": lane.streamed, "trips": KINDS.get(lane.kind), "pauses": found}
