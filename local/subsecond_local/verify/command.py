"""`subsecond verify --stack-name NAME`: checks a deployed stack from outside, and says what it found."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from subsecond_local.errors import LocalError
from subsecond_local.run.stack import add_options

if TYPE_CHECKING:
    from subsecond_local.verify.account import AwsAccount
    from subsecond_local.verify.ports import Face, Gateway, Stack

OUTPUTS: Mapping[Face, str] = {
    "streaming": "StreamingFunctionUrl",
    "completion": "CompletionFunctionUrl",
    "statistics": "CacheStatsFunctionUrl",
}
LOCAL = ("127.0.0.1", "localhost", "::1")


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    about = "check a deployed stack: permissions, streams, hits, starts, alarms; asks the model a few short questions"
    parser = commands.add_parser("verify", help=about, description=about)
    add_options(parser, "the stack")
    parser.add_argument("--model", default="", help="which to ask (default: the stack's DefaultModel, or one it lists)")
    parser.add_argument(
        "--url",
        action="append",
        default=[],
        metavar="FUNCTION=URL",
        help="ask streaming, completion or statistics under this address, such as a custom domain",
    )
    parser.add_argument("--wait", type=float, default=60.0, metavar="S", help="for the index, at most (%(default)s)")
    parser.add_argument(
        "--force-cold-start", action="store_true", help="replace the streaming function's environments to see one start"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """The exit code: 0 when nothing failed. LocalError when there is no such stack, or the options are wrong."""
    from subsecond_local.verify import order, report  # httpx2
    from subsecond_local.verify.run import Run

    if not options.stack_name:
        raise LocalError("Name the stack: `subsecond verify --stack-name NAME`.")
    addresses = addressed(options.url)
    account, stack = _account(options.stack_name, environ)
    with ExitStack() as closing:
        faces = _faces({**_outputs(stack), **addresses}, closing)
        one = Run(stack, account, faces, options.model, force=options.force_cold_start, patience=options.wait)
        found = order.verify(one, progress(len(order.NAMES)))
    print(json.dumps(report.public(one, found, account.calls), indent=2) if options.json else report.table(one, found))
    return 1 if report.counted(found)["failed"] else 0


def addressed(given: list[str]) -> dict[Face, str]:
    """`streaming=https://...`, by function. LocalError."""
    found: dict[Face, str] = {}
    for text in given:
        name, _, url = text.partition("=")
        face: Face | None = next((one for one in OUTPUTS if one == name), None)
        if face is None or not url.startswith(("http://", "https://")):
            raise LocalError(f"--url {text} must be {', '.join(OUTPUTS)}, then = and an http(s) address.")
        found[face] = url
    return found


def progress(number: int) -> Callable[[str], None]:
    """Says on standard error which check begins."""
    begun = 0

    def told(name: str) -> None:
        nonlocal begun
        begun += 1
        print(f"[{begun:>2}/{number}] {name} ...", file=sys.stderr, flush=True)

    return told


def _account(name: str, environ: Mapping[str, str]) -> tuple[AwsAccount, Stack]:
    from subsecond_local.verify.account import AwsAccount  # botocore
    from subsecond_local.verify.ports import Denied, Refused

    emulated = (urlsplit(environ.get("AWS_ENDPOINT_URL", "")).hostname or "") in LOCAL
    account = AwsAccount(name, emulated=emulated)
    try:
        return account, account.stack()
    except Denied as error:
        raise LocalError(f"Your credentials may not {error}: docs/verify.md has the policy.") from None
    except Refused as error:
        raise LocalError(f"The stack {name} cannot be read: {error}\nCheck its name, --region and --profile.") from None


def _outputs(stack: Stack) -> dict[Face, str]:
    return {face: stack.outputs.get(output, "") for face, output in OUTPUTS.items()}


def _faces(addresses: Mapping[Face, str], closing: ExitStack) -> dict[Face, Gateway]:
    from subsecond_local.verify.https import Https

    found: dict[Face, Gateway] = {}
    for face, url in addresses.items():
        one = Https(url)
        closing.callback(one.close)
        found[face] = one
    return found
