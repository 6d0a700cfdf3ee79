"""The image's command, run as its definition says, without a container to put it in."""

import json
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from subsecond.config import Settings
from subsecond_local.run.ports import free_ports
from tests.support.locks import asked
from tests.support.processes import listens

ROOT = Path(__file__).parents[2]
IMAGE = (ROOT / "container" / "Dockerfile").read_text().replace("\\\n", " ")
LAST = IMAGE.rpartition("\nFROM ")[2]
VARIABLES = dict(
    pair.split("=", 1) for line in re.findall(r"^ENV (.*)$", LAST, re.MULTILINE) for pair in shlex.split(line)
)
BINARIES = Path(sys.executable).parent


@pytest.fixture
def served():
    """`with served(setting=...) as (process, port)`: the image's command with its variables."""

    @contextmanager
    def serve(**variables):
        command = json.loads(re.search(r"^CMD (.*)$", LAST, re.MULTILINE)[1])
        [port] = free_ports(1)
        own = {**VARIABLES, "PATH": str(BINARIES), "UVICORN_HOST": "127.0.0.1", "UVICORN_PORT": str(port), **variables}
        with subprocess.Popen([BINARIES / command[0], *command[1:]], env=own) as process:
            try:
                assert listens(port, process)
                yield process, port
            finally:
                process.kill()

    return serve


def request(port, method, path, body=None):
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"authorization": "Bearer sk-mine", "content-type": "application/json"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    return closing(connection), connection.getresponse()


SIMULATED = {"SUBSECOND_UPSTREAM": "subsecond_local.simulator.adapter", "SUBSECOND_API_KEY": "sk-mine"}
ASKED = {"model": "sim-t0-i20-n30", "messages": [{"role": "user", "content": "Hi"}], "stream": True}


def test_it_is_healthy_and_a_stop_lets_a_stream_end(served):
    with served(**SIMULATED) as (process, port):
        connection, health = request(port, "GET", "/health")
        with connection:
            assert (health.status, "uvicorn" in str(health.headers)) == (200, False)
        connection, stream = request(port, "POST", "/v1/chat/completions", ASKED)
        with connection:
            first = stream.readline()
            process.send_signal(signal.SIGTERM)
            lines = [first, *stream]
        assert first.startswith(b"data: ")
        assert lines[-2:] == [b"data: [DONE]\n", b"\n"]
        assert process.wait(30) in (0, -signal.SIGTERM)


def test_nobody_runs_it_and_nothing_of_this_machine_is_in_it():
    assert re.search(r"^USER (\d+):(\d+)$", LAST, re.MULTILINE).groups() == ("65532", "65532")
    for line in re.findall(r"^COPY (?!--from)(.*)$", IMAGE, re.MULTILINE):
        *sources, _ = line.split()
        assert [source for source in sources if not (ROOT / source).exists()] == []
    health = re.search(r"HEALTHCHECK .*? CMD (\[.*\])", LAST)[1]
    assert "/health" in json.loads(health)[-1]


def test_its_server_is_the_laptop_s():
    local = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["local"]
    assert {f"{name}=={version}" for name, version in asked("container/requirements.txt").items()} <= set(local)


def test_it_waits_longer_than_an_answer_may_take():
    assert float(VARIABLES["UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN"]) > Settings().total_timeout
