"""The optimiser's figures: `python tests/benchmarks/optimiser.py [--tokenizer O200K]`. Prints Markdown.

CPU time, the least of several runs, of one process. With `--tokenizer` (a `.tiktoken` file) tokens are counted exactly.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

from subsecond.model import Call
from subsecond.optimiser import Level, OptimiserPlan, Tokens, optimise
from subsecond.optimiser.passages import passages_of

DATA = Path(__file__).parents[1] / "data" / "prompts"
KB = 1024
SIZES = (16 * KB, 64 * KB, 1024 * KB)
RUNS = 9
LEVELS = [level for level in Level if level is not Level.OFF]
QUESTION = "How do I configure retries and how do I stream a response?"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", default="", help="a .tiktoken file, for exact counts")
    files = parser.parse_args().tokenizer
    print("CPU time of one call, ms (median of the least of each of three prompts' runs; first run in brackets)\n")
    for line in times():
        print(line)
    print("\nTokens saved\n")
    for line in savings(Tokens(f"*={files}" if files else "")):
        print(line)


def times() -> Iterator[str]:
    yield "| level | " + " | ".join(f"{size // KB:,} KB" for size in SIZES) + " |"
    yield "| --- | --- | --- | --- |"
    prompts = {size: [_call(text, size) for text in _texts()] for size in SIZES}
    for level in LEVELS:
        cells = []
        for size in SIZES:
            # A window of half the prompt: `fit` has work to do.
            plan = OptimiserPlan(level, window=size // 8 if level is Level.FIT else 0, reserve=100, budget=size // 16)
            measured = [_time(call, plan) for call in prompts[size]]
            least, first = (median(one[at] for one in measured) for at in (0, 1))
            cells.append(f"{least:.3g} ({first:.3g})")
        yield f"| {level.name.lower()} | " + " | ".join(cells) + " |"


def savings(tokens: Tokens) -> Iterator[str]:
    yield "| prompts | requests | tokens | " + " | ".join(level.name.lower() for level in LEVELS) + " |"
    yield "| --- " * (3 + len(LEVELS)) + "|"
    for name in ("system", "rag", "chat"):
        calls = [_of(body) for body in bodies(name)]
        before = sum(_count(tokens, call) for call in calls)
        cells = []
        for level in LEVELS:
            # Context to half of what there is; a window of three quarters.
            after = 0
            for call in calls:
                whole = _count(tokens, call)
                window = whole * 3 // 4 if level is Level.FIT else 0
                plan = OptimiserPlan(level, window=window, reserve=1, budget=whole // 2)
                after += _count(tokens, optimise(call, plan, tokens)[0])
            cells.append(f"{(after - before) / before:+.1%}")
        yield f"| {name} | {len(calls)} | {before:,} | " + " | ".join(cells) + " |"


def bodies(name: str) -> list[dict[str, Any]]:
    return [json.loads(line)["body"] for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def _texts() -> list[str]:
    """Three long texts: agents' instructions, context with overlaps, what people say."""
    joined = []
    for name in ("system", "rag", "chat"):
        said = [str(one["content"]) for body in bodies(name) for one in body["messages"] if one.get("content")]
        joined.append("\n\n\n".join(said).replace("<context>", "").replace("</context>", ""))
    return joined


def _call(text: str, size: int) -> Call:
    while len(text) < size:
        text = text + "  \n\n\n" + text
    context = f"Answer.\n\n<context>\n{text[:size]}\n</context>"
    return _of({"messages": [{"role": "system", "content": context}, {"role": "user", "content": QUESTION}]})


def _of(body: dict[str, Any]) -> Call:
    return Call("chat", "gpt-4o", {**body, "model": "gpt-4o"})


def _count(tokens: Tokens, call: Call) -> int:
    counter = tokens.counter(call.model)
    return tokens.frame(counter, call.body) + sum(tokens.message(counter, one) for one in call.body["messages"])


def _time(call: Call, plan: OptimiserPlan) -> tuple[float, float]:
    """Milliseconds: the least, and the first. A new memory of counts each time, so that each run counts."""
    spent = []
    for _ in range(RUNS):
        passages_of.cache_clear()
        spent.append(_spent(lambda: optimise(call, plan, Tokens())))
    return min(spent), spent[0]


def _spent(work: Callable[[], object]) -> float:
    began = process_time()
    work()
    return (process_time() - began) * 1000


if __name__ == "__main__":
    main()
