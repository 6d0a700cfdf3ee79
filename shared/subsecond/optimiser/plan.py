"""What the optimiser may do to one call: from the settings, their line for the model, and the request's header."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from subsecond.errors import InvalidRequest
from subsecond.optimiser.markers import MARKER_KINDS

if TYPE_CHECKING:
    from subsecond.config import Settings

HEADER = "x-subsecond-optimise"
# Digits of a budget: no window is near a billion tokens.
LONGEST_BUDGET = 9


class Level(IntEnum):
    """Each level also does what those before it do."""

    OFF = 0
    LOSSLESS = 1
    DEDUPE = 2
    FIT = 3
    SELECT = 4


@dataclass(frozen=True, slots=True)
class OptimiserPlan:
    """`window`: the model's context in tokens, 0 where it is not known: then nothing is fitted. `reserve`: tokens kept
    for the answer where the request names no limit of its own. `budget`: tokens of context that `select` leaves in a
    message, 0 for all. `markers`: the provider whose cache markers to place. `partition`: the tenant's, for its key."""

    level: Level = Level.OFF
    window: int = 0
    reserve: int = 1024
    budget: int = 0
    markers: str = "off"
    partition: str = ""


def plan_for(settings: Settings, model: str, asked: str = "", partition: str = "", window: int = 0) -> OptimiserPlan:
    """`asked`: the request header's value, `LEVEL; budget=N; markers=KIND`, any part of which may be missing.
    `window`: what the catalogue says of the model; the settings' own word goes before it. A request that asks for `off`
    gets no cache markers either, unless it names them. Raises InvalidRequest."""
    asked_level, budget, markers = _asked(asked)
    level = level_of(asked_level or _by_model(settings.optimise_models, model) or settings.optimise)
    refused = bool(asked_level) and level is Level.OFF
    return OptimiserPlan(
        level=level,
        window=int(_by_model(settings.context_windows, model) or window),
        reserve=settings.output_reserve,
        budget=budget if budget is not None else settings.context_budget,
        markers=markers or ("off" if refused else settings.cache_markers),
        partition=partition,
    )


def level_of(name: str) -> Level:
    try:
        return Level[name.upper()]
    except KeyError:
        wanted = ", ".join(level.name.lower() for level in Level)
        raise InvalidRequest(f"{HEADER}: one of {wanted}, not {name[:40]!r}.", param=HEADER) from None


def _asked(text: str) -> tuple[str, int | None, str]:
    level, budget, markers = "", None, ""
    for part in filter(None, map(str.strip, text.split(";"))):
        name, _, value = (word.strip() for word in part.partition("="))
        if name == "budget" and value.isdecimal() and len(value) <= LONGEST_BUDGET:
            budget = int(value)
        elif name == "markers" and value in MARKER_KINDS:
            markers = value
        elif name == part and not level:
            level = name
        else:
            raise InvalidRequest(
                f"{HEADER}: LEVEL; budget=TOKENS; markers={'|'.join(MARKER_KINDS)}, not {part[:40]!r}.", param=HEADER
            )
    return level, budget, markers


def _by_model(lines: str, model: str) -> str:
    """The value of the first `PATTERN=VALUE` whose pattern fits the model."""
    for line in lines.split(","):
        pattern, _, value = line.strip().rpartition("=")
        if pattern and fnmatchcase(model, pattern):
            return value
    return ""
