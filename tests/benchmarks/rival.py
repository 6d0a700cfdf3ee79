"""Beside GPTCache 0.1.44: search, whole hit and decisions, on the same vectors, in turns, on one core, without HTTP.

    python tests/benchmarks/rival.py [--rows 10000 100000] [--words N] [--pairs FILE] [--stream FILE ...] [--out FILE]

The questions are made (`--words N`: of N words only, so that many are alike), their vectors are the embedder's, and no
embedding is timed. `--pairs`: rows `query_a, query_b, label`, all `query_a` stored, each `query_b` asked. `--stream`:
rows `query, intent` in order, from an empty cache; another intent's answer is wrong. Without a file that part is left
out. `make bench` makes GPTCache's environment.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import sys
import tempfile
from collections import defaultdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before NumPy: BLAS would start a thread for each core, which spin while they wait and count as our CPU.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from figures import quantile
from rival_report import section
from rival_sides import PYTHON, Missing, Ours, Theirs, Timed, available, pinned, worker
from rival_texts import OUT_OF_SCOPE, Row, made, pairs, stream

from subsecond.bootstrap import adapter
from subsecond.config import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from subsecond.ports import Embedder

    # Starts GPTCache's process.
    Start = Callable[[], AbstractContextManager[Theirs]]
    # What is measured, by kind (`search`, `hit`) and name.
    Runs = dict[tuple[str, str], Callable[[Sequence[str]], Timed]]

# GPTCache's default, which on its scale means a cosine of 0.6, and what its own benchmark sets, a cosine of 0.9.
DEFAULT, CAREFUL = 0.8, 0.95
STRICTER = "threshold 0.9"
WARM_UP = 20
ANSWER = "the answer that was stored for this question. " * 5
# As good as the nearest: what 16 bits can be off by.
TOLERANCE = 1e-4
# Room in memory that a database of 100,000 entries, its index and the vectors on their way take, generously.
SPACE = 2 << 30


def settings_of(embedder: str) -> dict[str, Settings]:
    """The policies: the rule that GPTCache's two thresholds amount to, and our own."""
    return {
        "threshold 0.6": Settings(semantic="threshold", similarity=0.6, embedder=embedder),
        STRICTER: Settings(semantic="threshold", similarity=0.9, embedder=embedder),
        "guarded": Settings(semantic="guarded", embedder=embedder),
    }


def measured(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything. Missing when GPTCache cannot be run."""
    load = os.getloadavg()[0]
    core = pinned()
    policies, absent = available(settings_of(options.embedder))
    embedder: Embedder = adapter("embedder", Settings(embedder=options.embedder))
    start: Start = partial(worker, options.gptcache_python, folder)
    with start() as theirs:
        found: dict[str, Any] = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "theirs": theirs.versions,
            "ours": {"python": platform.python_version(), "numpy": np.__version__, "embedder": embedder.id},
            "core": core,
            "rounds": options.rounds,
            "asks": options.asks,
            "words": options.words,
            "in_memory": folder.is_relative_to("/dev/shm"),
            "absent": absent,
        }
    found["sizes"] = [timings(options, start, embedder, policies, rows) for rows in options.rows]
    found["lost"] = [path.name for path in (*options.pairs, *options.stream) if not path.is_file()]
    files = [(path, pairs(path)) for path in options.pairs if path.is_file()]
    files += [(path, ([], stream(path, options.limit))) for path in options.stream if path.is_file()]
    found["decisions"] = [
        decisions(start, embedder, policies, texts, rows) | {"file": path.name} for path, (texts, rows) in files
    ]
    return found | {"load": [load, os.getloadavg()[0]]}


def timings(
    options: argparse.Namespace, start: Start, embedder: Embedder, policies: dict[str, Settings], rows: int
) -> dict[str, Any]:
    """Search and whole hits over `rows` entries, in turns; each round asks what none has asked before."""
    texts, asked = made(rows, WARM_UP + options.rounds * options.asks, words=options.words)
    vectors, queries = _embedded(embedder, texts), _embedded(embedder, asked)
    ours = Ours(embedder, policies)
    with start() as theirs:
        theirs.open(embedder.dim, 2 * rows, DEFAULT)
        _say(f"gptcache: {rows:,} entries into each side ...")
        for side in (theirs, ours):
            side.know(texts, vectors)
            side.know(asked, queries)
            side.fill(texts, [f"{row}: {ANSWER}" for row in range(rows)])
            side.settle()
        parts = [asked[start : start + options.asks] for start in range(WARM_UP, len(asked), options.asks)]
        taken = _in_turns(_runs(theirs, ours, policies), asked[:WARM_UP], parts)
    ours.close()
    best = _nearest(queries[WARM_UP:], vectors)
    found: dict[str, Any] = {"rows": rows, "search": {}, "hit": {}}
    for (kind, name), rounds in taken.items():
        found[kind][name] = _figures(rounds, _right_row(best) if kind == "search" else _right_answer(best))
    return found


def _runs(theirs: Theirs, ours: Ours, policies: dict[str, Settings]) -> Runs:
    return {
        ("search", "GPTCache"): theirs.search,
        ("search", "Subsecond"): ours.search,
        ("hit", "GPTCache"): partial(theirs.hit, report=True),
        ("hit", "GPTCache, no report"): partial(theirs.hit, report=False),
        **{("hit", f"Subsecond, {name}"): partial(ours.hit, name) for name in policies if name != STRICTER},
    }


def _in_turns(runs: Runs, warm_up: Sequence[str], parts: Sequence[Sequence[str]]) -> dict[tuple[str, str], list[Timed]]:
    """Each part is asked of every run, the first of which is another one each round."""
    for run in runs.values():
        run(warm_up)
    taken: dict[tuple[str, str], list[Timed]] = {name: [] for name in runs}
    names = list(runs)
    for at, part in enumerate(parts):
        turn = at % len(names)
        for name in names[turn:] + names[:turn]:
            taken[name].append(runs[name](part))
    return taken


def _figures(rounds: Sequence[Timed], right: Callable[[int, Any], bool]) -> dict[str, Any]:
    """`answered` and `right` are shares of what was asked; only what was answered is timed."""
    found = [one for each in rounds for one in each.found]
    answered = [one is not None for one in found]
    figures: dict[str, Any] = {
        "asked": len(found),
        "answered": sum(answered) / len(found),
        "right": sum(one is not None and right(at, one) for at, one in enumerate(found)) / len(found),
    }
    for kind in ("wall", "cpu"):
        values = [_taken(each, kind) for each in rounds]
        medians = [quantile(each, 0.5) for each in values if each]
        together = [value for each in values for value in each]
        figures[kind] = {
            "p50": quantile(together, 0.5),
            "p99": quantile(together, 0.99),
            "rounds_p50": [min(medians, default=0), max(medians, default=0)],
        }
    return figures


def _taken(timed: Timed, kind: str) -> list[float]:
    return [value for value, one in zip(getattr(timed, kind), timed.found, strict=True) if one is not None]


def _nearest(queries: NDArray[np.float32], vectors: NDArray[np.float32]) -> list[set[int]]:
    """For each query the rows that are nearest, or as near within the tolerance."""
    found = []
    for query in queries:
        cosines = vectors @ query
        found.append(set(np.flatnonzero(cosines >= cosines.max() - TOLERANCE).tolist()))
    return found


def _right_row(best: Sequence[set[int]]) -> Callable[[int, Any], bool]:
    return lambda at, row: row in best[at]


def _right_answer(best: Sequence[set[int]]) -> Callable[[int, Any], bool]:
    return lambda at, answer: int(answer.partition(":")[0]) in best[at]


def decisions(
    start: Start, embedder: Embedder, policies: dict[str, Settings], texts: Sequence[str], rows: Sequence[Row]
) -> dict[str, Any]:
    """What each rule answers, and how often wrongly. `texts`: what is stored before, each its own answer; where there
    is none, what was not answered is stored."""
    learn = not texts
    asked, answers = [row.asked for row in rows], [row.answer for row in rows]
    every = list(dict.fromkeys([*texts, *asked]))
    vectors = _embedded(embedder, every)
    found: dict[str, Any] = {}
    with start() as theirs:
        theirs.know(every, vectors)
        for name, threshold in (("GPTCache 0.8 (default)", DEFAULT), ("GPTCache 0.95", CAREFUL)):
            _say(f"gptcache: decisions of {name} ...")
            theirs.open(embedder.dim, 2 * len(every), threshold)
            if texts:
                theirs.fill(texts, texts)
            found[name] = judged(rows, theirs.stream(asked, answers, learn=learn))
    for name, settings in policies.items():
        _say(f"gptcache: decisions of Subsecond, {name} ...")
        ours = Ours(embedder, {name: settings})
        ours.know(every, vectors)
        if texts:
            ours.fill(texts, texts)
        found[f"Subsecond, {name}"] = judged(rows, ours.stream(name, asked, answers, learn=learn))
        ours.close()
    return {"learn": learn, "asked": len(rows), "stored": len(texts), "sides": found}


def judged(rows: Sequence[Row], found: Iterable[str | None]) -> dict[str, float | None]:
    """Shares of all that was asked; `oos_answered` of the rows that nothing may answer, None without such rows."""
    counts: dict[str, int] = defaultdict(int)
    for row, answer in zip(rows, found, strict=True):
        outside = row.answer == OUT_OF_SCOPE
        counts["outside"] += outside
        counts["hits"] += answer is not None
        counts["wrong"] += answer is not None and (outside or answer != row.answer)
        counts["outside_hits"] += answer is not None and outside
    return {
        "hit_rate": counts["hits"] / len(rows),
        "error_rate": counts["wrong"] / len(rows),
        "precision": 1 - counts["wrong"] / counts["hits"] if counts["hits"] else None,
        "oos_answered": counts["outside_hits"] / counts["outside"] if counts["outside"] else None,
    }


def _embedded(embedder: Embedder, texts: Sequence[str]) -> NDArray[np.float32]:
    return asyncio.run(embedder.embed(texts))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parent() -> str | None:
    """Where GPTCache's databases lie: in memory, so that no disk is measured, where there is room."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > SPACE
    return str(memory) if roomy else None


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Subsecond beside GPTCache.")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--asks", type=int, default=100, help="questions in a round")
    parser.add_argument("--words", type=int, help="make the questions of so many words only")
    parser.add_argument("--embedder", default="static")
    parser.add_argument("--pairs", type=Path, nargs="*", default=[])
    parser.add_argument("--stream", type=Path, nargs="*", default=[])
    parser.add_argument("--limit", type=int, default=2_500, help="rows of a stream")
    parser.add_argument("--gptcache-python", type=Path, default=PYTHON, help="the interpreter of its environment")
    parser.add_argument("--out", type=Path, help="the JSON file for all figures")
    return parser.parse_args(given)


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory(dir=_parent(), prefix="subsecond-bench-") as folder:
        try:
            found = measured(options, Path(folder))
        except Missing as error:
            found = {"skipped": str(error)}
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    print(section(found))


if __name__ == "__main__":
    main()
