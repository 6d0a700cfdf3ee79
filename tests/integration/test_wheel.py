"""The wheel in an environment of its own, with the base install's packages and those of the extra `demo`."""

import json
import os
import re
import signal
import subprocess
import textwrap
from contextlib import contextmanager
from http.client import HTTPConnection

import pytest

from subsecond import __version__
from tests.support import wheel
from tests.support.processes import UNHURRIED

# As `du` counts.
LIMIT = 150 * 2**20
READY = re.compile(r"Subsecond is ready: http://127\.0\.0\.1:(\d+)/v1  key: (\S+)  \((.*)\)\n")
QUESTION = {"model": "sim-t0-i0-n8", "messages": [{"role": "user", "content": "Hello?"}]}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The environment's folder, and what is installed in it."""
    folder = tmp_path_factory.mktemp("installed")
    return folder / "venv", wheel.install(wheel.build(tmp_path_factory.mktemp("wheel")), folder / "venv", "demo")


@pytest.fixture
def command(installed, tmp_path):
    """`command("run", PORT="0")` is a process in an empty folder that sees nothing of this checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SUBSECOND_", "AWS_", "PYTHON"))}

    def make(*words, **environ):
        return {
            "args": [installed[0] / "bin/subsecond", *words],
            "env": {**kept, **UNHURRIED, **environ},
            "cwd": tmp_path,
            "text": True,
        }

    return make


@contextmanager
def started(how):
    with subprocess.Popen(**how, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def asked(port, key, method, path, body=None):
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body and json.dumps(body), {"authorization": f"Bearer {key}"})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def test_base_and_demo_are_small(installed):
    files = {file.locate() for one in installed[1] for file in one.files}
    assert sum(file.stat().st_blocks * 512 for file in files if file.exists()) < LIMIT
    assert "boto3" not in {one.name for one in installed[1]}


def test_it_says_its_version(command):
    done = subprocess.run(**command("--version"), capture_output=True, check=True)
    assert done.stdout == f"subsecond {__version__}\n"


def test_the_base_install_runs_the_gateway_in_one_process_with_what_it_has(command):
    with started(command("run", PORT="0", UPSTREAM="simulator")) as process:
        found = READY.fullmatch(process.stdout.readline())
        assert found, process.communicate(timeout=60)
        assert "mode: app, stores: memory" in found[3]
        answers = [asked(int(found[1]), found[2], "POST", "/v1/chat/completions", QUESTION) for _ in range(2)]
        assert [(status, "hit" in headers["cache-status"]) for status, headers, _ in answers] == [
            (200, False),
            (200, True),
        ]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in errors) == (0, False)


@pytest.mark.parametrize(
    ("words", "environ", "told"),
    [
        (["run"], {"STORES": "aws"}, "STORES=aws needs the package boto3: pip install 'subsecond[aws]'"),
        (["run"], {"MODE": "lambda"}, "MODE=lambda needs the package awslambdaric: pip install 'subsecond[aws]'"),
        (["run"], {"UPSTREAM": "bedrock"}, "UPSTREAM=bedrock needs the package botocore: pip install 'subsecond[aws]'"),
        (["keys", "list", "--stack-name", "mine"], {}, "needs the package boto3: pip install 'subsecond[aws]'"),
    ],
)
def test_what_the_base_install_lacks_is_told_by_the_extra_that_brings_it(command, words, environ, told):
    done = subprocess.run(**command(*words, PORT="0", **environ), capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def demo_until_it_says_what_to_try(process):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C ends the demo." in line:
            return "".join(lines)
    pytest.fail(f"{''.join(lines)}\n{process.stderr.read()}")


def test_the_demo_in_an_empty_folder_shows_every_kind_of_answer_and_what_to_try_next(command, installed, tmp_path):
    with started(command("demo", "--seconds", "0", PORT="0")) as process:
        told = demo_until_it_says_what_to_try(process)
        port, key = re.search(r"The page: http://127\.0\.0\.1:(\d+)/ +its key: (\S+)\n", told).groups()
        page = asked(port, key, "GET", "/dashboard")
        seen = json.loads(asked(port, key, "GET", "/v1/cache/stats")[2])
        lines = re.search(r"\n((?:    export|    curl|      -).*?)\n\n", told, re.DOTALL)[1]
        by_curl = subprocess.run(["sh", "-e"], input=lines, capture_output=True, text=True, timeout=60, check=True)
        lines = textwrap.dedent(re.search(r"(    from openai.*?)\n\n", told, re.DOTALL)[1])
        python = {**command()["env"], "no_proxy": "*"}
        by_openai = subprocess.run(
            [installed[0] / "bin/python", "-"], env=python, input=lines, capture_output=True, text=True, check=True
        )
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (page[0], b"<title>" in page[2]) == (200, True)
    assert all(seen["hits"][kind] for kind in ("exact", "semantic", "coalesced"))
    assert seen["misses"]
    assert seen["models"]["sim-broken"]["calls"]["failed"]
    assert seen["money"]["saved"] > 0
    assert "data: [DONE]" in by_curl.stdout
    assert by_openai.stdout.strip()
    assert (process.returncode, "Traceback" in errors) == (0, False)
    assert list(tmp_path.iterdir()) == []


def test_the_demo_ends_at_once_when_it_is_asked_to_in_the_middle(command, tmp_path):
    with started(command("demo", PORT="0")) as process:
        for line in process.stdout:
            if "answered by" in line:
                break
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in errors, "Ctrl-C" in out) == (0, False, False)
    assert list(tmp_path.iterdir()) == []
