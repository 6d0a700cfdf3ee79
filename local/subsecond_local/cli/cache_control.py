"""`subsecond cache explain | feedback | invalidate`: acts on an answer through the gateway's routes."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from subsecond_local.cli import explained, gateway_client
from subsecond_local.errors import LocalError

KINDS = ("entry", "scope", "namespace", "tag", "model", "user")
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
ACCURACY = {
    "exact": "{n}",
    "at_least": "at least {n}",
    "estimate": "about {n}",
}


def add_explain(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--entry", metavar="KEY", help="this entry, as `Cache-Status: ...; key=` names it")
    which.add_argument("--request-id", metavar="ID", help="this semantic hit of the last day (x-request-id)")
    which.add_argument("--body", type=Path, metavar="FILE", help="what would answer the request with this JSON body")
    parser.add_argument("--question", metavar="TEXT", help="with --entry: what the policy says of it for this text")
    _add_url(parser)


def add_feedback(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("verdict", choices=("wrong", "right"), help="of the answer to the question")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--request-id", metavar="ID", help="of the answer (x-request-id), for a day")
    which.add_argument("--entry", metavar="KEY", help="that answered, with --question")
    parser.add_argument("--question", metavar="TEXT", help="that it answered")
    _add_url(parser)


def add_invalidate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("by", choices=KINDS, help="what is served no more")
    parser.add_argument(
        "value", nargs="?", default="", help="its key, scope, tag, model or end user; none for the namespace"
    )
    parser.add_argument("--older-than", metavar="TIME", help="only what is older: 30m, 12h, 7d")
    parser.add_argument("--dry-run", action="store_true", help="change nothing, say how many it would be")
    _add_url(parser)


def explain(options: argparse.Namespace, data: Path, environ: Mapping[str, str]) -> int:
    """The exit code. LocalError when the gateway cannot be found, or refuses."""
    gateway = _gateway(options, data, environ)
    if options.body:
        found = gateway.ask("POST", "/v1/cache/explain", _read(options.body))
    else:
        asked = {"entry": options.entry, "request_id": options.request_id, "question": options.question}
        query = urlencode({name: value for name, value in asked.items() if value})
        found = gateway.ask("GET", f"/v1/cache/explain?{query}")
    print(json.dumps(found, indent=2, ensure_ascii=False) if options.json else explained.told(found))
    return 0


def feedback(options: argparse.Namespace, data: Path, environ: Mapping[str, str]) -> int:
    """The exit code. LocalError as in `explain`."""
    body = {"verdict": options.verdict}
    if options.request_id:
        body["request_id"] = options.request_id
    elif options.question:
        body |= {"entry": options.entry, "question": options.question}
    else:
        raise LocalError("--entry wants --question, the text that it answered.")
    found = _gateway(options, data, environ).ask("POST", "/v1/cache/feedback", body)
    print(json.dumps(found, indent=2) if options.json else _told(found))
    return 0


def invalidate(options: argparse.Namespace, data: Path, environ: Mapping[str, str]) -> int:
    """The exit code. LocalError as in `explain`."""
    body = {"by": options.by, "value": options.value, "dry_run": options.dry_run}
    # Without: until now, on the gateway's own clock.
    if options.older_than:
        body["before"] = time.time() - seconds(options.older_than)
    found = _gateway(options, data, environ).ask("POST", "/v1/cache/invalidate", body)
    print(json.dumps(found, indent=2) if options.json else _counted(found))
    return 0


def seconds(text: str) -> float:
    """The seconds of `30m`, `12h`, `7d`. LocalError for anything else."""
    number, unit = text[:-1], text[-1:]
    if not number.isdecimal() or unit not in UNITS:
        raise LocalError(f"{text!r} is not a duration: give a number and one of {', '.join(UNITS)}, as in 12h.")
    return float(number) * UNITS[unit]


def _told(found: Mapping[str, Any]) -> str:
    if not found["changed"]:
        return f"Nothing has changed: the entry has {found['negatives']} reports already."
    what = "answers that question no more" if found["verdict"] == "wrong" else "may answer that question again"
    reports = "1 report" if found["negatives"] == 1 else f"{found['negatives']} reports"
    return f"The entry {what}, in any environment. It has {reports}."


def _counted(found: Mapping[str, Any]) -> str:
    many = ACCURACY[found["accuracy"]].format(n=found["matches"])
    # The environment that was asked has none: others may, and no table is scanned for it.
    unknown = found["accuracy"] == "at_least" and not found["matches"]
    if found["dry_run"]:
        return f"{'None known' if unknown else f'That would be {many} answers'}. Nothing was changed."
    done = "Done, none known: such answers" if unknown else f"Done, for {many} answers: they"
    return f"{done} are served no more, anywhere within {found['everywhere_within_s']:g} s."


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise LocalError(f"{path} is no JSON file: {error}") from None


def _gateway(options: argparse.Namespace, data: Path, environ: Mapping[str, str]) -> gateway_client.GatewayClient:
    # The streaming function: it has the index and the policy that answer the requests.
    return gateway_client.find(environ, data, options.url, options.stack_name, "StreamingFunctionUrl")


def _add_url(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="of this gateway; SUBSECOND_API_KEY is its key")
