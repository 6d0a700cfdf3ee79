"""`subsecond run`: the whole system on one port of this machine, as children of one process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from subsecond_local.cli.key_admin import check_token
from subsecond_local.errors import LocalError
from subsecond_local.extras import need
from subsecond_local.run import run_config
from subsecond_local.run.children import Child, StopFlag, StopRequested, Supervisor
from subsecond_local.run.gateways import APP, GATEWAYS
from subsecond_local.run.plan import RunPlan
from subsecond_local.run.ports import check_port, free_ports
from subsecond_local.run.run_config import RunConfig


@dataclass(frozen=True, slots=True)
class StartupStage:
    """Children that start together; `then` runs once all of them are ready."""

    children: Sequence[Child]
    then: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Served:
    """Where a gateway that is ready listens, and a key of it."""

    port: int
    key: str = field(repr=False)


def run(
    environ: Mapping[str, str],
    data: Path | None = None,
    *,
    dies_with_parent: bool = False,
    app: str = APP,
    then: Callable[[Served], None] | None = None,
) -> int:
    """Serve until Ctrl-C, SIGTERM or, `dies_with_parent`, the end of the process that started this one. The exit code.

    `app` is the ASGI app's factory. `then` is called once it is ready, and must return at once. LocalError when it
    cannot be served, or a child ends.
    """
    stop = StopFlag(_parent_lives() if dies_with_parent else None)
    stop.listen()
    with ExitStack() as cleaning:
        config = checked(run_config.read(environ, data))
        plan = RunPlan(config, environ, cleaning, say)

        def ready() -> None:
            print(plan.ready(), flush=True)
            if then:
                then(Served(config.port, plan.key))

        stages = (
            StartupStage(plan.dependencies(), plan.prepare),
            StartupStage(plan.gateway(app), ready),
        )
        return supervise(stages, Supervisor(config.data / "logs", stop, say, suffix=f"-{config.port}"))


def supervise(stages: Sequence[StartupStage], supervisor: Supervisor) -> int:
    """Start the stages in order, watch, stop in the reverse order. LocalError when a stage fails or a child ends."""
    try:
        for stage in stages:
            for child in stage.children:
                supervisor.start(child)
            for child in stage.children:
                supervisor.await_ready(child)
            stage.then()
        supervisor.watch()
    except StopRequested:
        say("Stopping ...")
    finally:
        supervisor.end()
    return 0


def checked(config: RunConfig) -> RunConfig:
    """Everything that can be found wrong before anything starts; a port of 0 becomes a free one."""
    if config.mode not in GATEWAYS:
        known = " or ".join(f"MODE={name}" for name in GATEWAYS)
        raise LocalError(f"MODE={config.mode} is not part of this version: leave MODE out, or set {known}.")
    _check_packages(config)
    if config.api_key:
        check_token(config.api_key)
    try:
        config.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LocalError(f"{config.data} cannot be used for the run's data: {error.strerror}.") from error
    if config.port == 0:
        return replace(config, port=free_ports(1)[0])
    check_port(config.port)
    return config


def _check_packages(config: RunConfig) -> None:
    """LocalError names the extra that brings what is missing: a child would only show a traceback."""
    if config.stores == "aws":
        need("STORES=aws", "boto3", *(() if config.named else ("ministack",)))
    if config.mode == "lambda":
        need("MODE=lambda", "awslambdaric", "mangum", "aws_lambda_powertools")
    if config.upstream == "bedrock":
        need("UPSTREAM=bedrock", "botocore")


def say(text: str) -> None:
    """Progress and errors: the standard output has the ready line alone."""
    print(text, file=sys.stderr, flush=True)


def _parent_lives() -> Callable[[], bool]:
    parent = os.getppid()
    return lambda: os.getppid() == parent
