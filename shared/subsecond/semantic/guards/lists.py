"""Reads the lists in `data/`: one entry a line; lines that begin with `#` are remarks."""

from __future__ import annotations

from pathlib import Path

DATA = Path(__file__).parent / "data"


def lines(name: str) -> list[str]:
    return [line for line in (DATA / name).read_text("utf-8").splitlines() if line and not line.startswith("#")]
