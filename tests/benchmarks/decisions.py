"""What the choices on docs/decisions.md cost, warm and cold: `python -m tests.benchmarks.decisions`.

Warm: CPU of this process for one call, the candidates in turn, the median of the rounds. The model's server is another
process. Cold: CPU of the imports in a fresh interpreter that has what every candidate needs. A candidate that is not
installed is left out. The figures are of this machine: compare them inside a table.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from importlib.util import find_spec
from statistics import median
from time import process_time

from tests.benchmarks import decided
from tests.support.simulator import SimulatorProcess

KEY = "sk-decide"
OPTIONAL = ("orjson", "msgspec")
# What a function has loaded before any of the candidates.
BASE = "import asyncio, logging, hashlib, dataclasses, re, ssl, subsecond.config, subsecond.cache.key, boto3"
BODY = "{'model': 'm', 'messages': [{'role': 'user', 'content': 'x'}]}"
COLD: dict[str, dict[str, str]] = {
    "JSON": {"json": "import json", "orjson": "import orjson", "msgspec": "import msgspec"},
    "body check, with the first check": {
        "pydantic": f"from subsecond.api.bodies import ChatBody, check; check(ChatBody, {BODY})",
        "msgspec": f"from tests.benchmarks.msgspec_check import check; check({BODY})",
        "own check": f"from subsecond.api.usual_body import usual_chat; usual_chat({BODY})",
    },
    "MODE=app": {
        "FastAPI": "import fastapi, starlette.applications",
        "Starlette": "import starlette.applications, starlette.responses",
        "own routes": "pass",
    },
    "upstream": {
        "own transport": "import subsecond.upstreams.openai, subsecond.upstreams.http.transport",
        "httpx2": "import httpx2",
        "openai package": "import openai; openai.AsyncOpenAI(api_key='k').chat.completions",
    },
}
Call = Callable[[], Awaitable[object]]


async def warm(candidates: Mapping[str, Call], rounds: int, calls: int) -> dict[str, float]:
    """Microseconds of CPU for one call of each."""
    found: dict[str, list[float]] = {name: [] for name in candidates}
    for call in candidates.values():
        for _ in range(20):
            await call()
    for _ in range(rounds):
        for name, call in candidates.items():
            begun = process_time()
            for _ in range(calls):
                await call()
            found[name].append((process_time() - begun) / calls * 1e6)
    return {name: median(values) for name, values in found.items()}


def cold(candidates: Mapping[str, str], rounds: int) -> dict[str, float]:
    """Milliseconds of CPU for the imports of each."""
    there = {name: code for name, code in candidates.items() if name not in OPTIONAL or find_spec(name)}
    found: dict[str, list[float]] = {name: [] for name in there}
    for _ in range(rounds):
        for name, code in there.items():
            script = f"{BASE}\nfrom time import process_time\nt = process_time()\n{code}\nprint(process_time() - t)"
            ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
            found[name].append(float(ran.stdout) * 1e3)
    return {name: median(values) for name, values in found.items()}


def _async(function: Callable[[], object]) -> Call:
    async def call() -> object:
        return function()

    return call


async def measured(url: str, rounds: int) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Title, unit, figures."""
    found: list[tuple[str, str, dict[str, float]]] = []
    for name, text in decided.BODIES.items():
        for what, candidates in decided.json_calls(text).items():
            made = {library: _async(call) for library, call in candidates.items()}
            found.append((f"JSON: {what}, {name}", "us", await warm(made, rounds, 300)))
    checks = {name: _async(call) for name, call in decided.body_checks().items()}
    found.append(("body check: a chat request", "us", await warm(checks, rounds, 300)))
    found.append(("MODE=app: one request through the app", "us", await warm(decided.app_calls(), rounds, 100)))
    async with decided.upstream_calls(url, KEY) as calls:
        found.append(("upstream: one whole call", "us", await warm(calls, rounds, 50)))
    for title, candidates in COLD.items():
        found.append((f"cold: {title}", "ms", cold(candidates, max(3, rounds // 2))))
    return iter(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with SimulatorProcess(key=KEY) as server:
        for title, unit, figures in asyncio.run(measured(server.base_url, options.rounds)):
            least = min(figures.values())
            print(f"\n{title}")
            for name, value in figures.items():
                ratio = f"  {value / least:6.2f} x" if least else ""
                print(f"    {name:28} {value:9.2f} {unit}{ratio}", flush=True)


if __name__ == "__main__":
    main()
