"""The command line: what it understands, and what it says when it cannot."""

import argparse
import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack

import boto3
import pytest

from subsecond_local.cli import key_admin, keys_command, prewarm_command
from subsecond_local.cli import main as cli
from subsecond_local.errors import LocalError
from subsecond_local.run import model_server, run_config, stack, stores, upstreams
from subsecond_local.run.plan import RunPlan, child_environ, read_or_make_key
from subsecond_local.run.runner import checked


def said(capsys, *argv):
    """The exit code and what was printed to stdout and stderr."""
    code = cli.main(list(argv))
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def chosen(environ, data):
    lines = []
    found = upstreams.choose(run_config.read(environ, data), 4000, {}, lines.append)
    return found, lines


def test_a_command_that_is_not_known_is_exit_code_two(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["serve"])
    assert stopped.value.code == 2
    assert "run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variable", "value", "word"),
    [
        ("PORT", "http", "PORT=http"),
        ("PORT", "70000", "65535"),
        ("UPSTREAM", "gpt", "simulator, model, openai"),
        ("MODE", "docker", "app, lambda"),
        ("STORES", "disk", "aws, memory"),
        ("SUBSECOND_API_KEY", "two words", "1 to 512"),
        ("SUBSECOND_API_KEY", "two words, and a comma", "without spaces"),
        ("UPSTREAM", "openai", "OPENAI_BASE_URL"),
        ("OPENAI_BASE_URL", "localhost:8080/v1", "http://"),
        ("SUBSECOND_TTL", "a day", "SUBSECOND_TTL"),
        ("SUBSECOND_TTL_RULES", "tag", "SUBSECOND_TTL_RULES"),
        (
            "SUBSECOND_SEMANTIC",
            "maybe",
            "SUBSECOND_SEMANTIC=maybe is no choice. Choices: off, guarded, shadow, threshold",
        ),
        ("SUBSECOND_EMBEDDER", "nope", "SUBSECOND_EMBEDDER=nope is no choice. Choices: bedrock"),
        ("SUBSECOND_CATALOGUE", "file:missing.json", "SUBSECOND_CATALOGUE"),
        ("SUBSECOND_OPTIMISE", "max", "SUBSECOND_OPTIMISE=max is no choice. Choices: off, lossless"),
        ("SUBSECOND_CAUTION", "loose", "SUBSECOND_CAUTION=loose is no choice. Choices: strict, balanced, bold"),
        ("SUBSECOND_CATALOGUE", "{}", "SUBSECOND_CATALOGUE"),
    ],
)
def test_a_wrong_setting_is_named_before_anything_starts(variable, value, word, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PORT", "0")
    monkeypatch.setenv(variable, value)
    code, out, err = said(capsys, "--data", str(tmp_path), "run")
    assert code == 1
    assert not out
    assert word in err
    assert "Starting" not in err


def test_a_file_of_the_current_folder_is_found_by_functions_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    catalogue = {"models": [{"name": "one", "tier": "fast"}]}
    (tmp_path / "relative.json").write_text(json.dumps(catalogue))
    environ = {"SUBSECOND_CATALOGUE": "file:relative.json", "UPSTREAM": "simulator", "PORT": "0"}
    with ExitStack() as cleaning:
        [gateway] = RunPlan(run_config.read(environ, tmp_path), environ, cleaning, print).gateway("")
    assert gateway.environ["SUBSECOND_CATALOGUE"] == f"file:{tmp_path}/relative.json"


def test_a_reader_that_has_seen_enough_gets_no_traceback(tmp_path):
    """`subsecond ... | head -1`."""
    (tmp_path / "text").write_text("You help.")
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "subsecond_local.cli.main", "optimize", str(tmp_path / "text")]
    try:
        ran = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writing)
    assert (ran.returncode, ran.stderr) == (141, "")


def test_a_mode_that_is_not_there_yet_says_so(tmp_path):
    known = run_config.read({"PORT": "0"}, tmp_path)
    assert checked(known).port > 0
    with pytest.raises(LocalError, match=r"MODE=other .* MODE=app"):
        checked(run_config.RunConfig(**{**{f: getattr(known, f) for f in known.__slots__}, "mode": "other"}))


def test_a_variable_that_is_set_to_nothing_is_not_set(tmp_path):
    empty = dict.fromkeys(("PORT", "UPSTREAM", "MODE", "STORES", "SUBSECOND_DATA", "OPENAI_BASE_URL"), "")
    found = run_config.read(empty, tmp_path)
    assert (found.port, found.upstream, found.mode, found.stores) == (8000, None, "lambda", "aws")
    assert run_config.read({**empty, "STORES": "memory"}, tmp_path).mode == "app"


def test_stores_that_the_environment_names_get_no_stand_in(tmp_path):
    assert not run_config.read({"STORES": "aws"}, tmp_path).named
    assert run_config.read({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, tmp_path).named
    # It is set for `subsecond keys` as well, so it is no wish of its own.
    assert not run_config.read({"SUBSECOND_STATE_TABLE": "theirs"}, tmp_path).named
    environ = {"STORES": "aws", "SUBSECOND_STATE_TABLE": "theirs", "PORT": "0", "UPSTREAM": "simulator"}
    assert run_config.read(environ, tmp_path).named
    with ExitStack() as cleaning:
        children = RunPlan(run_config.read(environ, tmp_path), environ, cleaning, print).dependencies()
    assert [child.name for child in children] == ["simulator"]


def test_a_configured_provider_comes_before_the_local_model(tmp_path):
    found, _ = chosen({"OPENAI_API_KEY": "sk-1"}, tmp_path)
    assert (found.name, found.url, found.key, found.child) == ("openai", "https://api.openai.com/v1", "sk-1", None)
    found, _ = chosen({"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_MODEL": "m"}, tmp_path)
    assert (found.url, found.key, found.default_model) == ("http://127.0.0.1:9/v1", "", "m")
    found, _ = chosen({"OPENAI_API_KEY": "sk-1", "UPSTREAM": "simulator"}, tmp_path)
    assert (found.name, found.default_model) == ("simulator", "sim-t50-i5-n32")


def test_without_a_provider_the_model_answers_where_it_can_run(tmp_path):
    found, lines = chosen({}, tmp_path)
    if model_server.missing():
        assert found.name == "simulator"
        assert model_server.missing() in lines[0]
    else:
        assert (found.name, found.default_model, lines) == ("model", "smollm2-135m-instruct", [])
    assert found.child
    assert found.child.health == "http://127.0.0.1:4000/health"


def test_a_child_gets_nobodys_credentials_and_no_proxy_to_its_neighbours():
    found = child_environ(
        {
            "AWS_SECRET_ACCESS_KEY": "s",
            "OPENAI_API_KEY": "s",
            "SUBSECOND_API_KEY": "s",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PATH": "/bin",
            "NO_PROXY": "example.org",
        }
    )
    assert "s" not in found.values()
    assert "PYTHONDONTWRITEBYTECODE" not in found
    assert (found["PATH"], found["NO_PROXY"]) == ("/bin", "example.org,127.0.0.1,localhost")


def test_the_key_of_the_first_run_is_kept_for_its_owner_alone(tmp_path):
    first = read_or_make_key(tmp_path)
    assert first.startswith("sk-ss-")
    assert read_or_make_key(tmp_path) == first
    assert (tmp_path / "api_key").stat().st_mode & 0o777 == 0o600


def test_keys_without_a_running_gateway_say_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SUBSECOND_DATA", str(tmp_path))
    code, out, err = said(capsys, "keys", "list")
    assert (code, out) == (1, "")
    assert "make run" in err
    (tmp_path / "run.json").write_text("{}")
    code, _, err = said(capsys, "keys", "list")
    assert code == 1
    assert "cannot be read" in err


def test_keys_of_a_gateway_that_is_gone_say_what_to_do(tmp_path, capsys):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # nobody listens
        gone = stores.stores_from_env({}, f"http://127.0.0.1:{held.getsockname()[1]}", emulated=True)
        stores.note_run(tmp_path, gone, "http://127.0.0.1:1/v1")
        code, _, err = said(capsys, "--data", str(tmp_path), "keys", "list")
    assert code == 1
    assert "still running" in err


def test_keys_find_the_tables_of_the_run_unless_the_environment_names_others(tmp_path):
    noted = stores.stores_from_env({}, "http://127.0.0.1:1", emulated=True)
    stores.note_run(tmp_path, noted, "http://127.0.0.1:2/v1")
    assert (tmp_path / "run.json").stat().st_mode & 0o777 == 0o600
    assert stores.stores_of_run(tmp_path, {"AWS_ACCESS_KEY_ID": "somebody"}) == noted
    told = stores.stores_of_run(tmp_path, {"SUBSECOND_STATE_TABLE": "theirs"})
    assert (told.endpoint, told.emulated, told.state_table) == (None, False, "theirs")
    assert stores.stores_of_run(tmp_path, {"AWS_ENDPOINT_URL": "http://127.0.0.1:3"}).endpoint == "http://127.0.0.1:3"
    stores.forget_run(tmp_path)
    with pytest.raises(LocalError):
        stores.stores_of_run(tmp_path, {})


@pytest.mark.parametrize("name", ["", "A", "a b", "a:b", "-a", "é", "a" * 64, "sk-ss-a"])
def test_a_name_that_could_break_a_stored_name_is_refused(name):
    with pytest.raises(LocalError, match="lower-case"):
        key_admin.check_name("tenant", name)


def test_a_short_key_that_somebody_chose_is_not_shown_whole():
    assert key_admin.describe("12345678", "n", "t", "s").prefix == "12"
    assert len(key_admin.describe(key_admin.new_token(), "n", "t", "s").prefix) == 10


def test_the_simulator_on_a_taken_port_says_so(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, out, err = said(capsys, "simulator", "--port", str(taken.getsockname()[1]))
    assert (code, out) == (1, "")
    assert "cannot listen" in err


@pytest.mark.parametrize(
    ("option", "value"), [("--port", "99999"), ("--port", "-1"), ("--slots", "-5"), ("--slots", "x")]
)
def test_the_simulator_takes_no_number_that_cannot_be(option, value, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["simulator", option, value])
    assert stopped.value.code == 2
    assert option in capsys.readouterr().err
    own = (sys.executable, "-m", "subsecond_local.simulator.server", option, value)
    told = subprocess.run(own, capture_output=True, text=True, check=False)
    assert (told.returncode, "Traceback" in told.stderr) == (2, False)


@pytest.mark.parametrize("option", ["--window", "--budget"])
def test_the_optimiser_takes_no_number_below_zero(option, capsys):
    with pytest.raises(SystemExit):
        cli.main(["optimize", "-", option, "-5"])
    assert "whole number from 0 on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ('{"messages": 5}', "list of objects"),
        ('{"messages": ["a"]}', "list of objects"),
    ],
)
def test_what_is_no_request_is_not_optimised(text, word, tmp_path, capsys):
    (tmp_path / "request").write_text(text)
    code, out, err = said(capsys, "optimize", str(tmp_path / "request"))
    assert (code, out) == (1, "")
    assert word in err


@pytest.mark.parametrize("number", ["0", "-1", "51"])
def test_prewarming_takes_no_number_that_the_function_would_not(number, tmp_path, capsys):
    code, out, err = said(capsys, "--data", str(tmp_path), "prewarm", "--environments", number)
    assert (code, out) == (1, "")
    assert "from 1 to 50" in err


def test_the_help_of_run_names_what_the_environment_sets(capsys):
    with pytest.raises(SystemExit):
        cli.main(["run", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "MODE (lambda; app with STORES=memory)" in told
    assert {"SUBSECOND_DATA", "SUBSECOND_CATALOGUE"} <= set(told.replace(",", "").split())


class OneKey:
    """A table that makes one key."""

    def create(self, name, tenant, namespace, *, scope, volatile):
        token = "sk-ss-" + "a" * 43
        return token, key_admin.describe(token, name, tenant, namespace)


def test_a_new_key_is_all_that_a_script_captures(capsys):
    options = argparse.Namespace(
        action="create", name="x", tenant="t", namespace="n", scope="", volatile="", json=False
    )
    assert keys_command.answer(options, OneKey()) == "sk-ss-" + "a" * 43
    assert "Keep it" in capsys.readouterr().err


@pytest.fixture
def default_session(monkeypatch, tmp_path):
    """boto3's default session is made anew, of a configuration with two profiles."""
    config = "[profile work]\nregion = eu-west-1\n[profile home]\nregion = us-west-2\n"
    (tmp_path / "config").write_text(config)
    (tmp_path / "credentials").write_text("[work]\naws_access_key_id = WORK\naws_secret_access_key = s\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    yield
    boto3.DEFAULT_SESSION = None


@pytest.mark.parametrize(
    ("asked", "region", "key"),
    [
        ({"profile": "work"}, "eu-west-1", "WORK"),
        ({"profile": "work", "region": "ap-south-1"}, "ap-south-1", "WORK"),
        ({"region": "ap-south-1"}, "ap-south-1", "testing"),
        ({}, "us-east-1", "testing"),
    ],
)
def test_a_region_and_a_profile_go_before_the_environment(default_session, monkeypatch, asked, region, key):
    if "profile" in asked:
        monkeypatch.delenv("AWS_DEFAULT_REGION")
    stack.reach(**{"region": None, "profile": None} | asked)
    client = stores.Stores(None, emulated=False, answers_table="a", state_table="s", bucket="b").dynamodb()
    assert client.meta.region_name == region
    assert client._get_credentials().access_key == key


@pytest.mark.parametrize("command", [["keys", "list"], ["cache", "verify"], ["prewarm"]])
def test_every_command_for_a_stack_takes_them(default_session, capsys, command):
    told = ["--stack-name", "subsecond", "--region", "eu-west-1", "--profile", "nobody"]
    code, _, words = said(capsys, *command, *told)
    assert code == 1
    assert "nobody" in words
    assert "aws configure list-profiles" in words


INTERRUPTED = """
import sys
class Interrupts:
    def find_spec(self, name, path, target=None):
        if name == "subsecond_local.demo.command":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupts())
from subsecond_local.cli.main import main
sys.exit(main(["--version"]))
"""


def test_ctrl_c_while_the_commands_are_being_loaded_shows_no_traceback():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("command", [["keys", "list"], ["cache", "stats"], ["prewarm"], ["verify"]])
def test_a_command_for_a_stack_without_a_region_is_told_so(default_session, monkeypatch, capsys, command):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    code, _, words = said(capsys, *command, "--stack-name", "subsecond")
    assert code == 1
    assert "You must specify a region" in words
    assert "--region" in words


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize("content", [None, b"\xff", b"{", DEEP], ids=["none", "latin-1", "broken", "deep"])
@pytest.mark.parametrize("command", [("cache", "warm"), ("cache", "explain", "--body")], ids=" ".join)
def test_a_file_that_is_no_json_is_named_and_no_traceback(capsys, tmp_path, monkeypatch, command, content):
    monkeypatch.setenv("SUBSECOND_API_KEY", "sk-some")
    path = tmp_path / "given"
    if content is not None:
        path.write_bytes(content)
    code, _, err = said(capsys, *command, str(path), "--url", "http://127.0.0.1:1")
    assert (code, err.startswith(f"subsecond: {path} ")) == (1, True)


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_a_prompt_that_cannot_be_read_is_named(capsys, tmp_path, content):
    path = tmp_path / "given"
    if content is not None:
        path.write_bytes(content)
    code, _, err = said(capsys, "optimize", str(path))
    assert (code, err.startswith(f"subsecond: {path} cannot be read: ")) == (1, True)


def test_lines_of_requests_end_where_json_lines_do(tmp_path):
    """A text in them may hold marks at which a text has other lines (U+2028, RFC 8259, section 7)."""
    path = tmp_path / "requests.jsonl"
    path.write_text('{"prompt": "one\u2028two\u0085three"}\n{"prompt": "four"}\n', encoding="utf-8")
    assert [one["prompt"] for one in prewarm_command.bodies(path)] == ["one\u2028two\x85three", "four"]
