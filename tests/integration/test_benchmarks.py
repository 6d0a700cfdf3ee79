"""`make test` leaves the benchmarks out: here is what shows that they still fit the code that they measure."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from subsecond.bootstrap import adapter

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
# They run in an environment of their own, or read their addresses when they are loaded.
ELSEWHERE = {"gptcache_worker", "msgspec_check", "naive_proxy"}


def test_every_benchmark_loads():
    names = sorted({path.stem for path in BENCHMARKS.glob("*.py")} - ELSEWHERE)
    code = f"import importlib\nfor name in {names}: importlib.import_module(name)"
    done = subprocess.run([sys.executable, "-c", code], cwd=BENCHMARKS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_our_side_of_the_comparison_with_gptcache_finds_serves_and_learns(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from rival import STRICTER, settings_of
    from rival_sides import Ours

    stored = ["How do I reset my password?", "Where is my card?"]
    asked = ["How can I reset my password?", "where is my card", "And the weather?"]
    policies = settings_of("static")
    embedder = adapter("embedder", policies[STRICTER])
    ours = Ours(embedder, policies)
    try:
        for texts in (stored, asked):
            ours.know(texts, asyncio.run(embedder.embed(texts)))
        ours.fill(stored, ["by mail", "on its way"])
        ours.settle()
        assert ours.search(asked).found[:2] == [0, 1]
        for policy in ("threshold 0.6", "guarded"):
            assert ours.hit(policy, asked).found == ["by mail", "on its way", None]
        said = ours.stream("threshold 0.6", [*asked, asked[2]], ["", "", "rain", "sun"], learn=True)
        assert said == ["by mail", "on its way", None, "rain"]
    finally:
        ours.close()
