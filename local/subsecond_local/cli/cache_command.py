"""`subsecond cache ...`: look after a gateway's cache. Each action is one entry of ACTIONS.

Imports nothing heavy: an action loads what it needs when it runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subsecond_local.cli import cache_control, cache_tables, gateway_client
from subsecond_local.cli.prewarm_command import add_warm, warm
from subsecond_local.run.stack import add_options, chosen_stores
from subsecond_local.run.stores import readable_errors

NOTHING = (
    "There is no index yet: nothing was stored with SUBSECOND_SEMANTIC on, or nothing fits --tenant and --namespace."
)


@dataclass(frozen=True, slots=True)
class Action:
    """add: its arguments, beside --stack-name and --json, which all have. run: options, the folder of the runs' state,
    the environment -> the exit code; LocalError."""

    help: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Path, Mapping[str, str]], int]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    actions = commands.add_parser("cache", help="look after the cache and its index").add_subparsers(
        dest="action", required=True
    )
    for name, action in ACTIONS.items():
        parser = actions.add_parser(name, help=action.help, description=action.help)
        action.add(parser)
        add_options(parser, "of this deployed stack, not of a `make run` here")
        parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace, data: Path, environ: Mapping[str, str]) -> int:
    """The exit code. LocalError when the gateway or its stores cannot be found or used."""
    return ACTIONS[options.action].run(options, data, environ)


def add_url(parser: argparse.ArgumentParser) -> None:
    """The `--url` option of actions that call a gateway instead of its stores."""
    parser.add_argument("--url", help="of this gateway; SUBSECOND_API_KEY is its key")


def _stats(options: argparse.Namespace, data: Path, environ: Mapping[str, str]) -> int:
    gateway = gateway_client.find(environ, data, options.url, options.stack_name, "CacheStatsFunctionUrl")
    figures = gateway.ask("GET", "/v1/cache/stats")
    print(json.dumps(figures, indent=2) if options.json else cache_tables.stats(figures))
    return 0


def _add_whose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant", help="of this tenant alone")
    parser.add_argument("--namespace", metavar="NS", help="of this namespace alone")


def _add_rebuild(parser: argparse.ArgumentParser) -> None:
    _add_whose(parser)
    parser.add_argument("--embedder", help="give every entry the vector of this embedder first")


def _rebuild(options: argparse.Namespace, data: Path, environ: Mapping[str, str]) -> int:
    return _told(options, asyncio.run(_administered(options, data, environ)), cache_tables.rebuilt)


def _compact(options: argparse.Namespace, data: Path, environ: Mapping[str, str]) -> int:
    return _told(options, asyncio.run(_administered(options, data, environ)), cache_tables.compacted)


def _verify(options: argparse.Namespace, data: Path, environ: Mapping[str, str]) -> int:
    """1 when something is wrong."""
    places = asyncio.run(_administered(options, data, environ))
    _told(options, places, cache_tables.verified)
    return 0 if all(place["is_right"] for place in places) else 1


async def _administered(options: argparse.Namespace, data: Path, environ: Mapping[str, str]) -> list[dict[str, Any]]:
    from subsecond_local.cli.index_admin import PartitionFilter, administered  # numpy
    from subsecond_local.evaluate import progress

    stores = chosen_stores(options.stack_name, data, environ)
    partitions = PartitionFilter(options.tenant, options.namespace)
    bars = progress.silent if options.json else progress.on_terminal
    with readable_errors(stores):
        async with administered(stores, bars) as admin:
            if options.action == "rebuild":
                return await admin.rebuild(partitions, _embedder(options, environ))
            return await (admin.compact(partitions) if options.action == "compact" else admin.verify(partitions))


def _embedder(options: argparse.Namespace, environ: Mapping[str, str]) -> Any:
    from subsecond_local.evaluate import setting  # numpy

    return setting.embedder_of(environ, options.embedder) if options.embedder else None


def _told(
    options: argparse.Namespace, places: list[dict[str, Any]], worded: Callable[[Iterable[dict[str, Any]]], str]
) -> int:
    if options.json:
        print(json.dumps({"action": options.action, "places": places}, indent=2))
    else:
        print(worded(places) if places else NOTHING)
    return 0


ACTIONS: dict[str, Action] = {
    "stats": Action("the figures of the last day, of the key's namespace", add_url, _stats),
    "rebuild": Action("rebuild the semantic index from the answers table", _add_rebuild, _rebuild),
    "compact": Action("merge small or half-empty segments of the semantic index now", _add_whose, _compact),
    "warm": Action("send a file's prompts, so that repeats are answered from the cache", add_warm, warm),
    "verify": Action("check the semantic index against the answers table", _add_whose, _verify),
    "explain": Action(
        "explain why something was, or would be, a hit", cache_control.add_explain, cache_control.explain
    ),
    "feedback": Action("report a false hit, or take it back", cache_control.add_feedback, cache_control.feedback),
    "invalidate": Action("stop serving some answers", cache_control.add_invalidate, cache_control.invalidate),
}
