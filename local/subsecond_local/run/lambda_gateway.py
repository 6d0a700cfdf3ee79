"""`MODE=lambda`: the project's functions under the Lambda host, behind one base URL.

What the template deploys, on loopback. The streaming function serves every route, as its URL does on AWS; the others
can be invoked by name. The schedule warms what it warms on AWS, and the answers table's stream goes to the indexer.
With `--only-indexer` that is all: for `MODE=app`, whose gateway is a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from subsecond_local.errors import LocalError
from subsecond_local.lambda_host import Function, LambdaHost, UrlRoute
from subsecond_local.run import indexing
from subsecond_local.run.gateways import STREAMING_ENVIRONMENTS, Follow
from subsecond_local.run.ports import HOST
from subsecond_local.run.stores import ACCESS_KEY

ROOT = Path(__file__).parents[3]
FUNCTIONS = ROOT / "functions"
# As in the template: seconds that a stream may take, and megabytes.
TIMEOUT = 630.0
INDEXER_TIMEOUT = 300.0
VERIFY_TIMEOUT = 900.0
SHORT_TIMEOUT = 60.0
MEMORY = 1024
# What prewarming warms. The template names the other answering function as well.
WARMED = "streaming"
# The template's PrewarmRate.
PREWARM_SECONDS = 300.0
PREWARM = {"prewarm": True}
# As a plain server does it: on a laptop one wants to see what was just asked.
VERIFY_SECONDS = 5.0
VERIFY = {"verify": True}

# The statistics too: figures that an environment has not merged yet are known to itself alone, and a laptop's one user
# wants to see the request that was just made.
ROUTES = (UrlRoute("/", "streaming"),)


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """One of the project's functions, as the template describes it."""

    name: str
    timeout: float = SHORT_TIMEOUT
    streams: bool = False
    environments: int = 2
    minimum: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)


FUNCTION_SPECS = (
    FunctionSpec("streaming", TIMEOUT, streams=True, environments=STREAMING_ENVIRONMENTS, minimum=1),
    FunctionSpec("completion", TIMEOUT),
    FunctionSpec("cache_stats"),
    FunctionSpec("prewarm"),
    FunctionSpec("verify", VERIFY_TIMEOUT, environments=1),
    # One, because the batches of a shard follow each other. It starts with the first record.
    FunctionSpec(indexing.FUNCTION, INDEXER_TIMEOUT, environments=1, settings={"SUBSECOND_STORE_TIMEOUT": "10"}),
)


def functions(environ: Mapping[str, str], port: int = 0) -> list[Function]:
    """The project's functions with this environment. port: of the host, where functions invoke each other."""
    # The host names the region itself, as Lambda does.
    variables = {name: value for name, value in environ.items() if name.startswith(("SUBSECOND_", "AWS_"))}
    usual = {"POWERTOOLS_SERVICE_NAME": "subsecond", "OPENBLAS_NUM_THREADS": "1"}
    if port:
        usual |= {"SUBSECOND_WARM_FUNCTIONS": WARMED, "AWS_ENDPOINT_URL_LAMBDA": f"http://{HOST}:{port}"}
    variables = {**usual, **variables}
    return [
        Function(
            name=spec.name,
            directory=FUNCTIONS / spec.name,
            environment={**variables, **spec.settings},
            mode="RESPONSE_STREAM" if spec.streams else "BUFFERED",
            runtime="subsecond.lambda_runtime.runtime" if spec.streams else "awslambdaric",
            timeout=spec.timeout,
            memory=MEMORY,
            minimum=spec.minimum,
            maximum=spec.environments,
        )
        for spec in FUNCTION_SPECS
    ]


async def serve(port: int, environ: Mapping[str, str], follow: Follow) -> None:
    """Until SIGTERM or SIGINT. OSError when the port is taken, LocalError when a function cannot start."""
    stop = asyncio.ensure_future(_asked_to_stop().wait())
    host = LambdaHost(functions(environ, port), ROUTES, port=port, access_keys=access_keys(environ))
    async with host, indexing.indexed(host, environ, follow):
        schedules = [asyncio.create_task(_every(host, PREWARM_SECONDS, "prewarm", PREWARM))]
        if environ.get("SUBSECOND_JUDGE"):
            schedules.append(asyncio.create_task(_every(host, VERIFY_SECONDS, "verify", VERIFY)))
        broken = asyncio.create_task(host.broken())
        await asyncio.wait((stop, broken), return_when=asyncio.FIRST_COMPLETED)
        for task in (*schedules, stop, broken):
            task.cancel()
    if broken.done() and not broken.cancelled():
        raise LocalError(f"The function {broken.result()} cannot start.")


def access_keys(environ: Mapping[str, str]) -> Sequence[str]:
    """That of the functions, which invoke each other, and the command line's. Where the functions find theirs in a
    profile it is not known here: then any is taken."""
    own = environ.get("AWS_ACCESS_KEY_ID")
    return (own, ACCESS_KEY) if own else ()


async def index(environ: Mapping[str, str], follow: Follow) -> None:
    """The indexer alone, until SIGTERM or SIGINT."""
    stop = _asked_to_stop()
    indexer = [function for function in functions(environ) if function.name == indexing.FUNCTION]
    async with LambdaHost(indexer, ()) as host, indexing.indexed(host, environ, follow):
        await stop.wait()


def _asked_to_stop() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    return stop


async def _every(host: LambdaHost, seconds: float, function: str, event: Mapping[str, object]) -> None:
    """What EventBridge does on AWS."""
    while True:
        await asyncio.sleep(seconds)
        await asyncio.gather(host.invoke(function, event), return_exceptions=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--port", type=int)
    what.add_argument("--only-indexer", action="store_true")
    parser.add_argument("--follow", choices=get_args(Follow), default="nothing")
    options = parser.parse_args()
    environ = dict(os.environ)
    work = index(environ, options.follow) if options.only_indexer else serve(options.port, environ, options.follow)
    try:
        asyncio.run(work)
    except LocalError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
