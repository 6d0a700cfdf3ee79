from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
RIVAL = HERE / "rival.py"
GPTCACHE = HERE.parents[1] / ".tools" / "gptcache" / "bin" / "python"
needs_gptcache = pytest.mark.skipif(not GPTCACHE.exists(), reason="GPTCache's environment is made by `make bench`.")


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)


def rows(path, *found):
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return path


@pytest.fixture
def streamed(tmp_path):
    """Asked again, asked again with nothing that may answer it, and something else."""
    texts = ["How do I reset my password?", "How do I reset my password?", "How can I reset my password?", "Lost card"]
    intents = ["password", "password", "oos", "card"]
    found = [{"query": text, "intent": intent} for text, intent in zip(texts, intents, strict=True)]
    return rows(tmp_path / "stream.jsonl", *found)


@pytest.fixture
def paired(tmp_path):
    """Two questions whose partners are stored, and one whose partner must not answer."""
    pairs = [
        ("Open an account", "Open an account please", 1),
        ("Is it safe?", "Is it safe?", 1),
        ("Go up", "Go up!", 0),
    ]
    found = [{"query_a": a, "query_b": b, "label": label} for a, b, label in pairs]
    return rows(tmp_path / "pairs.jsonl", *found)


@needs_gptcache
def test_both_sides_find_the_nearest_and_decide_alike_by_the_same_rule(tmp_path, paired, streamed):
    out = tmp_path / "rival.json"
    sizes = ["--rows", "300", "200", "--rounds", "2", "--asks", "20"]
    done = run(sys.executable, RIVAL, *sizes, "--pairs", paired, "--stream", streamed, tmp_path / "none", "--out", out)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert found["theirs"]["gptcache"] == "0.1.44"
    for size in found["sizes"]:
        assert {side["right"] for side in size["search"].values()} == {1}
        for side in (*size["search"].values(), *size["hit"].values()):
            assert side["asked"] == 40
            assert side["right"] == side["answered"] > 0.5
            assert side["wall"]["p50"] > 0
    assert [size["rows"] for size in found["sizes"]] == [300, 200]

    expected = [
        {"hit_rate": 1, "error_rate": 1 / 3, "precision": pytest.approx(2 / 3), "oos_answered": 1},
        {"hit_rate": 0.5, "error_rate": 0.25, "precision": 0.5, "oos_answered": 1},
    ]
    for each, wanted in zip(found["decisions"], expected, strict=True):
        sides = each["sides"]
        assert sides["GPTCache 0.8 (default)"] == sides["Subsecond, threshold 0.6"] == wanted
        assert sides["GPTCache 0.95"] == sides["Subsecond, threshold 0.9"]
    assert "**Whole hit, 300 entries**" in done.stdout
    assert "**Decisions on `stream.jsonl`**" in done.stdout
    assert "Decisions on `none`: left out, there is no such file." in done.stdout


@needs_gptcache
def test_gptcache_installs_nothing():
    script = "import gptcache_worker; from gptcache.utils import import_openai; import_openai()"
    done = run(GPTCACHE, "-c", script, cwd=HERE, env={"PATH": "", "PIP_NO_INDEX": "1"})
    assert done.returncode == 1
    assert "GPTCache wants to install openai" in done.stderr


def test_without_its_environment_gptcache_is_left_out_with_a_word(tmp_path):
    done = run(sys.executable, RIVAL, "--gptcache-python", tmp_path / "none")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert "left out. There is no" in done.stdout


def test_an_environment_without_gptcache_is_left_out_too():
    done = run(sys.executable, RIVAL, "--gptcache-python", sys.executable)
    assert done.returncode == 0, done.stderr
    assert "left out. GPTCache's worker ended" in done.stdout
    assert "No module named 'faiss'" in done.stderr
