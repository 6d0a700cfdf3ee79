"""What is asked, and how: rounds over all targets in turn, so that a busy minute of the machine meets them all."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from figures import Round
from raw_client import Connection, request
from servers import KEY, PATH, cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from raw_client import Sample
    from servers import Target

    from tests.support.simulator import SimulatorProcess

SLOW = "sim-t50-i5-n32"
_HIT_PROMPTS = 10
# "question again 7" means what "question 7" means, and the semantic cache knows it: no number is used twice.
_fresh = itertools.count(1_000)


@dataclass(frozen=True, slots=True)
class Scenario:
    """`each`: requests of a round. A hit scenario asks few prompts, which every target was asked before."""

    name: str
    model: str
    streamed: bool
    concurrency: int
    each: int
    hits: bool = False


SCENARIOS = (
    Scenario("stream, 1 client", SLOW, streamed=True, concurrency=1, each=12),
    Scenario("stream, 8 clients", SLOW, streamed=True, concurrency=8, each=48),
    Scenario("whole, 1 client", "sim-t0-i0-n32", streamed=False, concurrency=1, each=60),
    Scenario("whole, 8 clients", "sim-t0-i0-n32", streamed=False, concurrency=8, each=120),
    Scenario("full speed, 32 chunks, 1 client", "sim-t0-i0-n32", streamed=True, concurrency=1, each=40),
    Scenario("full speed, 256 chunks, 1 client", "sim-t0-i0-n256", streamed=True, concurrency=1, each=10),
    Scenario("full speed, 32 chunks, 8 clients", "sim-t0-i0-n32", streamed=True, concurrency=8, each=64),
    Scenario("hit, whole, 1 client", SLOW, streamed=False, concurrency=1, each=100, hits=True),
    Scenario("hit, stream, 1 client", SLOW, streamed=True, concurrency=1, each=100, hits=True),
    Scenario("hit, whole, 8 clients", SLOW, streamed=False, concurrency=8, each=200, hits=True),
    Scenario("hit, stream, 8 clients", SLOW, streamed=True, concurrency=8, each=200, hits=True),
)

Results = dict[str, dict[str, list[Round]]]


async def run(
    scenario: Scenario,
    targets: Sequence[Target],
    upstream: SimulatorProcess,
    rounds: int,
    progress: Callable[[str], None],
) -> Mapping[str, list[Round]]:
    """All rounds of a scenario. The order turns from round to round, so that nobody is always the first."""
    found: dict[str, list[Round]] = {target.name: [] for target in targets}
    for number in range(rounds):
        shift = number % len(targets)
        for target in (*targets[shift:], *targets[:shift]):
            progress(f"{scenario.name}: round {number + 1} of {rounds}, {target.name}")
            found[target.name].append(await _round(scenario, target, upstream))
    return found


async def _round(scenario: Scenario, target: Target, upstream: SimulatorProcess) -> Round:
    connections = [await Connection.open("127.0.0.1", target.port) for _ in range(scenario.concurrency)]
    try:
        # Connections, ours and the server's own to the upstream, may have idled away since the last round.
        warm = _requests(scenario, target, scenario.concurrency, fresh=True)
        await _ask_all(scenario, connections, warm)
        if scenario.hits:
            await _ask_all(scenario, connections, _requests(scenario, target, _HIT_PROMPTS, fresh=False))
        wanted = _requests(scenario, target, scenario.each, fresh=not scenario.hits)
        calls, cpu, started = upstream.stats()["calls"], cpu_seconds(target.pid), perf_counter()
        samples = await _ask_all(scenario, connections, wanted)
        wall = perf_counter() - started
        return Round(samples, wall, cpu_seconds(target.pid) - cpu, upstream.stats()["calls"] - calls)
    finally:
        for connection in connections:
            connection.close()


async def _ask_all(scenario: Scenario, connections: Sequence[Connection], wanted: Sequence[bytes]) -> list[Sample]:
    """Each connection takes the next request as soon as it is free."""
    queue = iter(wanted)
    samples: list[Sample] = []

    async def work(connection: Connection) -> None:
        for data in queue:
            samples.append(await connection.ask(data, streamed=scenario.streamed))  # noqa: PERF401 - one shared list

    await asyncio.gather(*(work(connection) for connection in connections))
    return samples


def _requests(scenario: Scenario, target: Target, number: int, *, fresh: bool) -> list[bytes]:
    texts = (next(_fresh) for _ in range(number)) if fresh else _again(number)
    return [request(target.port, PATH, KEY, _body(scenario, f"question {text}")) for text in texts]


def _again(number: int) -> Iterator[str]:
    return itertools.islice(itertools.cycle(f"again {which}" for which in range(_HIT_PROMPTS)), number)


def _body(scenario: Scenario, text: str) -> dict[str, Any]:
    messages = [{"role": "system", "content": "Answer briefly."}, {"role": "user", "content": text}]
    return {"model": scenario.model, "messages": messages, "temperature": 0} | (
        {"stream": True} if scenario.streamed else {}
    )
