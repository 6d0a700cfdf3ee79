"""A model server with no model: named timings, seeded answers, and faults on demand.

`sim-t<ms>-i<ms>-n<tokens>`: the time until the first token, between tokens, and how many there are. docs/simulator.md
says what may follow, what each fault does, and what is said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from subsecond.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Long enough for "never": uvloop's timers cannot take infinity.
FOREVER = 86_400.0
# Each fault's number, where a name gives none.
DEFAULTS = {"status": 500, "after": 1, "once": 1, "slow": 1, "filter": 10**6, "short": 1} | dict.fromkeys(
    (
        "stall",
        "truncate",
        "malformed",
        "errorevent",
        "nodone",
        "empty",
        "unicode",
        "nolist",
        "poison",
        "judge",
        "sameindex",
    ),
    0,
)
_NAME = re.compile(r"sim-t([0-9]{1,6})-i([0-9]{1,6})-n([0-9]{1,5})((?:-[A-Za-z0-9_.]+)*)")
_NUMBER = re.compile(r"([jd])([0-9]{1,4})")
_FAULT = re.compile(rf"({'|'.join(DEFAULTS)})=?([0-9]{{0,5}})")


def refusal(message: str, *, status: int = 400, param: str | None = None, code: str | None = None) -> UpstreamError:
    """An error in OpenAI's words."""
    kind = {429: "requests", 401: "authentication_error"}.get(status, "invalid_request_error")
    error = {"message": message, "type": kind if status < 500 else "server_error", "param": param, "code": code}  # noqa: PLR2004
    return UpstreamError(message, status=status, error=error, code=code)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a model's name says. Times in seconds, jitter as the sigma of a lognormal factor."""

    first: float
    gap: float
    tokens: int
    jitter: float
    dimensions: int
    faults: Mapping[str, float]


@lru_cache(maxsize=1024)
def profile(name: str) -> Profile:
    """The model of this name; UpstreamError 404 when there is none."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise refusal(f"The model {name!r} does not exist.", status=404, param="model", code="model_not_found")
    parts = match[4].split("-")[1:]
    numbers = {found[1]: int(found[2]) for part in parts if (found := _NUMBER.fullmatch(part))}
    faults = [found for part in parts if part[0] == "f" and (found := _FAULT.fullmatch(part[1:]))]
    return Profile(
        first=int(match[1]) / 1000,
        gap=int(match[2]) / 1000,
        tokens=int(match[3]),
        jitter=numbers.get("j", 0) / 100,
        dimensions=numbers.get("d", 256),
        faults=_numbered(faults),
    )


def _numbered(faults: list[re.Match[str]]) -> dict[str, float]:
    return {fault[1]: int(fault[2]) if fault[2] else DEFAULTS[fault[1]] for fault in faults}


def header_faults(text: str) -> dict[str, float]:
    """The faults of an `x-sim-fault` header; UpstreamError 400 for one that is not known."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    found = [match for word in words if (match := _FAULT.fullmatch(word))]
    if len(found) < len(words):
        raise refusal(f"x-sim-fault: {text!r} holds an unknown fault.", param="x-sim-fault")
    return _numbered(found)
