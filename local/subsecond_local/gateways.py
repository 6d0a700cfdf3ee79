"""The ways in which the gateway itself can run (`MODE`)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from subsecond_local.children import Child
from subsecond_local.ports import HOST

APP = "subsecond.api.app:create_app"


def app(port: int, factory: str, environ: Mapping[str, str]) -> Child:
    """The ASGI app in one plain process."""
    options = (
        f"--host={HOST}",
        f"--port={port}",
        "--loop=uvloop",
        "--http=httptools",
        # Otherwise an app that cannot start counts as one that does not care for its start.
        "--lifespan=on",
        "--no-access-log",
        "--no-server-header",
        "--timeout-keep-alive=75",
        "--timeout-graceful-shutdown=5",
    )
    return Child(
        name="gateway",
        purpose="the gateway",
        command=(sys.executable, "-m", "uvicorn", "--factory", factory, *options),
        environ=environ,
        health=f"http://{HOST}:{port}/health",
        # The graceful 5 s, and the last figures' way into the table.
        stops_within=9.0,
    )


def functions(port: int, _factory: str, environ: Mapping[str, str]) -> Child:
    """The functions under the Lambda host; each loads the app itself."""
    return Child(
        name="gateway",
        purpose="the functions",
        command=(sys.executable, "-m", "subsecond_local.lambda_gateway", f"--port={port}"),
        environ=environ,
        health=f"http://{HOST}:{port}/health",
    )


GATEWAYS: Mapping[str, Callable[[int, str, Mapping[str, str]], Child]] = {"app": app, "lambda": functions}
