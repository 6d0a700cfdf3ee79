"""What a check found: it passed, or failed and here is what to do, or was not run and here is why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

State: TypeAlias = Literal["passed", "failed", "not run"]
Figures: TypeAlias = Mapping[str, float | int | str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """said: what was seen. todo: what to do about a failure. figures: what was measured, for the JSON."""

    state: State
    said: str
    todo: str = ""
    figures: Figures = field(default_factory=dict)


def passed(said: str, figures: Figures | None = None) -> Outcome:
    return Outcome("passed", said, figures=figures or {})


def failed(said: str, todo: str, figures: Figures | None = None) -> Outcome:
    return Outcome("failed", said, todo, figures or {})


def not_run(reason: str) -> Outcome:
    return Outcome("not run", reason)
