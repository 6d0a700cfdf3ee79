"""`make deploy-local`: builds, deploys and calls the template on this machine, without an account.

Validate, build, deploy to ministack with plain `sam deploy`, make a key, call the functions, wait for the stored answer
in the index, look at what was made, update, run the built streaming function under the Lambda host, stream through it,
ask it in other words, have `subsecond verify` look at all of it, deploy once more with Bedrock as the upstream and ask
a stand-in of it, delete. Without a Python
of the functions' version it fails, because imports must come from the built layer; with ALLOW_SKIP=1 it says so and
does nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from subsecond_local.deploy import deploy_tools, deploy_verify
from subsecond_local.deploy.deploy_checks import Deployed
from subsecond_local.emulator import aws_emulator
from subsecond_local.errors import LocalError
from subsecond_local.run.children import Child, StopFlag, StopRequested, Supervisor, tail
from subsecond_local.run.ports import HOST, free_ports

PROJECT = Path(__file__).parents[3]
STACK = "subsecond-local"
SECRET = "subsecond-upstream"  # noqa: S105 (its name)


@dataclass(frozen=True, slots=True)
class Bench:
    """What the run uses. `aws`: the environment variables that point AWS clients at ministack."""

    python: Path
    pythons: Path
    sam: deploy_tools.Sam
    scratch: Path
    aws: Mapping[str, str]

    @property
    def built(self) -> Path:
        return self.sam.project / ".aws-sam" / "build"


def main(argv: list[str] | None = None) -> int:
    """The exit code: 0 when everything held, or when it cannot run here and ALLOW_SKIP is set."""
    parser = argparse.ArgumentParser(prog="deploy-local", description="Deploy the template to a stand-in for AWS.")
    parser.add_argument(
        "--build-only", choices=sorted(deploy_tools.MACHINES), help="build for this architecture, check, stop"
    )
    options = parser.parse_args(argv)
    python = deploy_tools.runtime_python(os.environ)
    if python is None:
        return without_python(os.environ)
    begun = time.monotonic()
    try:
        with ExitStack() as cleaning:
            bench = prepare(python, cleaning)
            if options.build_only:
                build(bench, options.build_only, Path(".aws-sam") / options.build_only)
            else:
                prove(bench, cleaning)
    except LocalError as error:
        print(f"deploy-local: {error}", file=sys.stderr)
        return 1
    except StopRequested:
        return 130
    say(f"Done in {time.monotonic() - begun:.0f} s.")
    return 0


def without_python(environ: Mapping[str, str]) -> int:
    """Say that nothing was tested; the exit code."""
    reason = f"The functions run on Python {deploy_tools.VERSION}, and there is none here."
    if environ.get("ALLOW_SKIP"):
        print(f"deploy-local: skipped. {reason}")
        return 0
    print(f"deploy-local: {reason} Install it, or set ALLOW_SKIP=1 to go on without this proof.", file=sys.stderr)
    return 1


def prepare(python: Path, cleaning: ExitStack) -> Bench:
    """The tools, and a port for ministack."""
    folder = PROJECT / ".tools"
    sam = deploy_tools.environment_of(folder / "sam", deploy_tools.project_python(), deploy_tools.SAM)
    pythons = deploy_tools.environment_of(folder / "py313", python, deploy_tools.EMULATOR)
    scratch = Path(cleaning.enter_context(tempfile.TemporaryDirectory(prefix="deploy-local-")))
    aws = aws_emulator.access(free_ports(1)[0])
    environ = deploy_tools.sam_environ(os.environ, pythons, aws)
    return Bench(python, pythons, deploy_tools.Sam(sam / "sam", PROJECT, scratch / "sam.log", environ), scratch, aws)


def build(bench: Bench, architecture: str, folder: Path) -> None:
    timed("sam build", bench.sam, "build", "--build-dir", str(folder), *parameters(Architecture=architecture))
    layer = bench.sam.project / folder / "Shared"
    size = deploy_tools.check_layer(layer, architecture)
    say(f"  the layer for {architecture} unpacks to {size / 10**6:.1f} MB; SHA-256 {deploy_tools.digest(layer)}")


def prove(bench: Bench, cleaning: ExitStack) -> None:
    timed("sam validate --lint", bench.sam, "validate", "--lint")
    build(bench, deploy_tools.architecture(), bench.built.relative_to(bench.sam.project))
    supervisor = Supervisor(bench.scratch / "logs", StopFlag(), say)
    supervisor.stop.listen()
    cleaning.callback(supervisor.end)
    simulator, bedrock, key = start(supervisor, bench)
    deployed = Deployed(STACK, bench.aws)
    deployed.store_secret(SECRET, key)
    stack = {
        "Architecture": deploy_tools.architecture(),
        "UpstreamUrl": f"http://{HOST}:{simulator}/v1",
        "UpstreamSecret": SECRET,
        "DefaultModel": "sim-t50-i20-n16",
        "WarmMode": "Ping",
        "SemanticCache": "threshold",
        "UpkeepState": "ENABLED",
        # Several environments that start at once on a busy machine take longer than on AWS. SAM wants the quotes.
        "Settings": "'{\"warm_wait\": 60}'",
    }
    deploy(bench, **stack, MemorySize="1024")
    deployed.read()
    deployed.key = new_key(bench)
    deployed.check_answers()
    deployed.check_index()
    deployed.check_stores()
    deployed.check_schedules()
    deploy(bench, **stack, MemorySize="1536")
    deployed.check_update(memory=1536)
    log = bench.scratch / "streaming.log"
    with log_of_failure(log):
        deployed.check_streaming(bench.python, bench.built, log)
    with log_of_failure(log):
        deploy_verify.check(deployed, bench.sam.environ, bench.python, bench.built, log)
    deploy(bench, **{**stack, "Upstream": "bedrock"}, MemorySize="1536")
    with log_of_failure(log):
        deployed.check_bedrock(bench.python, bench.built, log, f"http://{HOST}:{bedrock}")
    # Only after success: after a failure ministack ends with this process anyway.
    timed("sam delete", bench.sam, "delete", "--stack-name", STACK, "--no-prompts")
    deployed.check_deleted()


@contextmanager
def log_of_failure(log: Path) -> Generator[None]:
    """What the function has said goes with the LocalError of a check."""
    try:
        yield
    except LocalError as error:
        raise LocalError(f"{error}\nThe end of the function's log:\n{tail(log)}") from error


def start(supervisor: Supervisor, bench: Bench) -> tuple[int, int, str]:
    """Start ministack under the functions' Python, the simulator and the stand-in for Bedrock; the latter two's ports,
    and the simulator's key."""
    port = int(bench.aws["AWS_ENDPOINT_URL"].rpartition(":")[2])
    data = bench.scratch / "ministack"
    data.mkdir()
    lock = aws_emulator.lock_state(data)
    ministack = aws_emulator.ministack(port, data, bench.sam.environ, lock)
    ministack = replace(ministack, command=(str(bench.pythons / "python"), "-c", aws_emulator.UNINSTALLED))
    (simulator, bedrock), key = free_ports(2), "sim-key"
    upstream = Child(
        name="simulator",
        purpose="the simulator",
        command=(sys.executable, "-m", "subsecond_local.simulator.server", f"--port={simulator}", f"--key={key}"),
        environ=dict(os.environ),
        health=f"http://{HOST}:{simulator}/health",
    )
    models = replace(
        upstream,
        name="bedrock",
        purpose="the stand-in for Bedrock",
        command=(sys.executable, "-m", "subsecond_local.bedrock.server", f"--port={bedrock}", *_keys(bench.aws)),
        health=f"http://{HOST}:{bedrock}/health",
    )
    children = (ministack, upstream, models)
    for child in children:
        supervisor.start(child)
    for child in children:
        supervisor.await_ready(child)
    return simulator, bedrock, key


def _keys(aws: Mapping[str, str]) -> tuple[str, str]:
    """With which the functions sign."""
    return f"--key-id={aws['AWS_ACCESS_KEY_ID']}", f"--secret={aws['AWS_SECRET_ACCESS_KEY']}"


def deploy(bench: Bench, **values: str) -> None:
    timed("sam deploy", bench.sam, "deploy", "--stack-name", STACK, *parameters(**values))


def parameters(**values: str) -> tuple[str, ...]:
    return ("--parameter-overrides", *(f"{name}={value}" for name, value in values.items()))


def new_key(bench: Bench) -> str:
    """A key made as the README shows: with the command line, by the stack's name."""
    command = [
        sys.executable,
        "-m",
        "subsecond_local.cli.main",
        "keys",
        "create",
        "proof",
        "--stack-name",
        STACK,
        "--json",
    ]
    made = subprocess.run(command, env={**bench.sam.environ}, capture_output=True, text=True, check=False)
    if made.returncode:
        raise LocalError(f"subsecond keys create failed: {made.stderr}")
    say("  a key, made with `subsecond keys create --stack-name`")
    key: str = json.loads(made.stdout)["key"]
    return key


def timed(what: str, sam: deploy_tools.Sam, *arguments: str) -> None:
    begun = time.monotonic()
    sam(*arguments)
    say(f"{what}: {time.monotonic() - begun:.0f} s")


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
