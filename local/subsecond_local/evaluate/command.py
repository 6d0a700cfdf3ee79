"""`subsecond eval pairs | conversations | stream | search | routing`. Imports nothing heavy: `--help` is quick."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from subsecond_local.evaluate.progress import Bars
    from subsecond_local.evaluate.setting import Setting

DRIFTS = ("intents", "wording")
HELP = {
    "pairs": ("rows query_a, query_b, label", "would b get a's answer, and may it?"),
    "conversations": ("rows messages_a, messages_b, label", "the same for whole conversations"),
    "stream": ("rows query, intent", "questions in their order, from an empty cache"),
}


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    actions = commands.add_parser("eval", help="try a policy on questions of your own").add_subparsers(
        dest="action", required=True
    )
    for name, (fields, about) in HELP.items():
        parser = actions.add_parser(name, help=about, description=f"JSON Lines with {fields}: {about}")
        parser.add_argument("file", type=Path, metavar="FILE", help=f"JSON Lines: {fields}")
        parser.add_argument("--limit", type=_count, metavar="N", help="the first N rows alone")
        parser.add_argument("--picture", type=Path, metavar="FILE.svg", help="where to draw the trade-off")
        parser.add_argument(
            "--no-picture", action="store_true", help="draw nothing (--json draws nothing unless --picture is given)"
        )
        _add_setting(parser)
        if name == "stream":
            _add_verified(parser)
    search = actions.add_parser("search", help="CPU, recall and memory of the semantic stage, on made questions")
    search.add_argument("--rows", type=_count, default=10_000, metavar="N", help="entries (default: %(default)s)")
    _add_setting(search)
    _add_routing(actions)


def _add_routing(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    about = "how much of the strong model's gain a difficulty score recovers, along the share of strong calls"
    routing = actions.add_parser("routing", help=about, description=f"JSON Lines with prompt, weak, strong: {about}")
    routing.add_argument("files", type=Path, nargs="+", metavar="FILE", help="JSON Lines: prompt, weak, strong")
    routing.add_argument("--scorer", help="default, file:PATH (default: SUBSECOND_DIFFICULTY, else default)")
    routing.add_argument("--limit", type=_count, metavar="N", help="the first N rows alone")
    routing.add_argument("--picture", type=Path, metavar="FILE.svg", help="where to draw the curve")
    routing.add_argument(
        "--no-picture", action="store_true", help="draw nothing (--json draws nothing unless --picture is given)"
    )
    routing.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def _add_verified(parser: argparse.ArgumentParser) -> None:
    verified = parser.add_argument_group("with --policy verified", "the whole loop: serve, sample, judge, tighten")
    verified.add_argument("--max-error", type=_share, metavar="SHARE", help="of the semantic hits that may be wrong")
    verified.add_argument("--judge", choices=["labels"], default="labels", help="who judges: the rows' own labels")
    verified.add_argument(
        "--judge-noise",
        type=_noise,
        default=(0.0, 0.0),
        metavar="P",
        help="the share of pairs on which the judge errs; or WRONG:RIGHT, for pairs of either truth",
    )
    verified.add_argument("--orders", type=_count, metavar="N", help="N random orders, and how often the bound holds")
    verified.add_argument("--seed", type=int, default=0, metavar="S", help="of the orders (default: %(default)s)")
    verified.add_argument("--drift", choices=DRIFTS, default="", help="what changes half-way through each order")
    verified.add_argument(
        "--worse", action="store_true", help="the policy answers with whatever is nearest, from half-way on"
    )
    verified.add_argument(
        "--repeats",
        type=_count,
        metavar="N",
        help="N requests, each question in three wordings: what aliases would add",
    )
    verified.add_argument(
        "--life",
        type=_count,
        default=2_000,
        metavar="N",
        help="requests for which an answer lives (default: %(default)s)",
    )
    verified.add_argument("--no-trial", action="store_true", help="the first cut serves at once, before any check")


def _add_setting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--policy", help="threshold, guarded, verified (default: SUBSECOND_SEMANTIC, else guarded)")
    parser.add_argument(
        "--threshold", type=_similarity, metavar="COSINE", help="the least similarity; a policy may require more"
    )
    parser.add_argument("--embedder", help="static, minilm, openai, bedrock (default: SUBSECOND_EMBEDDER, else static)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def run(options: argparse.Namespace, environ: MutableMapping[str, str]) -> int:
    """LocalError when the file, the policy or the embedder cannot be used."""
    # Before NumPy: its threads spin while they wait and would count as our CPU.
    environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from subsecond_local.evaluate import progress, routing, runs, setting, tables  # numpy

    if options.action == "routing":
        options.picture = _picture(options, options.files[0])
        return routing.run(options, environ)
    bars = progress.silent if options.json else progress.on_terminal
    tried = setting.chosen(environ, options.policy, options.threshold, options.embedder)
    if options.action == "search":
        report = asyncio.run(runs.searched(options.rows, tried, bars))
        said = tables.searched(report)
    elif options.action == "stream" and tried.name == "verified":
        report = asyncio.run(_verified(options, tried, bars))
        said = _verified_table(options)(report)
    else:
        order = runs.Order(options.file, options.limit, _picture(options, options.file))
        report = asyncio.run(runs.RUNS[options.action](order, tried, bars))
        said = (tables.streamed if options.action == "stream" else tables.decided)(report)
    print(json.dumps(report) if options.json else said + _drawn(report))
    return 0


def _verified_table(options: argparse.Namespace) -> Callable[[dict[str, Any]], str]:
    from subsecond_local.evaluate import tables

    if options.repeats:
        return tables.repeated
    return tables.orders if options.orders else tables.verified


async def _verified(options: argparse.Namespace, tried: Setting, bars: Bars) -> dict[str, Any]:
    from subsecond_local.evaluate import repeats, runs, scenarios, verified_orders, verified_stream  # numpy

    judge = verified_stream.LabelJudge(*options.judge_noise)
    bound = tried.settings.max_error if options.max_error is None else options.max_error
    scenario = scenarios.Scenario(options.drift, options.worse, not options.no_trial)
    order = runs.Order(
        options.file, options.limit, None if options.orders or options.repeats else _picture(options, options.file)
    )
    if options.repeats:
        repeated = repeats.Repeats(options.repeats, options.life, options.seed)
        return await runs.repeated(order, tried, bound, repeated, bars)
    if options.orders:
        orders = verified_orders.Orders(options.orders, options.seed, scenario)
        return await runs.ordered(order, tried, judge, bound, orders, bars)
    return await runs.verified(order, tried, judge, bound, scenario, bars)


def _picture(options: argparse.Namespace, file: Path) -> Path | None:
    """Where to draw. With --json nothing is drawn unless --picture is given."""
    if options.picture or options.json or options.no_picture:
        picture: Path | None = options.picture
        return picture
    return Path(f"eval-{options.action}-{file.stem}.svg")


def _drawn(report: dict[str, Any]) -> str:
    return f"\n\nThe picture is in {report['picture']}." if "picture" in report else ""


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rows")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 2.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share: 0 to 1")
    return value


def _noise(text: str) -> tuple[float, float]:
    on_wrong, _, on_right = text.partition(":")
    return _share(on_wrong), _share(on_right or on_wrong)


def _similarity(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 2.0
    if not -1 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a cosine: -1 to 1")
    return value
