"""The commands of `subsecond`. The only place in this package that reads the environment."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from subsecond import __version__
from subsecond_local.cli import cache_command, keys_command, optimise_command, prewarm_command, route_command
from subsecond_local.demo import command as demo_command
from subsecond_local.errors import LocalError
from subsecond_local.evaluate import command as eval_command
from subsecond_local.extras import EXTRAS, missing
from subsecond_local.replay import command as replay_command
from subsecond_local.run import run_config
from subsecond_local.run.stack import reach
from subsecond_local.simulator import command as simulator_command
from subsecond_local.verify import command as verify_command


def run(argv: list[str] | None = None) -> int:
    """The exit code, as `main` says it."""
    options = command_line().parse_args(argv)
    try:
        return _run(options)
    except LocalError as error:
        print(f"subsecond: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        print(f"subsecond: {missing('This', package)}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    data: Path | None = options.data
    reach(getattr(options, "region", None), getattr(options, "profile", None))
    if options.command == "keys":
        return keys_command.run(options, run_config.folder(os.environ, data), os.environ)
    if options.command == "prewarm":
        return prewarm_command.run(options, run_config.folder(os.environ, data))
    if options.command == "cache":
        return cache_command.run(options, run_config.folder(os.environ, data), os.environ)
    others = {
        "demo": demo_command,
        "eval": eval_command,
        "replay": replay_command,
        "optimize": optimise_command,
        "route": route_command,
        "verify": verify_command,
    }
    if options.command in others:
        return int(others[options.command].run(options, os.environ))
    if options.command == "simulator":
        return simulator_command.run(options)
    from subsecond_local.run import runner  # loaded only for this command

    return runner.run(os.environ, data, dies_with_parent=options.die_with_parent)


def command_line() -> argparse.ArgumentParser:
    """What `main` takes; the tests hold the commands that the pages show against it."""
    parser = argparse.ArgumentParser(
        prog="subsecond", description="A low-latency gateway for OpenAI-compatible models."
    )
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help="where runs keep their state (SUBSECOND_DATA; default: .subsecond)"
    )
    parser.add_argument("--version", action="version", version=f"subsecond {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_run(commands)
    for command in (
        simulator_command,
        demo_command,
        keys_command,
        optimise_command,
        cache_command,
        prewarm_command,
        eval_command,
        replay_command,
        route_command,
        verify_command,
    ):
        command.add_to(commands)
    return parser


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    serve = commands.add_parser(
        "run",
        help="serve on this machine: gateway, stores and a model",
        description="Serve on 127.0.0.1 until Ctrl-C. The environment sets PORT (8000), UPSTREAM (simulator, model, "
        "openai, bedrock), STORES (aws, memory), MODE (lambda; app with STORES=memory), OPENAI_BASE_URL, "
        "OPENAI_API_KEY, OPENAI_MODEL, SUBSECOND_API_KEY, SUBSECOND_DATA (the folder: .subsecond), "
        "SUBSECOND_CATALOGUE (the models: file:PATH or JSON), SUBSECOND_LOCAL_DELAYS (the stores' time: "
        "dynamodb=4,s3=20,secrets=30, in ms) and every other SUBSECOND_ setting.",
    )
    # For make, which may be killed without telling its children.
    serve.add_argument("--die-with-parent", action="store_true", help=argparse.SUPPRESS)
