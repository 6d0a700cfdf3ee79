"""A progress bar on a terminal; silent elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Self, TextIO, TypeAlias

WIDTH = 30
# Seconds between two redraws.
PAUSE = 0.1


class Bar:
    """`total` steps of `label`. It redraws in place and is erased at the end. Without a stream it is silent."""

    def __init__(self, label: str, total: int, stream: TextIO | None = None) -> None:
        self._label = label
        self._total = max(1, total)
        self._stream = stream
        self._done = 0
        self._begun = self._drawn = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def advance(self, steps: int = 1) -> None:
        self._done += steps
        now = time.monotonic()
        if self._stream and now - self._drawn >= PAUSE:
            self._drawn = now
            self._stream.write(f"\r\x1b[K{self.line(now - self._begun)}")
            self._stream.flush()

    def line(self, seconds: float) -> str:
        """The bar after so many seconds."""
        share = min(1.0, self._done / self._total)
        full = int(share * WIDTH)
        left = f", {seconds / share - seconds:.0f} s left" if share else ""
        return f"{self._label} [{'#' * full}{'.' * (WIDTH - full)}] {self._done:,} of {self._total:,}{left}"


Bars: TypeAlias = Callable[[str, int], Bar]


def silent(label: str, total: int) -> Bar:
    return Bar(label, total)


def on_terminal(label: str, total: int) -> Bar:
    """Bars on standard error if that is a terminal, else silent ones."""
    return Bar(label, total, sys.stderr if sys.stderr.isatty() else None)
