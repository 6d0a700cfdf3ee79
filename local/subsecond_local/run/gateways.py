"""The ways in which the gateway itself can run (`MODE`)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from subsecond_local.run.children import Child
from subsecond_local.run.ports import HOST

# What the indexer follows: nothing; the stream; first the table, as a stream forgets what it held when ministack ends.
Follow = Literal["nothing", "stream", "table"]
APP = "subsecond.api.app:create_app"
# One environment serves one request. More come on demand, and go after five idle minutes.
STREAMING_ENVIRONMENTS = 8
LAMBDA_GATEWAY = (sys.executable, "-m", "subsecond_local.run.lambda_gateway")


def app(port: int, factory: str, environ: Mapping[str, str], follow: Follow) -> Sequence[Child]:
    """The ASGI app in one plain process, and the indexer beside it."""
    options = (
        f"--host={HOST}",
        f"--port={port}",
        # uvloop where it is installed.
        "--loop=auto",
        "--http=subsecond_local.run.no_h2c_upgrade:NoH2cUpgrade",
        # Otherwise an app that cannot start counts as one that does not care for its start.
        "--lifespan=on",
        "--no-access-log",
        "--no-server-header",
        "--timeout-keep-alive=75",
        "--timeout-graceful-shutdown=5",
    )
    gateway = Child(
        name="gateway",
        purpose="the gateway",
        command=(sys.executable, "-m", "uvicorn", "--factory", factory, *options),
        environ=environ,
        health=f"http://{HOST}:{port}/health",
        # The graceful 5 s, and the last figures' way into the table.
        stops_within=9.0,
    )
    if follow == "nothing":
        return (gateway,)
    indexer = Child(
        name="indexer",
        purpose="the indexer",
        command=(*LAMBDA_GATEWAY, "--only-indexer", f"--follow={follow}"),
        environ=environ,
        # It waits for records and serves nobody: it is ready when it has not ended.
        health=gateway.health,
    )
    return gateway, indexer


def functions(port: int, _factory: str, environ: Mapping[str, str], follow: Follow) -> Sequence[Child]:
    """The functions under the Lambda host; each loads the app itself."""
    gateway = Child(
        name="gateway",
        purpose="the functions",
        command=(*LAMBDA_GATEWAY, f"--port={port}", f"--follow={follow}"),
        environ=environ,
        health=f"http://{HOST}:{port}/health",
    )
    return (gateway,)


# Port, the app's factory, environment, and what the indexer follows; the children that it takes.
Gateway = Callable[[int, str, Mapping[str, str], Follow], Sequence[Child]]
GATEWAYS: Mapping[str, Gateway] = {"app": app, "lambda": functions}
