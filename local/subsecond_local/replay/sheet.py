"""The sheet of matched pairs: JSON Lines of question, stored question, its answer, and a label that a person gives.

`eval pairs` reads the same form, so a labelled sheet is a test set of one's own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from subsecond_local.errors import LocalError
from subsecond_local.replay.play import Matched

KEYS = {"y": 1, "n": 0}
HELP = "y: the stored answer would do   n: it would not   s: skip   q: stop"


def write(path: Path, matched: Sequence[Matched]) -> None:
    """Labels that the file has already for the same pair are kept."""
    known = {_pair(row): row["label"] for row in read(path)} if path.exists() else {}
    rows = [
        {
            "query_a": one.stored,
            "query_b": one.asked,
            "label": known.get((one.stored, one.asked)),
            "answer": one.answer,
            "score": round(one.score, 4),
            "row": one.row,
        }
        for one in matched
    ]
    _save(path, rows)


def read(path: Path) -> list[dict[str, Any]]:
    """LocalError when it is no sheet."""
    try:
        rows = [json.loads(line) for line in path.read_bytes().splitlines() if line.strip()]
        return [{**row, "query_a": str(row["query_a"]), "query_b": str(row["query_b"])} for row in rows]
    except OSError as error:
        raise LocalError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, RecursionError):
        raise LocalError(f"{path} is no sheet of pairs: rows need `query_a` and `query_b`.") from None


def labels(path: Path, matched: Sequence[Matched]) -> list[bool]:
    """Of these pairs, those that are labelled: whether the stored answer would do."""
    known = {_pair(row): row.get("label") for row in read(path)} if path.exists() else {}
    found = [known.get((one.stored, one.asked)) for one in matched]
    return [bool(label) for label in found if label in (0, 1)]


def label(path: Path, keystroke: Callable[[], str]) -> int:
    """Show the pairs without a label one by one, and write each answer at once. Returns how many were labelled."""
    rows = read(path)
    waiting = [row for row in rows if row.get("label") not in (0, 1)]
    done = 0
    print(HELP)
    for number, row in enumerate(waiting, 1):
        print(f"\n{number} of {len(waiting)}   score {row.get('score', '-')}")
        print(
            f"  asked   {row['query_b']}\n  stored  {row['query_a']}\n  answer  {str(row.get('answer') or '-')[:400]}"
        )
        match keystroke():
            case "q":
                break
            case ("y" | "n") as key:
                row["label"] = KEYS[key]
                done += 1
                _save(path, rows)
    return done


def keystroke() -> str:
    """One key, without Enter where the terminal allows it. End of input is `q`."""
    try:
        import termios  # not on Windows
        import tty
    except ImportError:
        return (sys.stdin.readline().strip().lower() or "q")[:1]
    if not sys.stdin.isatty():
        return (sys.stdin.readline().strip().lower() or "q")[:1]
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        return sys.stdin.read(1).lower()
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _pair(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["query_a"], row["query_b"]


def _save(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    try:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    except OSError as error:
        raise LocalError(f"{path} cannot be written: {error.strerror}.") from error
