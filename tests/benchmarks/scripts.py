"""The benchmarks that need no server and no rival: each a script of its own, whose Markdown follows the others'."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TAILS, OPTIMISER, DIFFICULTY = "tails", "optimiser", "difficulty"


def sections(only: str, routing: Sequence[Path], *, quick: bool) -> Iterator[str]:
    """Of those whose name holds `only`. routing: rows of `subsecond eval routing`, for the score of difficulty beside
    the number of words, phrases and chance; without any it is left out."""
    requests = ("--requests", "2000") if quick else ()
    commands = {
        TAILS: ("-m", "tests.benchmarks.tails", *requests),
        OPTIMISER: (HERE / "optimiser.py",),
        DIFFICULTY: ("-m", "subsecond_local.cli.main", "eval", "routing", *(path.resolve() for path in routing)),
    }
    for name, command in commands.items():
        if only not in name or (name == DIFFICULTY and not routing):
            continue
        # A folder of its own: `eval` draws a picture where it runs.
        with tempfile.TemporaryDirectory() as folder:
            ran = subprocess.run(
                (sys.executable, *command),
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                check=False,
            )
        said = ran.stdout if ran.returncode == 0 else f"It ended with code {ran.returncode}:\n{ran.stderr[-2000:]}"
        yield f"\n## {name.capitalize()}\n\n{said}"
