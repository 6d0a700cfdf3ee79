"""`MODE=lambda`: the project's functions under the Lambda host, behind one base URL.

What the template deploys, on loopback. The streaming function serves every route, as its URL does on AWS; the others
can be invoked by name. The schedule warms what it warms on AWS.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from subsecond_local.lambda_host import Function, LambdaHost, Route

ROOT = Path(__file__).parents[2]
FUNCTIONS = ROOT / "functions"
# As in the template: seconds that a stream may take, and megabytes.
TIMEOUT = 630.0
SHORT_TIMEOUT = 60.0
MEMORY = 1024
# One environment serves one request. More come on demand, and go after five idle minutes.
STREAMING_ENVIRONMENTS = 8
# The template's PrewarmRate.
PREWARM_SECONDS = 300.0
PREWARM = {"prewarm": True}

# The statistics too: figures that an environment has not merged yet are known to itself alone, and a laptop's one user
# wants to see the request that was just made.
ROUTES = (Route("/", "streaming"),)


@dataclass(frozen=True, slots=True)
class Served:
    """One of the project's functions, as the template describes it."""

    name: str
    answers: bool = False
    streams: bool = False
    environments: int = 2
    minimum: int = 0


SERVED = (
    Served("streaming", answers=True, streams=True, environments=STREAMING_ENVIRONMENTS, minimum=1),
    Served("completion", answers=True),
    Served("cache_stats"),
    Served("prewarm"),
)


def functions(environ: Mapping[str, str]) -> list[Function]:
    """The project's functions with this environment."""
    # The host names the region itself, as Lambda does.
    told = {name: value for name, value in environ.items() if name.startswith(("SUBSECOND_", "AWS_"))}
    told = {"POWERTOOLS_SERVICE_NAME": "subsecond", **told}
    return [
        Function(
            name=served.name,
            directory=FUNCTIONS / served.name,
            environment=told,
            mode="RESPONSE_STREAM" if served.streams else "BUFFERED",
            runtime="subsecond.aws_lambda.runtime" if served.streams else "awslambdaric",
            timeout=TIMEOUT if served.answers else SHORT_TIMEOUT,
            memory=MEMORY,
            minimum=served.minimum,
            maximum=served.environments,
        )
        for served in SERVED
    ]


async def serve(port: int, environ: Mapping[str, str]) -> None:
    """Until SIGTERM or SIGINT. OSError when the port is taken."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    async with LambdaHost(functions(environ), ROUTES, port=port) as host:
        schedule = asyncio.create_task(_schedule(host))
        await stop.wait()
        schedule.cancel()


async def _schedule(host: LambdaHost) -> None:
    """What EventBridge does on AWS."""
    while True:
        await asyncio.sleep(PREWARM_SECONDS)
        await asyncio.gather(*(host.invoke(name, PREWARM) for name in ("prewarm", "streaming")), return_exceptions=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(serve(parser.parse_args().port, dict(os.environ)))


if __name__ == "__main__":
    main()
