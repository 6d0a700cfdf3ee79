"""The processes that are measured, each a child of the benchmark."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from subsecond_local.run.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.simulator import SimulatorProcess

ROOT = Path(__file__).parents[2]
# Benchmarks are run by path, so that only their own folder is searched: `tests.support` lies beside it.
sys.path.append(str(ROOT))
KEY = "bench-key"
PATH = "/v1/chat/completions"
SUBSECOND = (
    "{python} -m uvicorn --factory subsecond.api.app:create_app --loop uvloop --http httptools --no-access-log "
    "--log-level warning --host 127.0.0.1 --port {port}"
)
NAIVE = (
    "{python} -m uvicorn naive_proxy:app --app-dir {here} --loop uvloop --http httptools --no-access-log "
    "--log-level warning --host 127.0.0.1 --port {port}"
)
# One environment serves one request: as many as the most clients that a scenario has.
FUNCTIONS = "{python} -m subsecond_local.run.lambda_gateway --port {port}"
_START_SECONDS = 60
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Target:
    """A server under test. `caches`: it keeps answers, so it takes part in the hits."""

    name: str
    port: int
    pid: int
    caches: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """How to start a server: a command with {python}, {here} and {port}, and what its environment has besides."""

    name: str
    command: str
    environ: Mapping[str, str]
    caches: bool = False


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """The children's environment. All are compiled alike: without .pyc files a library may import itself anew."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SUBSECOND_", "NAIVE_"))}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**kept, **more}


@contextmanager
def simulator() -> Iterator[SimulatorProcess]:
    """The upstream."""
    from tests.support.simulator import SimulatorProcess

    with SimulatorProcess(key=KEY, environ=environment({})) as process:
        yield process


@contextmanager
def started(plan: Plan) -> Iterator[Target]:
    """The server, once it answers; ended with the block. RuntimeError with its last words when it does not start."""
    from tests.support.processes import listens

    (port,) = free_ports(1)
    command = plan.command.format(python=sys.executable, here=Path(__file__).parent, port=port)
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            shlex.split(command), cwd=ROOT, env=environment(plan.environ), stdout=log, stderr=subprocess.STDOUT
        )
        try:
            if not listens(port, child, _START_SECONDS):
                log.seek(0)
                raise RuntimeError(f"{plan.name} did not start:\n{log.read().decode(errors='replace')[-2000:]}")
            yield Target(plan.name, port, child.pid, plan.caches)
        finally:
            child.terminate()
            try:
                child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def check(target: Target, model: str) -> None:
    """One call that must work, so that nobody measures how fast errors are. RuntimeError with the server's answer."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "check"}]})
    with closing(http.client.HTTPConnection("127.0.0.1", target.port, timeout=_START_SECONDS)) as connection:
        connection.request("POST", PATH, body, {"authorization": f"Bearer {KEY}", "content-type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
    if response.status != http.client.OK:
        raise RuntimeError(f"{target.name} answers {response.status}: {answer.decode(errors='replace')[:500]}")


def family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    found = [pid]
    for parent in found:
        for tasks in Path(f"/proc/{parent}/task").glob("*/children"):
            found.extend(int(child) for child in tasks.read_text().split())
    return found


def resident_megabytes(pid: int) -> float:
    """Resident memory of the process and its descendants."""
    pages = sum(int(Path(f"/proc/{member}/statm").read_text().split()[1]) for member in family(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu_seconds(pid: int) -> float:
    """User and system time that the process and its descendants have used; in steps of 10 ms."""
    ticks = 0
    for member in family(pid):
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS
