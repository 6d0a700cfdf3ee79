"""`subsecond verify` against the deployed stack: what ministack can answer must pass."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from subsecond_local.deploy.deploy_checks import Deployed, expect
from subsecond_local.errors import LocalError
from subsecond_local.lambda_host import LambdaHost, UrlRoute

# What is not asked of it, and why. docs/verify.md has the same table.
NOT_RUN = {
    "alarms": "ministack makes none, so the stack has none",
    "SnapStart": "ministack takes no snapshots, so WarmMode is Ping",
}


def check(deployed: Deployed, environ: Mapping[str, str], python: Path, built: Path, log: Path) -> None:
    """The built streaming function under the Lambda host, the others in ministack. environ: that of the command."""
    found = asyncio.run(_verified(deployed, environ, python, built, log))
    states = {one["name"]: one["state"] for one in found["checks"]}
    said = "; ".join(f"{one['name']}: {one['said']}" for one in found["checks"] if one["state"] != "passed")
    missed = {name for name, state in states.items() if state != "passed"}
    expect(f"checks of `subsecond verify` that did not pass ({said})", missed, set(NOT_RUN))
    expect("and none of them failed", found["counts"]["failed"], 0)
    print(f"  subsecond verify: {found['counts']['passed']} checks passed, not run: {', '.join(NOT_RUN)}")


async def _verified(
    deployed: Deployed, environ: Mapping[str, str], python: Path, built: Path, log: Path
) -> dict[str, Any]:
    function = deployed.streaming(python, built, {})
    with log.open("wb") as output:
        async with LambdaHost([function], [UrlRoute("/", function.name)], output=output) as host:
            process = await asyncio.create_subprocess_exec(
                *command(deployed, host.url), env=dict(environ), stdout=asyncio.subprocess.PIPE
            )
            out, _ = await process.communicate()
    try:
        found: dict[str, Any] = json.loads(out)
    except ValueError:
        raise LocalError(f"subsecond verify ended with {process.returncode} and said no JSON: {out!r}") from None
    return found


def command(deployed: Deployed, streaming: str) -> tuple[str, ...]:
    """As somebody with an account would call it, but for the addresses: ministack serves the URLs under its own."""
    urls = {"streaming": streaming}
    for face, output in (("completion", "CompletionFunctionUrl"), ("statistics", "CacheStatsFunctionUrl")):
        name = (urlsplit(deployed.outputs[output]).hostname or "").partition(".")[0]
        urls[face] = f"{deployed.endpoint}/_aws/lambda-url/{name}"
    named = (f"--url={face}={url}" for face, url in urls.items())
    return (
        sys.executable,
        "-m",
        "subsecond_local.cli.main",
        "verify",
        f"--stack-name={deployed.stack}",
        "--json",
        *named,
    )
