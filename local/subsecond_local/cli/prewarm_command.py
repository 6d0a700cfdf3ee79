"""`subsecond prewarm`: environments of the answering functions, warmed by hand; and `subsecond cache warm FILE`."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from subsecond.stats.increments import count_in
from subsecond.warmup.warm_environments import MOST
from subsecond_local.cli import gateway_client
from subsecond_local.errors import LocalError
from subsecond_local.evaluate import progress
from subsecond_local.run.gateways import STREAMING_ENVIRONMENTS
from subsecond_local.run.stack import add_options, outputs
from subsecond_local.run.stores import ACCESS_KEY, REGION, url_of_run

OUTPUT = "PrewarmFunction"
# Seconds: as long as the function itself may take.
PATIENCE = 900
# Failures in a row after which it stops.
FAILURES = 3


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    about = "start environments of the answering functions at the same time; spends no tokens"
    parser = commands.add_parser("prewarm", help=about, description=about)
    parser.add_argument("--environments", type=int, metavar="N", help="of each function (default: the deployed number)")
    parser.add_argument("--prompts", action="store_true", help="ask the lists in the bucket into the cache instead")
    add_options(parser, "of this deployed stack, not of a `make run` here")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace, data: Path) -> int:
    """1 when something did not answer. LocalError when the function cannot be reached, or fails."""
    wanted = options.environments
    if wanted is not None and not 1 <= wanted <= MOST:
        raise LocalError(f"--environments {wanted} is out of range: give a number from 1 to {MOST}.")
    name, access = _function(options.stack_name, data)
    if wanted and not options.stack_name:
        wanted = _here(wanted)
    order: Any = {"prompts": options.prompts, "environments": wanted} if options.prompts or wanted else True
    report = _invoke(name, access, {"prewarm": order})
    if "error" in report:
        raise LocalError(f"The function {name} refuses: {report['error']}.")
    print(json.dumps(report, indent=2) if options.json else told(report))
    failed = [one for one in report.get("functions", ()) if one["failed"] or one["errors"]]
    failed += [one for one in report.get("prompts", ()) if one["failed"]]
    return 1 if failed or report.get("failed") else 0


def _here(wanted: int) -> int:
    """At most as many as a local run starts: more would wait for each other until the time is up."""
    if wanted > STREAMING_ENVIRONMENTS:
        print(f"A run here has {STREAMING_ENVIRONMENTS} environments at the most.", file=sys.stderr)
    return min(wanted, STREAMING_ENVIRONMENTS)


def _function(stack: str | None, data: Path) -> tuple[str, dict[str, Any]]:
    """Its name, and how boto3 reaches it."""
    if stack:
        name = outputs(stack).get(OUTPUT)
        if not name:
            raise LocalError(f"The stack {stack} has no output {OUTPUT}: deploy this version first.")
        return name, {}
    made_up = {
        "aws_access_key_id": ACCESS_KEY,
        "aws_secret_access_key": "local",
    }  # the Lambda host knows only the first
    return "prewarm", {"endpoint_url": url_of_run(data), "region_name": REGION, **made_up}


def _invoke(name: str, access: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:
    import boto3  # 0.3 s that `--help` need not wait for
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    # No proxy between two processes of one machine.
    config = Config(read_timeout=PATIENCE, retries={"total_max_attempts": 1}, proxies={} if access else None)
    try:
        client: Any = boto3.client("lambda", config=config, **access)
        reply = client.invoke(FunctionName=name, Payload=json.dumps(event).encode())
        found: dict[str, Any] = json.loads(reply["Payload"].read())
    except (BotoCoreError, ClientError, ValueError) as error:
        raise LocalError(
            f"The function {name} cannot be invoked: {error}\nOf a run here it needs MODE=lambda, the default."
        ) from error
    if "FunctionError" in reply:
        raise LocalError(f"The function {name} failed: {found.get('errorType')}: {found.get('errorMessage')}")
    return found


def told(report: Mapping[str, Any]) -> str:
    """The report as text."""
    lines = [
        f"{one['function']}: {one['environments']} of {one['asked']} environments warm, {one['cold']} of them were cold"
        f"{_listed('not answering', one['failed'])}{_listed('failed', one['errors'])}"
        for one in report.get("functions", ())
    ]
    lines += [
        f"{one['partition']}: asked {one['asked']} ({one['tokens']:,} tokens), {one['known']} were known, "
        f"{one['failed']} failed, {one['left']} left"
        for one in report.get("prompts", ())
    ]
    if report.get("failed"):
        lines.append(f"Not answering: {', '.join(report['failed'])}")
    if "ms" in report:
        lines.append(f"{report['ms'] / 1000:.1f} s")
    return "\n".join(lines) or "There was nothing to warm."


def _listed(what: str, counts: Mapping[str, int]) -> str:
    return f"; {what}: {', '.join(f'{name} {n}' for name, n in counts.items())}" if counts else ""


def add_warm(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="a request's body on each line")
    parser.add_argument("--calls", type=int, default=100, metavar="N", help="of the model at the most (%(default)s)")
    parser.add_argument("--tokens", type=int, default=100_000, metavar="N", help="spent at the most (%(default)s)")
    parser.add_argument("--url", help="of this gateway; SUBSECOND_API_KEY is its key")


def warm(options: argparse.Namespace, data: Path, environ: Mapping[str, str]) -> int:
    """Ask each line of the file, one after the other, as any client would. 1 when one failed."""
    gateway = gateway_client.find(environ, data, options.url, options.stack_name, "StreamingFunctionUrl")
    asked = bodies(options.file)
    bars = progress.silent if options.json else progress.on_terminal
    with bars("warming", len(asked)) as bar:
        report = _asked(gateway, asked, options.calls, options.tokens, bar)
    print(json.dumps(report, indent=2) if options.json else told({"prompts": [report]}))
    return 1 if report["failed"] else 0


def _asked(
    gateway: gateway_client.GatewayClient,
    bodies: Iterable[Mapping[str, Any]],
    calls: int,
    tokens: int,
    bar: progress.Bar,
) -> dict[str, Any]:
    counts, spent, in_a_row = Counter(asked=0, known=0, failed=0, left=0), 0, 0
    for body in bodies:
        if counts["asked"] >= calls or spent >= tokens or in_a_row >= FAILURES:
            counts["left"] += 1
            continue
        path = "/v1/chat/completions" if "messages" in body else "/v1/completions"
        try:
            found = gateway.ask("POST", path, {**body, "stream": False}, trace=True)
        except LocalError:
            counts["failed"] += 1
            in_a_row += 1
        else:
            new = found["subsecond"]["source"] == "upstream"
            counts["asked" if new else "known"] += 1
            usage = found.get("usage")
            spent += (count_in(usage, "total_tokens") or 0) if new and isinstance(usage, dict) else 0
            in_a_row = 0
        bar.advance()
    return {"partition": gateway.url, **counts, "tokens": spent}


def bodies(path: Path) -> list[dict[str, Any]]:
    """The requests of a file, one on each line. LocalError."""
    try:
        # Of bytes: a text's lines end at marks that JSON's texts may hold (U+2028).
        found = [json.loads(line) for line in path.read_bytes().splitlines() if line.strip()]
    except (OSError, ValueError, RecursionError) as error:
        raise LocalError(f"{path} cannot be read, with a JSON object on each line: {error}") from error
    if not all(isinstance(body, dict) for body in found):
        raise LocalError(f"{path} has a line that is no JSON object.")
    return found
