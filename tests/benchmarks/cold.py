"""From a request that meets no environment to its first byte, under the Lambda host: ours beside a bare handler."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from subprocess import DEVNULL
from time import perf_counter
from typing import TYPE_CHECKING, Any

from raw_client import Connection, request
from scenarios import SCENARIOS
from servers import KEY, PATH, ROOT, resident_megabytes

from subsecond_local.lambda_host import Function, LambdaHost, Route

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from raw_client import Sample

BARE = "bare handler, stock runtime"
STREAMING = "streaming function"
ROUNDS = 5
_MODEL = SCENARIOS[0].model


def variants(ours: Mapping[str, str]) -> dict[str, Function]:
    """What is started. `ours`: the gateway's settings."""
    return {
        BARE: Function("bare", ROOT / "tests" / "data" / "functions", handler="plain.echo"),
        STREAMING: Function(
            "streaming",
            ROOT / "functions" / "streaming",
            environment=ours,
            mode="RESPONSE_STREAM",
            runtime="subsecond.aws_lambda.runtime",
        ),
    }


async def measure(ours: Mapping[str, str], progress: Callable[[str], None]) -> dict[str, Any]:
    """Milliseconds until the first byte of the first request and of the second one, medians over fresh environments,
    in turn; memory of the process after them."""
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in variants(ours)}
    for number in range(ROUNDS + 1):
        for name, function in variants(ours).items():
            progress(f"cold start: round {number} of {ROUNDS}, {name}")
            sample = await _once(function)
            if number:  # the first fills the page cache
                found[name].append(sample)
    return {
        name: {
            "cold_ms": median(cold for cold, _, _ in each),
            "runs_ms": [cold for cold, _, _ in each],
            "warm_ms": median(warm for _, warm, _ in each),
            "megabytes": median(memory for _, _, memory in each),
        }
        for name, each in found.items()
    }


async def _once(function: Function) -> tuple[float, float, float]:
    before = _children()
    async with LambdaHost([function], [Route("/", function.name)], output=DEVNULL) as host:
        port = int(host.url.rpartition(":")[2])
        connection = await Connection.open("127.0.0.1", port)
        cold = await _ask(connection, port, "first")
        warm = await _ask(connection, port, "second")
        (environment,) = _children() - before
        memory = resident_megabytes(environment)
        connection.close()
    return cold.first * 1000, warm.first * 1000, memory


async def _ask(connection: Connection, port: int, text: str) -> Sample:
    body = {"model": _MODEL, "stream": True, "messages": [{"role": "user", "content": f"{text} {perf_counter()}"}]}
    return await connection.ask(request(port, PATH, KEY, body), streamed=True)


def _children() -> set[int]:
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(child) for children in tasks for child in children.read_text().split()}
