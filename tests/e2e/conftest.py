"""The servers, the clients' environments, and the programs that speak through the clients.

A client is a program of its own (`clients/`, `node/`): it reads what to do and says what it saw, so that one set of
assertions serves them all, and each lives in the environment that it needs.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from subsecond_local.cli.key_admin import KeyTable
from subsecond_local.run.ports import HOST, free_ports
from subsecond_local.run.stores import stores_from_env
from tests.support.emulator import running
from tests.support.processes import UNHURRIED, listens, running_stack
from tests.support.simulator import SimulatorProcess

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TOOLS = ROOT / ".tools"
# It calls no tools without its extra: `import mcp` stands before it looks at what kind of tools they are.
LITELLM = "litellm[mcp]==1.106.2"
UPSTREAM_KEY = "sk-upstream"
GATEWAY_KEY = "sk-gateway"
# As in the template: each environment has its own memory, and all share the tables.
IN_TABLES = {"SUBSECOND_STORES": "aws"}
# Seconds until a client counts as stuck; its own limit for a request is 30.
PATIENCE = 100
DEFAULT_MODEL = "sim-t50-i5-n32"
# Unbuffered, Python makes writes of nothing, which look like the end of a socket that keeps writes apart; and without
# bytecode the big clients take seconds longer to import.
FOREIGN = (
    "PYTHONUNBUFFERED",
    "PYTHONDONTWRITEBYTECODE",
    "SUBSECOND_",
    "OPENAI_",
    "AWS_",
    "LITELLM_",
    "LANGSMITH_",
    "LANGCHAIN_",
    "LLM_",
)
# Nothing listens on port 9: a client that wants to tell somebody of its use fails at once.
QUIET = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}


@dataclass(frozen=True, slots=True)
class Target:
    """A server that a client is pointed at."""

    base_url: str
    key: str
    caches: bool
    # Where it prints a line for each request that has ended; None when it prints nothing.
    log: Path | None = None


class Client:
    """A client's program."""

    def __init__(self, child: subprocess.Popen, name: str) -> None:
        self.name = name
        self._child = child

    def do(self, target: Target, action: str, **words: Any) -> dict[str, Any]:
        """What the client saw; AssertionError when it met what it does not document."""
        told = {"do": action, "base_url": target.base_url, "key": target.key, **words}
        self._child.stdin.write(json.dumps(told) + "\n")
        self._child.stdin.flush()
        answered, _, _ = select.select([self._child.stdout], [], [], PATIENCE)
        if not answered:
            # What it says later would be taken for the answer to the next action.
            self._child.kill()
            pytest.fail(f"{self.name} has not answered")
        line = self._child.stdout.readline()
        assert line, f"{self.name} ended with {self._child.wait()}"
        seen = json.loads(line)
        assert "crash" not in seen, seen["crash"]
        return seen


def environment(**more: str) -> dict[str, str]:
    """What a child may know of this machine's environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return kept | more


@contextmanager
def child(command, **options):
    """A child process, ended with the block."""
    with subprocess.Popen(command, **options) as found:
        try:
            yield found
        finally:
            found.terminate()


@pytest.fixture(scope="session")
def simulator_process():
    with SimulatorProcess(key=UPSTREAM_KEY, environ=environment()) as process:
        yield process


@pytest.fixture
def simulator(simulator_process):
    """The model server, counting from zero."""
    simulator_process.reset()
    return simulator_process


@pytest.fixture
def ended(simulator):
    """`ended(2)`: the model server's statistics, once it was called twice and works on nothing any more. A call and a
    hang-up are seen a moment later."""

    def stats(calls):
        deadline = time.monotonic() + PATIENCE
        while (found := simulator.stats())["running"] or found["calls"] < calls:
            assert time.monotonic() < deadline, found
            time.sleep(0.01)
        return found

    return stats


@pytest.fixture(scope="session")
def gateway_url(simulator_process):
    (port,) = free_ports(1)
    options = f"--host 127.0.0.1 --port {port} --http httptools --loop uvloop --no-access-log --log-level warning"
    options += " --timeout-graceful-shutdown 30"
    settings = {
        "SUBSECOND_UPSTREAM_URL": simulator_process.base_url,
        "SUBSECOND_UPSTREAM_KEY": UPSTREAM_KEY,
        "SUBSECOND_UPSTREAM_KIND": "simulator",
        "SUBSECOND_API_KEY": GATEWAY_KEY,
        **UNHURRIED,
        "SUBSECOND_DEFAULT_MODEL": DEFAULT_MODEL,
    }
    command = (sys.executable, "-m", "uvicorn", "--factory", "subsecond.api.app:create_app", *options.split())
    with tempfile.TemporaryFile() as log:
        with child(command, cwd=ROOT, env=environment(**settings), stdout=log, stderr=subprocess.STDOUT) as process:
            if not listens(port, process):
                log.seek(0)
                pytest.fail(f"The gateway did not start:\n{log.read().decode(errors='replace')}")
            yield f"http://127.0.0.1:{port}/v1"
        log.seek(0)
        # A fault that no client noticed is still one; the upstream's own, that a test asked for, are logged.
        lines = log.read().decode(errors="replace").splitlines()
        assert [line for line in lines if "The fault asked for" not in line] == []


@pytest.fixture(scope="session")
def tables(tmp_path_factory):
    """The environment that leads to the tables and the bucket, in ministack, and a key that lies in them."""
    with running(tmp_path_factory.mktemp("ministack"), environment()) as reached:
        stores = stores_from_env(reached, reached["AWS_ENDPOINT_URL"], emulated=True)
        yield reached, KeyTable(stores.dynamodb(), stores.state_table).create("e2e", "acme", "test")[0]


@pytest.fixture(scope="session")
def functions_process(simulator_process, tables, tmp_path_factory):
    (port,) = free_ports(1)
    reached, key = tables
    settings = {
        "SUBSECOND_UPSTREAM_URL": simulator_process.base_url,
        "SUBSECOND_UPSTREAM_KEY": UPSTREAM_KEY,
        "SUBSECOND_UPSTREAM_KIND": "simulator",
        "SUBSECOND_DEFAULT_MODEL": DEFAULT_MODEL,
    }
    command = (sys.executable, "-m", "subsecond_local.run.lambda_gateway", f"--port={port}")
    found = Target(f"http://{HOST}:{port}/v1", key, caches=True, log=tmp_path_factory.mktemp("functions") / "log")
    variables = environment(**reached, **IN_TABLES, **UNHURRIED, **settings)
    with (
        found.log.open("wb") as log,
        child(command, cwd=ROOT, env=variables, stdout=log, stderr=subprocess.STDOUT) as process,
    ):
        if not listens(port, process):
            pytest.fail(f"The functions did not start:\n{found.log.read_text()}")
        yield found
    # Nothing but the lines of requests and of the schedule, and their metrics.
    told = [line for line in _lines(found.log) if "_aws" not in line]
    assert [line for line in told if line.get("message") not in ("request", "prewarmed")] == []


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """`subsecond run` as it stands after `make install`: the functions, the tables and the simulator."""
    data = tmp_path_factory.mktemp("run")
    command = (sys.executable, "-m", "subsecond_local.cli.main", "run")
    with running_stack(data, command, {"SUBSECOND_DATA": str(data), "MODE": "lambda"}) as stack:
        (log,) = (data / "logs").glob("gateway-*.log")
        yield Target(f"http://{HOST}:{stack.port}/v1", stack.key, caches=True, log=log)


def _lines(log):
    """What was printed so far. Metrics are printed apart from their line's end, so two may share a line."""
    whole = log.read_text().rpartition("\n")[0]
    return [json.loads(line) for line in whole.replace("}{", "}\n{").split("\n") if line]


@pytest.fixture
def direct(simulator):
    return Target(simulator.base_url, UPSTREAM_KEY, caches=False)


@pytest.fixture
def subsecond(gateway_url, simulator):
    return Target(gateway_url, GATEWAY_KEY, caches=True)


@pytest.fixture
def functions(functions_process, simulator):
    return functions_process


@pytest.fixture
def stored(target):
    """`stored(model)`: the answer of this model, which one test alone asks at a time, is stored. A function may still
    be at it when the client has all of it, and the environment that serves the next request would find nothing."""
    known = len(_lines(target.log)) if target.log else 0

    def wait(model):
        deadline = time.monotonic() + 20
        wanted = {"model": model, "source": "upstream"}.items()
        while target.log and not any(wanted <= line.items() for line in _lines(target.log)[known:]):
            assert time.monotonic() < deadline
            time.sleep(0.005)

    return wait


@pytest.fixture
def sources(target):
    """`sources(model, n)`: where the answers to the test's first n requests for this model came from, as functions log
    it. For a model that it alone asks: the line of an earlier test's last request may come late."""
    known = len(_lines(target.log)) if target.log else 0

    def wait(model, count):
        deadline = time.monotonic() + 20
        while len(found := [one["source"] for one in _lines(target.log)[known:] if one.get("model") == model]) < count:
            assert time.monotonic() < deadline, found
            time.sleep(0.005)
        return found

    return wait


@pytest.fixture(params=["direct", "subsecond"])
def target(request):
    """The same test, against the model server itself and through the gateway."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def say(pytestconfig):
    """A word to whoever waits, past pytest's capturing."""
    manager = pytestconfig.pluginmanager.getplugin("capturemanager")

    def told(text):
        with manager.global_and_fixture_disabled():
            print(f"\n{text}", file=sys.stderr, flush=True)

    return told


@pytest.fixture(scope="session")
def litellm_python(say):
    """The interpreter of an environment of litellm's own: it wants another version of the openai package."""
    return _environment("litellm", LITELLM, (LITELLM,), say)


@pytest.fixture(scope="session")
def dialects_python(say):
    """The interpreter of the environment of those that speak Responses and Messages: their packages clash with ours."""
    wanted = HERE / "clients" / "dialects-requirements.txt"
    return _environment("clients-dialects", wanted.read_text(), ("--requirement", wanted), say)


def _environment(name, wanted, packages, say):
    """The interpreter of `.tools/<name>`, where these packages are."""
    python = TOOLS / name / "bin" / "python"

    def make(folder):
        installing = (python, "-m", "pip", "install", "--no-input", *packages)
        return all(_succeeds(command) for command in ((sys.executable, "-m", "venv", folder), installing))

    # The interpreter that it was made from may be gone.
    _have(name, wanted, make, say, python)
    return python


@pytest.fixture(scope="session")
def node_folder(say):
    """A folder with the Node clients' packages and programs: Node looks for packages beside the program."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("There is no node with npm here.")
    folder = TOOLS / "node"
    wanted = (HERE / "node" / "package.json").read_text()

    def make(_):
        folder.mkdir(parents=True)
        (folder / "package.json").write_text(wanted)
        words = "install --no-package-lock --no-audit --no-fund --ignore-scripts"
        return _succeeds((npm, *words.split()), cwd=folder)

    _have("node", wanted, make, say, folder / "node_modules")
    with _alone("node"):
        for program in (HERE / "node").glob("*.mjs"):
            copy = folder / program.name
            # Another process of the tests may be running it.
            if not copy.is_file() or copy.read_bytes() != program.read_bytes():
                shutil.copy(program, copy)
    return folder


@contextmanager
def _alone(name):
    """No other process of the tests looks at `.tools/<name>` or makes it meanwhile."""
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / f"{name}.making").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _have(name, wanted, make, say, used):
    """`.tools/<name>` as `wanted`; made anew unless its mark says that it is whole and the same. Skips without it."""
    folder = TOOLS / name
    mark = folder / "made-from"
    with _alone(name):
        if not (mark.is_file() and mark.read_text() == wanted and used.exists()):
            _make(folder, wanted, make, say)


def _make(folder, wanted, make, say):
    say(f"Installing {folder.name}'s packages into {folder.relative_to(ROOT)}, once: about a minute ...")
    shutil.rmtree(folder, ignore_errors=True)
    if not make(folder):
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(f"{folder.name}'s packages could not be installed.")
    (folder / "made-from").write_text(wanted)


def _succeeds(command, **options) -> bool:
    try:
        ran = subprocess.run(command, env=environment(), capture_output=True, check=False, timeout=300, **options)
    except subprocess.TimeoutExpired:
        return False
    return ran.returncode == 0


@pytest.fixture(scope="session")
def start():
    """`with start(name, *command) as client`: the program of that command, until the block ends."""

    @contextmanager
    def started(name, *command):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with child(command, env=environment(**QUIET), **pipes) as process:
            yield Client(process, name)

    return started
