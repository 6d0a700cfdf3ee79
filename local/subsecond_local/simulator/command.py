"""`subsecond simulator`, and the options that `python -m subsecond_local.simulator.server` shares with it."""

from __future__ import annotations

import argparse

from subsecond_local.errors import LocalError
from subsecond_local.run.ports import count, port_number


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    add_options(commands.add_parser("simulator", help="serve only the model simulator"))


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=port_number, default=0, help="0 (default): a free one")
    parser.add_argument("--key", default="", help="the API key that it requires (default: none)")
    parser.add_argument("--slots", type=count, default=0, help="answers made at a time; 0 (default): no limit")
    parser.add_argument("--seed", type=int, default=0, help="of what is random in it (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    """Serves until Ctrl-C. LocalError where it cannot listen."""
    from subsecond_local.simulator import server  # uvicorn

    try:
        server.serve(options.port, options.key, options.slots, options.seed)
    except OSError as error:
        raise LocalError(f"The simulator cannot listen on port {options.port}: {error.strerror}.") from error
    return 0
