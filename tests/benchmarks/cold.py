"""From a request that meets no environment to its first byte, under the Lambda host: ours beside two floors.

The floors are the least that such a gateway is made of: AWS's own runtime client, FastAPI, Mangum and a DynamoDB
client, with and without the `openai` package. A bare handler stands below them, for scale. All have bytecode.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from subprocess import DEVNULL
from time import perf_counter
from typing import TYPE_CHECKING, Any

from raw_client import Connection, request
from servers import PATH, ROOT, cpu_seconds, resident_megabytes

from subsecond_local.cli.key_admin import KeyTable
from subsecond_local.lambda_host import Function, LambdaHost, UrlRoute
from subsecond_local.run.stores import stores_from_env

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from raw_client import Sample

NAME = "as on AWS: cold starts"
BARE = "bare handler"
FLOOR = "floor: FastAPI, Mangum, DynamoDB"
FLOOR_OPENAI = "floor with openai"
ROUNDS = 7
KNOWN = "Asked before?"
# The model answers at once: what is measured is ours.
MODEL = "sim-t0-i0-n8"
TABLES = {"STORES": "aws", "HEALTHS": "memory", "OBJECTS": "memory"}


@dataclass(frozen=True, slots=True)
class Variant:
    """floor: what it is a multiple of. known: it asks what was answered before, so that it hits."""

    function: Function
    floor: str = FLOOR
    streamed: bool = False
    known: bool = False


def variants(ours: Mapping[str, str]) -> dict[str, Variant]:
    """What is started. `ours`: the gateway's settings, and the way to the tables."""
    aws = {name: value for name, value in ours.items() if name.startswith("AWS_")}
    openai = {
        "FLOOR_UPSTREAM_URL": ours["SUBSECOND_UPSTREAM_URL"],
        "FLOOR_UPSTREAM_KEY": ours["SUBSECOND_UPSTREAM_KEY"],
    }
    plain = Function("plain", ROOT / "tests" / "data" / "functions", handler="plain.echo", environment=aws)
    floor = replace(plain, name="floor", handler="floor.handler")
    gateway = {**ours, **{f"SUBSECOND_{name}": value for name, value in TABLES.items()}}
    completion = Function("completion", ROOT / "functions" / "completion", environment=gateway)
    streaming = replace(
        completion,
        name="streaming",
        directory=ROOT / "functions" / "streaming",
        mode="RESPONSE_STREAM",
        runtime="subsecond.lambda_runtime.runtime",
    )
    return {
        BARE: Variant(plain),
        FLOOR: Variant(floor),
        "streaming function, hit": Variant(streaming, streamed=True, known=True),
        "completion function, hit": Variant(completion, known=True),
        FLOOR_OPENAI: Variant(replace(floor, environment=aws | openai), FLOOR_OPENAI),
        "streaming function, miss": Variant(streaming, FLOOR_OPENAI, streamed=True),
        "completion function, miss": Variant(completion, FLOOR_OPENAI),
    }


async def measure(ours: Mapping[str, str], progress: Callable[[str], None], rounds: int = ROUNDS) -> dict[str, Any]:
    """Milliseconds until the first byte of the first request and of the second one, and CPU milliseconds until the
    first one's end: medians over fresh environments, in turn. Memory of the process after them."""
    stores = stores_from_env(ours, ours["AWS_ENDPOINT_URL"], emulated=True)
    key, _ = KeyTable(stores.dynamodb(), stores.state_table).create("cold", "default", "default")
    # The table holds the key, as on AWS.
    chosen = variants({name: value for name, value in ours.items() if name != "SUBSECOND_API_KEY"})
    found: dict[str, list[dict[str, float]]] = {name: [] for name in chosen}
    for number in range(rounds + 1):
        for name, variant in chosen.items():
            progress(f"cold start: round {number} of {rounds}, {name}")
            sample = await _once(variant, key)
            if number:  # the first fills the page cache, and asks what is known from then on
                found[name].append(sample)
    return {name: _figures(chosen[name], each, found) for name, each in found.items()}


def _figures(
    variant: Variant, each: list[dict[str, float]], found: Mapping[str, list[dict[str, float]]]
) -> dict[str, Any]:
    middle = {name: median(one[name] for one in each) for name in each[0]}
    floor = {name: median(one[name] for one in found[variant.floor]) for name in ("cold_ms", "cpu_ms")}
    return {
        **middle,
        "runs_ms": [one["cold_ms"] for one in each],
        "floor": variant.floor,
        "of_floor": middle["cold_ms"] / floor["cold_ms"],
        "cpu_of_floor": middle["cpu_ms"] / floor["cpu_ms"],
    }


async def _once(variant: Variant, key: str) -> dict[str, float]:
    before = children()
    async with LambdaHost([variant.function], [UrlRoute("/", variant.function.name)], output=DEVNULL) as host:
        port = int(host.url.rpartition(":")[2])
        connection = await Connection.open("127.0.0.1", port)
        cold = await _ask(variant, connection, port, key, KNOWN if variant.known else f"First? {perf_counter()}")
        (environment,) = children() - before
        cpu = cpu_seconds(environment)
        warm = await _ask(variant, connection, port, key, f"Second? {perf_counter()}")
        memory = resident_megabytes(environment)
        connection.close()
    return {"cold_ms": cold.first * 1000, "warm_ms": warm.first * 1000, "cpu_ms": cpu * 1000, "megabytes": memory}


async def _ask(variant: Variant, connection: Connection, port: int, key: str, text: str) -> Sample:
    body = {"model": MODEL, "stream": variant.streamed, "messages": [{"role": "user", "content": text}]}
    sample = await connection.ask(request(port, PATH, key, body), streamed=variant.streamed)
    if sample.status not in (200, 202):  # the bare handler says 202
        raise RuntimeError(f"{variant.function.name} answers {sample.status}")
    return sample


def children() -> set[int]:
    """The processes that this one has started, and that run."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(child) for children in tasks for child in children.read_text().split()}
