"""`subsecond run` as a person meets it: real children, real signals, real ports."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest

import subsecond_local
from subsecond_local.cli import main as cli
from subsecond_local.emulator.aws_emulator import create_stores, lock_state
from subsecond_local.errors import LocalError
from subsecond_local.run import model_server, parent_death
from subsecond_local.run.ports import free_ports
from subsecond_local.run.stores import stores_from_env
from tests.support.processes import UNHURRIED

READY = re.compile(
    r"Subsecond is ready: (http://127\.0\.0\.1:\d+)/v1  key: (\S+)  \((.*), page: \1/, logs: .*/logs\)\n"
)
# Far above what anything here takes: only a hang gets there.
PATIENCE = 60.0

# Web servers of the standard library in place of the real children. Prints a line when they are ready.
SUPERVISED = """
import signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may have it ignored (nohup)
import sys
from pathlib import Path
from subsecond_local.run.children import Child, StopFlag, Supervisor
from subsecond_local.errors import LocalError
from subsecond_local.run.runner import StartupStage, say, supervise

def web(port):
    command = (sys.executable, "-m", "http.server", port, "--bind", "127.0.0.1")
    return Child(f"web-{port}", f"server {port}", command, {}, f"http://127.0.0.1:{port}/")

def mute():
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print('I am deaf', flush=True); time.sleep(600)"
    child = (sys.executable, "-c", script)
    return Child("mute", "the mute child", child, {}, "http://127.0.0.1:9/", 3.0, 0.2, hint="Ask another one.")

folder, *ports = sys.argv[1:]
children = [mute() if port == "mute" else web(port) for port in ports]
stop = StopFlag()
stop.listen()
supervisor = Supervisor(Path(folder), stop, say)
stages = [StartupStage([child], lambda: None) for child in children[:-1]]
announce = lambda: print(*(one.process.pid for one in supervisor.running), flush=True)
try:
    sys.exit(supervise([*stages, StartupStage(children[-1:], announce)], supervisor))
except LocalError as error:
    say(str(error))
    sys.exit(1)
"""

STARTER = """
import os, subprocess, sys
subprocess.run([sys.executable, "-c", sys.argv[2], sys.argv[1], str(os.getpid())])
"""
COMMAND = """
import runpy, sys, time
runpy.run_path(sys.argv[1])["watch"](int(sys.argv[2]), 15)
print("up", flush=True)
time.sleep(600)
"""


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def eventually(holds):
    """Whether it comes true before the patience ends."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@contextmanager
def process(*command, **environ):
    """A process with pipes; whatever happens, it is gone afterwards."""
    with subprocess.Popen(
        command, env={**os.environ, **environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as found:
        try:
            yield found
        finally:
            found.kill()


def running(data, **environ):
    """`subsecond run` on free ports."""
    environ = {**UNHURRIED, "PORT": "0", "UPSTREAM": "simulator", **environ}
    return process(sys.executable, "-m", "subsecond_local.cli.main", "--data", str(data), "run", **environ)


def supervised(folder, *ports):
    return process(sys.executable, "-c", SUPERVISED, str(folder), *map(str, ports))


def end(child, how=signal.SIGINT):
    """Its exit code and what else it printed."""
    child.send_signal(how)
    out, err = child.communicate(timeout=PATIENCE)
    return child.returncode, out, err


def ready(child):
    """Base URL and key of a ready run."""
    line = child.stdout.readline()
    found = READY.fullmatch(line)
    assert found, f"{line!r}\n{child.communicate(timeout=PATIENCE)[1]}"
    return found.groups()


def ask(base, path, key=None, body=None, more=None):
    """Status, headers and JSON of one request."""
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=PATIENCE)
    headers = (more or {}) | ({"authorization": f"Bearer {key}"} if key else {})
    try:
        connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        return response.status, response.headers, json.loads(response.read())
    finally:
        connection.close()


def chat(base, key, model="sim-t0-i0-n8", **fields):
    body = {"model": model, "messages": [{"role": "user", "content": "Hello?"}], **fields}
    return ask(base, "/v1/chat/completions", key, body)


def ports_of(data, base):
    """Everything that a run with a stand-in and the simulator listens on."""
    noted = json.loads((data / "run.json").read_text())
    said = next((data / "logs").glob(f"simulator-{urlsplit(base).port}.log")).read_text()
    return [urlsplit(url).port for url in (base, noted["stores"]["endpoint"], said.split()[1])]


def test_a_port_that_was_found_free_is_chosen_for_nobody_else():
    (port,) = free_ports(1)
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    socket.create_server(("127.0.0.1", port)).close()


def test_a_taken_port_is_an_error_before_anything_starts(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(tmp_path, PORT=str(port)) as child:
            out, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 1
    assert out == ""
    assert f"Port {port} cannot be used" in err
    assert "Starting" not in err


def test_a_run_answers_keeps_its_data_and_leaves_nothing_behind(tmp_path, capsys):
    with running(tmp_path) as child:
        base, key, how = ready(child)
        assert how == "upstream: simulator, mode: lambda, stores: aws"
        assert ask(base, "/health")[0] == 200
        assert ask(base, "/v1/models")[0] == 401
        status, headers, first = chat(base, key)
        assert (status, "hit" in headers["cache-status"]) == (200, False)
        ports = ports_of(tmp_path, base)
        assert all(map(listens, ports))
        code, out, err = end(child)
    assert (code, out) == (0, "")
    assert "killed" not in err
    assert not any(map(listens, ports))
    assert not (tmp_path / "run.json").exists()

    with running(tmp_path) as child:
        base, same, _ = ready(child)
        assert same == key
        status, headers, again = chat(base, key)
        assert (status, "hit" in headers["cache-status"]) == (200, True)
        assert again == first
        assert cli.main(["--data", str(tmp_path), "keys", "revoke", "make-run"]) == 0
        assert "Revoked" in capsys.readouterr().out
        assert end(child, signal.SIGTERM)[0] == 0

    with running(tmp_path) as child:
        base, other, _ = ready(child)
        assert other != key
        assert chat(base, key)[0] == 401
        assert chat(base, other)[0] == 200
        ports = ports_of(tmp_path, base)
        child.kill()
        assert eventually(lambda: not any(map(listens, ports)))

    # A crash of the runner costs no data either: the stand-in writes its state when its parent is gone.
    with running(tmp_path) as child:
        base, same, _ = ready(child)
        assert same == other
        assert chat(base, other)[0] == 200
        assert end(child)[0] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_key_outlives_the_sudden_end_of_the_emulator(tmp_path, capsys):
    with running(tmp_path) as child:
        ready(child)
        assert cli.main(["--data", str(tmp_path), "keys", "create", "kept"]) == 0
        key = capsys.readouterr().out.strip()
        os.kill(emulator_of(tmp_path), signal.SIGKILL)
        _, err = child.communicate(timeout=PATIENCE)
        assert "stands in for DynamoDB and S3) ended unexpectedly" in err
    with running(tmp_path) as child:
        base, _, _ = ready(child)
        assert chat(base, key)[0] == 200
        assert end(child)[0] == 0


def emulator_of(data):
    """Its process id: the one of this run, not of another test's."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            named = f"STATE_DIR={data}/state".encode() in (folder / "environ").read_bytes().split(b"\0")
            if named and b"subsecond_local.emulator.emulator_persistence" in (folder / "cmdline").read_bytes().split(
                b"\0"
            ):
                return int(folder.name)
    raise AssertionError("there is none")


def test_everything_in_memory_needs_no_emulator(tmp_path):
    with running(tmp_path, STORES="memory", SUBSECOND_API_KEY="my-own-key") as child:
        base, key, how = ready(child)
        assert (key, how) == ("my-own-key", "upstream: simulator, mode: app, stores: memory")
        assert chat(base, key)[0] == 200
        assert chat(base, "another-key")[0] == 401
        assert not list((tmp_path / "logs").glob("ministack*"))
        code, _, err = end(child, signal.SIGTERM)
    assert code == 0
    assert "ministack" not in err


@pytest.mark.parametrize("catalogue", ["", "simulator"])
def test_the_simulator_speaks_every_dialect_of_a_run(tmp_path, catalogue):
    file = Path(subsecond_local.__file__).parent / "catalogues" / "simulator.json"
    environ = {"SUBSECOND_CATALOGUE": f"file:{file}"} if catalogue else {}
    said = {"messages": [{"role": "user", "content": "Hello?"}]}
    asked = {
        "/v1/chat/completions": said,
        "/v1/responses": {"input": "Hello?", "store": False},
        "/v1/messages": said | {"max_tokens": 64},
    }
    with running(tmp_path, STORES="memory", **environ) as child:
        base, key, _ = ready(child)
        for path, body in asked.items():
            body["model"] = "auto" if catalogue else "sim-t0-i0-n8"
            seen = [ask(base, path, key, body, {"anthropic-version": "2023-06-01"}) for _ in range(2)]
            assert [status for status, _, _ in seen] == [200, 200], (path, seen)
            assert seen[1][1]["cache-status"].endswith("detail=exact"), path
        assert end(child)[0] == 0


def test_the_upstream_that_the_environment_names_is_asked(tmp_path):
    with process(sys.executable, "-m", "subsecond_local.simulator.server", "--key", "theirs") as simulator:
        url = simulator.stdout.readline().split()[1] + "/v1"
        environ = {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "theirs", "OPENAI_MODEL": "sim-t0-i0-n4"}
        with running(tmp_path, STORES="memory", UPSTREAM="", **environ) as child:
            base, key, how = ready(child)
            assert how.startswith("upstream: openai")
            status, _, answer = chat(base, key, model="sim-t0-i0-n4")
            assert (status, answer["usage"]["completion_tokens"]) == (200, 4)
            assert end(child)[0] == 0


@pytest.mark.skipif(model_server.missing() is not None, reason=str(model_server.missing()))
def test_the_small_model_answers_for_real(tmp_path):
    with running(tmp_path, STORES="memory", UPSTREAM="model") as child:
        base, key, how = ready(child)
        assert how.startswith("upstream: model")
        status, _, answer = chat(base, key, model=model_server.MODEL, max_tokens=6)
        assert (status, answer["model"]) == (200, model_server.MODEL)
        assert answer["choices"][0]["message"]["content"]
        status, _, found = ask(base, "/v1/embeddings", key, {"model": model_server.MODEL, "input": ["one", "two"]})
        assert (status, [len(item["embedding"]) for item in found["data"]]) == (200, [576, 576])
        status, _, refused = chat(base, key, model="gpt-none", max_tokens=6)
        assert (status, refused["error"]["code"]) == (404, "model_not_found")
        assert end(child)[0] == 0


def test_children_die_with_a_parent_that_is_killed(tmp_path):
    ports = free_ports(2)
    with supervised(tmp_path, *ports) as child:
        assert child.stdout.readline()
        assert all(map(listens, ports))
        child.kill()
        assert eventually(lambda: not any(map(listens, ports)))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_asked_to_stop_it_stops_its_children_and_is_content(how, tmp_path):
    ports = free_ports(2)
    with supervised(tmp_path, *ports) as child:
        assert child.stdout.readline()
        assert end(child, how)[0] == 0
    assert not any(map(listens, ports))


def test_a_child_that_ends_ends_the_run_and_is_named(tmp_path):
    ports = free_ports(2)
    with supervised(tmp_path, *ports) as child:
        first, _ = map(int, child.stdout.readline().split())
        os.kill(first, signal.SIGKILL)
        _, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 1
    assert f"Server {ports[0]} ended unexpectedly (killed by SIGKILL)" in err
    assert not any(map(listens, ports))


def test_a_child_that_cannot_start_shows_the_end_of_its_log(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with supervised(tmp_path, port) as child:
            # It answers nothing, so that the child is seen to end.
            _, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 1
    assert "ended unexpectedly (exit code 1)" in err
    assert "Address already in use" in err


def test_a_deaf_child_that_never_gets_ready_is_killed(tmp_path):
    (port,) = free_ports(1)
    with supervised(tmp_path, port, "mute") as child:
        out, err = child.communicate(timeout=PATIENCE)
    assert (child.returncode, out) == (1, "")
    assert "The mute child did not answer within 3 s" in err
    assert "I am deaf" in err
    assert "Ask another one." in err
    assert "The mute child did not stop by itself and was killed." in err
    assert not listens(port)


def test_the_run_ends_with_the_make_that_started_it(tmp_path):
    # A shell stands for make: it is killed without a word to its child.
    script = f'"{sys.executable}" -m subsecond_local.cli.main --data "{tmp_path}" run --die-with-parent; exit'
    with process("sh", "-c", script, PORT="0", UPSTREAM="simulator", STORES="memory") as shell:
        base, _, _ = ready(shell)
        shell.kill()
        assert eventually(lambda: not listens(urlsplit(base).port))
        shell.communicate(timeout=PATIENCE)


def test_where_the_kernel_cannot_a_twin_ends_the_command_when_its_starter_is_gone():
    with process(sys.executable, "-c", STARTER, parent_death.__file__, COMMAND) as child:
        assert child.stdout.readline() == "up\n"
        child.kill()
        child.wait()
        # The pipe ends when the last process that holds it has ended.
        assert child.communicate(timeout=PATIENCE)[0] == ""


def test_a_leash_whose_starter_is_gone_already_starts_nothing():
    done = subprocess.run(
        [sys.executable, parent_death.__file__, "1", "15", "echo", "started"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")


def test_two_runs_do_not_share_one_state(tmp_path):
    held = lock_state(tmp_path)
    try:
        with pytest.raises(LocalError, match="SUBSECOND_DATA"):
            lock_state(tmp_path, wait=0)
        told = []
        with pytest.raises(LocalError):
            lock_state(tmp_path, wait=0.25, say=told.append)
        assert told == [f"Another run uses the data in {tmp_path}: waiting whether it ends ..."]
    finally:
        os.close(held)
    again = lock_state(tmp_path, wait=0)
    os.close(again)


def test_the_stores_are_made_once_and_as_the_gateway_needs_them(aws_tables):
    made = stores_from_env(
        {"SUBSECOND_ANSWERS_TABLE": "answers", "SUBSECOND_STATE_TABLE": "state", "SUBSECOND_BUCKET": "b-1"},
        None,
        emulated=False,
    )
    create_stores(made)
    create_stores(made)
    dynamodb = boto3.client("dynamodb")
    answers, state = (dynamodb.describe_table(TableName=name)["Table"] for name in ("answers", "state"))
    assert answers["StreamSpecification"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    assert [key["AttributeName"] for key in state["KeySchema"]] == ["pk", "sk"]
    ttl = [dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"] for name in ("answers", "state")]
    assert [found["AttributeName"] for found in ttl] == ["expires", "ttl"]
    assert boto3.client("s3").head_bucket(Bucket="b-1")


def test_stores_that_do_not_answer_are_an_error_in_words(tmp_path):
    (port,) = free_ports(1)
    with running(tmp_path, AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}") as child:
        out, err = child.communicate(timeout=PATIENCE)
    assert (child.returncode, out) == (1, "")
    assert f"The stores at http://127.0.0.1:{port} cannot be used" in err
    assert not Path(tmp_path, "run.json").exists()
