"""`make bench`: what the gateway adds to a call, beside the proxy that a user would otherwise write, in one run.

    python tests/benchmarks/bench.py --out bench.json [--rounds N] [--only WORD] [--quick]
    python tests/benchmarks/bench.py --extra 'subsecond_small: SUBSECOND_MEMORY_BYTES=100000'

Beside the app in one plain process: with its answers in DynamoDB (ministack), and the streaming function under the
Lambda host. The upstream is the simulator; every server is a child process with one worker. Rounds go over the targets
in turn. The Markdown goes to stdout, progress to stderr. `--extra` measures one more Subsecond, with those variables.
Then, without servers: GPTCache (`rival.py`, which takes `--pairs FILE` and `--stream FILE` for its decisions), tails
and slow-downs, the optimiser, and with `--routing FILE` the score of difficulty.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import as_on_aws
import cold
import uvloop
from figures import summary
from pages import write
from report import BASE, markdown, on_aws
from rival_report import section
from scenarios import SCENARIOS, SLOW, Scenario, run
from scripts import sections
from servers import FUNCTIONS, KEY, NAIVE, SUBSECOND, Plan, Target, check, resident_megabytes, simulator, started
from stores import emulator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from figures import Round

    from tests.support.simulator import SimulatorProcess

IN_TABLE = {"SUBSECOND_EXACT": "dynamodb"}
GPTCACHE = "gptcache"
RIVAL = Path(__file__).with_name("rival.py")
_PACKAGES = ("fastapi", "httptools", "openai", "pydantic", "starlette", "uvicorn", "uvloop")


def plans(options: argparse.Namespace, upstream: str, tables: Mapping[str, str]) -> list[Plan]:
    """The servers between the client and the simulator. `tables`: the way to DynamoDB."""
    naive = {"NAIVE_UPSTREAM_URL": upstream, "NAIVE_UPSTREAM_KEY": KEY}
    ours = {"SUBSECOND_UPSTREAM_URL": upstream, "SUBSECOND_UPSTREAM_KEY": KEY, "SUBSECOND_API_KEY": KEY}
    found = [
        Plan("naive", NAIVE, naive),
        Plan("naive_cache", NAIVE, naive | {"NAIVE_CACHE": "1"}, caches=True),
        Plan("subsecond", options.subsecond_command, ours, caches=True),
        # Without memory before it, each answer is read from the table.
        Plan("subsecond_dynamodb", options.subsecond_command, ours | tables | IN_TABLE, caches=True),
        # No hits: what lies in an environment's memory is found by that environment alone.
        Plan("subsecond_lambda", FUNCTIONS, ours),
    ]
    for extra in options.extra:
        name, _, variables = extra.partition(":")
        more = dict(variable.split("=", 1) for variable in variables.split())
        found.append(Plan(name.strip(), options.subsecond_command, ours | more, caches=True))
    return [plan for plan in found if not options.targets or plan.name in options.targets]


def takes_part(scenario: Scenario, target: Target) -> bool:
    """Hits are for those that cache; the proxy with a dict is there for hits alone."""
    return target.caches if scenario.hits else target.name != "naive_cache"


async def measure(
    options: argparse.Namespace, targets: Sequence[Target], upstream: SimulatorProcess
) -> dict[str, dict[str, Any]]:
    """Every scenario's figures."""
    found: dict[str, dict[str, Any]] = {}
    direct_ms = 0.0
    for scenario in SCENARIOS:
        chosen = [target for target in targets if takes_part(scenario, target)]
        if not chosen or options.only not in scenario.name:
            continue
        load = os.getloadavg()[0]
        gc.collect()
        gc.disable()
        rounds = await run(scenario, chosen, upstream, options.rounds, _progress)
        gc.enable()
        found[scenario.name] = _figures(scenario, rounds) | {"load": [load, os.getloadavg()[0]]}
        if scenario.model == SLOW and BASE in rounds:
            direct_ms = median(sample.total * 1000 for each in rounds[BASE] for sample in each.good)
        found[scenario.name]["direct_ms"] = direct_ms
    return found


def _figures(scenario: Scenario, rounds: Mapping[str, list[Round]]) -> dict[str, Any]:
    direct = rounds.get(BASE)
    return {
        "model": scenario.model,
        "streamed": scenario.streamed,
        "concurrency": scenario.concurrency,
        "hits": scenario.hits,
        "full_speed": scenario.streamed and not scenario.hits and scenario.model.startswith("sim-t0-i0-"),
        "targets": {name: summary(each, direct) for name, each in rounds.items()},
    }


def beside_gptcache(options: argparse.Namespace) -> dict[str, Any]:
    """In a process of its own, because it binds itself to one core."""
    if options.only not in GPTCACHE or (options.targets and GPTCACHE not in options.targets):
        return {}
    sizes = ["--rows", "1000", "--asks", "50"] if options.quick else []
    files = [word for name in ("pairs", "stream") for word in (f"--{name}", *getattr(options, name))]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "gptcache.json")
        command = (sys.executable, RIVAL, "--rounds", str(options.rounds), *sizes, *files, "--out", out)
        ran = subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
        if ran.returncode:
            # What was measured before is worth having all the same.
            return {"skipped": f"The run ended with code {ran.returncode}; its last words are on stderr"}
        found: dict[str, Any] = json.loads(out.read_text())
    return found


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    versions = {name: version(name) for name in _PACKAGES}
    cpu = names[0] if names else platform.processor()
    return {"cpu": cpu, "cores": os.cpu_count(), "python": platform.python_version(), "packages": versions}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what Subsecond adds to a call.")
    parser.add_argument("--out", type=Path, help="the JSON file for all figures")
    parser.add_argument("--page", type=Path, help="write what is `as on AWS` into this page: docs/operations.md")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="two rounds: does it run at all?")
    parser.add_argument("--only", default="", help="scenarios whose name holds this word, or `cold starts`")
    parser.add_argument("--targets", nargs="*", default=[], help="these only: naive naive_cache subsecond gptcache")
    parser.add_argument(
        "--extra", action="append", default=[], metavar="NAME: VAR=VALUE ...", help="one more Subsecond"
    )
    parser.add_argument("--pairs", nargs="*", default=[], metavar="FILE", help="for the decisions beside GPTCache")
    parser.add_argument("--stream", nargs="*", default=[], metavar="FILE", help="as --pairs")
    parser.add_argument("--routing", nargs="*", default=[], type=Path, metavar="FILE", help="prompt, weak, strong")
    parser.add_argument(
        "--subsecond-command", default=SUBSECOND, help="how to start it; {python} and {port} are filled in"
    )
    options = parser.parse_args()
    options.rounds = 2 if options.quick else options.rounds
    return options


def main() -> None:
    options = arguments()
    load = os.getloadavg()[0]
    with ExitStack() as stack:
        upstream = stack.enter_context(simulator())
        direct = Target(BASE, int(upstream.url.rpartition(":")[2]), upstream.pid)
        tables = stack.enter_context(emulator())
        chosen = plans(options, upstream.base_url, tables)
        targets = [direct, *(stack.enter_context(started(plan)) for plan in chosen)]
        for target in targets:
            check(target, SLOW)
        scenarios = uvloop.run(measure(options, targets, upstream))
        resident = {target.name: resident_megabytes(target.pid) for target in targets}
        ours = next((plan.environ for plan in chosen if plan.name == "subsecond"), None)
        starts = uvloop.run(cold.measure({**ours, **tables}, _progress)) if ours and options.only in cold.NAME else {}
        rounds = {"rounds": 1} if options.quick else {}
        requests = (
            uvloop.run(
                as_on_aws.measure({**ours, **stack.enter_context(emulator(as_on_aws.DELAYS))}, _progress, **rounds)
            )
            if ours and options.only in as_on_aws.NAME
            else {}
        )
    found = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "rounds": options.rounds,
        "load": [load, os.getloadavg()[0]],
        "scenarios": scenarios,
        "resident_megabytes": resident,
        "cold_starts": starts,
        "as_on_aws": requests,
        GPTCACHE: beside_gptcache(options),
    }
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    if options.page:
        write(options.page, on_aws(found))
    print(markdown(found))
    if found[GPTCACHE]:
        print(section(found[GPTCACHE]))
    if not options.targets:
        for text in sections(options.only, options.routing, quick=options.quick):
            print(text)


if __name__ == "__main__":
    main()
