"""The time that AWS's stores take, in front of a stand-in that answers at once.

`SUBSECOND_LOCAL_DELAYS=dynamodb=4,s3=20,secrets=30`: the median of each service, in milliseconds. A call's time is
drawn lognormally, as such services' are: one call in ten takes 1.7 times the median, one in a hundred 2.5 times.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from subsecond_local.errors import LocalError

if TYPE_CHECKING:
    from subsecond_local.run.browser_guard import App, Message, Receive, Send

VARIABLE = "SUBSECOND_LOCAL_DELAYS"
SIGMA = 0.4
# What begins the target of a service's calls. S3 has no targets.
TARGETS = {"DynamoDB_": "dynamodb", "secretsmanager.": "secrets", "AmazonSSM.": "secrets"}
SERVICES = ("dynamodb", "s3", "secrets")


def read(environ: Mapping[str, str]) -> dict[str, float]:
    """Seconds by service. LocalError for what is none of them, or no number."""
    found: dict[str, float] = {}
    for part in filter(None, environ.get(VARIABLE, "").split(",")):
        service, _, milliseconds = part.partition("=")
        if service.strip() not in SERVICES or not milliseconds.strip().replace(".", "", 1).isdecimal():
            raise LocalError(f"{VARIABLE}: {part!r} is not like dynamodb=4; there are {', '.join(SERVICES)}.")
        found[service.strip()] = float(milliseconds) / 1000
    return found


def service_of(target: str, path: str) -> str | None:
    """Whose call this is; None for what is not delayed: health, saving, DynamoDB's streams."""
    for begins, service in TARGETS.items():
        if target.startswith(begins):
            return service
    return "s3" if not target and path != "/" and not path.startswith("/_") else None


class Delays:
    """An ASGI app in front of another: each call of a service waits before it is served."""

    def __init__(
        self, app: App, medians: Mapping[str, float], draw: Callable[[float, float], float] = random.lognormvariate
    ) -> None:
        self._app = app
        self._medians = medians
        self._draw = draw

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (median := self._median(scope)):
            await asyncio.sleep(self._draw(math.log(median), SIGMA))
        await self._app(scope, receive, send)

    def _median(self, scope: Message) -> float:
        target = next((value for name, value in scope["headers"] if name.lower() == b"x-amz-target"), b"")
        return self._medians.get(service_of(target.decode("latin-1"), scope["path"]) or "", 0.0)
