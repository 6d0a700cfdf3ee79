"""Rows of a routing log: a prompt, and how good the weak and the strong model's answers to it are."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subsecond_local.errors import LocalError


@dataclass(frozen=True, slots=True)
class Routed:
    """weak, strong: on any one scale, higher is better."""

    prompt: str
    weak: float
    strong: float


def routed(paths: Sequence[Path], limit: int | None = None) -> list[Routed]:
    """Rows `prompt, weak, strong` of all files; those with `contaminated` true are left out. LocalError."""
    found = [row for path in paths for row in _read(path)][:limit]
    if not found:
        raise LocalError(f"{', '.join(map(str, paths))}: no rows.")
    return found


def _read(path: Path) -> list[Routed]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise LocalError(f"{path} cannot be read: {error}.") from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = _row(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise LocalError(f"{path}, line {number}: {error}.") from None
        if row:
            found.append(row)
    return found


def _row(row: Any) -> Routed | None:
    """None for a row to leave out. ValueError for a malformed one."""
    if not isinstance(row, dict):
        raise ValueError("a JSON object is wanted")
    if not isinstance(row.get("prompt"), str):
        raise ValueError("`prompt` must be a text")
    values: list[Any] = [row.get(name) for name in ("weak", "strong")]
    if not all(isinstance(one, int | float) and math.isfinite(one) for one in values):
        raise ValueError("`weak` and `strong` must be numbers: how good each model's answer is")
    return None if row.get("contaminated") is True else Routed(row["prompt"], float(values[0]), float(values[1]))
