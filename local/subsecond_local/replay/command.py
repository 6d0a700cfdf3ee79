"""`subsecond replay LOG`. Imports nothing heavy: `--help` is quick."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from subsecond_local.evaluate.progress import Bars
    from subsecond_local.evaluate.setting import Setting


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    about = "what the caches would have saved on a log of your own, and the pairs to look through; no model is called"
    parser = commands.add_parser(
        "replay",
        help=about,
        description=f"Shows {about}. LOG: JSON Lines of OpenAI bodies, CSV of questions, or an export of LiteLLM or "
        "Langfuse (docs/replay.md).",
    )
    parser.add_argument("log", type=Path, metavar="LOG")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N requests alone")
    parser.add_argument(
        "--policy",
        type=_some_of("guarded", "threshold"),
        default=["guarded"],
        metavar="P[,P]",
        help="guarded, threshold (default: guarded)",
    )
    parser.add_argument(
        "--caution",
        type=_some_of("strict", "balanced", "bold"),
        default=["strict"],
        metavar="C[,C]",
        help="strict, balanced, bold (default: strict)",
    )
    parser.add_argument("--embedder", help="static, minilm (default: SUBSECOND_EMBEDDER, else static)")
    parser.add_argument(
        "--pairs", type=Path, metavar="FILE.jsonl", help="the sheet of matched pairs (default: LOG.pairs.jsonl)"
    )
    parser.add_argument("--label", action="store_true", help="look through the sheet, a key for each pair")
    parser.add_argument("--picture", type=Path, metavar="FILE.svg", help="where to draw the hits along the log")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def run(options: argparse.Namespace, environ: MutableMapping[str, str]) -> int:
    """LocalError when the log or a setting cannot be used."""
    # Before NumPy: its threads spin while they wait and would count as our CPU.
    environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from subsecond_local.evaluate import progress, setting  # numpy
    from subsecond_local.replay import sheet  # numpy

    pairs = options.pairs or options.log.with_suffix(".pairs.jsonl")
    if options.label:
        done = sheet.label(pairs, sheet.keystroke)
        print(f"{done:,} labelled in {pairs}. `subsecond replay {options.log}` counts them.")
        return 0
    settings = [
        setting.chosen({**environ, "SUBSECOND_CAUTION": caution}, policy, None, options.embedder)
        for policy in options.policy
        for caution in (options.caution if policy == "guarded" else options.caution[:1])
    ]
    report, said = asyncio.run(_replayed(options, pairs, settings, progress.silent if options.json else _bars()))
    print(json.dumps(report) if options.json else said)
    return 0


async def _replayed(
    options: argparse.Namespace, pairs: Path, settings: list[Setting], bars: Bars
) -> tuple[dict[str, Any], str]:
    from subsecond_local.evaluate.setting import closing, embedded  # numpy
    from subsecond_local.replay import log, play, report, sheet  # numpy

    read = log.read(options.log, options.limit)
    asked = play.asked_of(read.requests, settings[0].settings)
    async with closing(settings[0].embedder):
        vectors = await embedded(settings[0].embedder, filter(None, asked), bars)
        shared = [replace(one, embedder=settings[0].embedder) for one in settings]
        plays = [await play.played(read.requests, asked, one, vectors, bars) for one in shared]
    sheet.write(pairs, plays[0].matched)
    found = [report.of_one(*one, sheet.labels(pairs, one[1].matched)) for one in zip(settings, plays, strict=True)]
    said = [report.table(options.log.name, read.unread, found)]
    if options.picture:
        names = [f"{one.name}, {one.settings.caution}" for one in settings]
        report.draw(options.picture, f"Hits along {options.log.name}", list(zip(names, plays, strict=True)))
        said.append(f"Drawn in {options.picture}.")
    said.append(
        f"Matched pairs: {len(plays[0].matched):,}, in {pairs}; "
        f"`subsecond replay {options.log} --label` goes through them."
    )
    whole = {"file": options.log.name, "unread": read.unread, "pairs": str(pairs), "settings": found}
    return whole, "\n\n".join(said)


def _bars() -> Bars:
    from subsecond_local.evaluate import progress

    return progress.on_terminal


def _some_of(*choices: str) -> Callable[[str], list[str]]:
    """Names with commas between, for `type`: what is none is told by the option that it was given to."""

    def names(text: str) -> list[str]:
        found = [name.strip() for name in text.split(",") if name.strip()]
        for name in found:
            if name not in choices:
                raise argparse.ArgumentTypeError(f"{name!r} is no choice: {', '.join(choices)}")
        return found

    return names
