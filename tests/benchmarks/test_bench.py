from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).with_name("bench.py")


def test_the_benchmark_measures_the_direct_call_and_the_proxy(tmp_path):
    out = tmp_path / "bench.json"
    chosen = ["--rounds", "1", "--only", "whole, 1 client", "--targets", "naive", "naive_cache", "--out", out]
    done = subprocess.run([sys.executable, BENCH, *chosen], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    whole = found["scenarios"]["whole, 1 client"]["targets"]
    hits = found["scenarios"]["hit, whole, 1 client"]["targets"]
    assert list(whole) == ["direct", "naive"]
    assert list(hits) == ["naive_cache"]
    assert all(figures["errors"] == 0 and figures["ok"] > 0 for figures in (*whole.values(), *hits.values()))
    assert whole["naive"]["upstream_calls"] == whole["naive"]["ok"]
    assert hits["naive_cache"]["upstream_calls"] == 0
    assert "**whole, 1 client**" in done.stdout
    assert "**Exact hits**" in done.stdout


def test_a_server_that_does_not_start_is_named_with_its_last_words():
    chosen = ["--targets", "subsecond", "--subsecond-command", "{python} -c 'raise SystemExit(\"no such thing\")'"]
    done = subprocess.run([sys.executable, BENCH, *chosen], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert "subsecond did not start" in done.stderr
    assert "no such thing" in done.stderr
