"""What one finished request adds to the statistics: increments only, so that adding them up is all that merging takes.

An increment has a rollup, a name and a number. Rollups, each of which is one item in a table:

    2026112305           that hour (UTC): `n|requests`, `n|hits|exact`, `n|errors|5xx`, `n|codes|429|Overloaded`, ...
    2026112305|MODEL     that hour and model: `h|ttft|SOURCE|BUCKET`, `h|total|SOURCE|BUCKET`; BUCKET `sum` in us;
                         `n|tokens|upstream|prompt`, `n|tokens|saved|completion`, `n|calls|answered`, ...
                         Of a routed request's calls SOURCE is `own`, and its clients' time is in the hour's rollup
    2026112305#steps     that hour: `h|hit|STEP|BUCKET`, `h|miss|STEP|BUCKET`
    2026112305#keys      that hour: `k|requests|KEY`, `k|hits|KEY`, `k|errors|KEY`, `k|tokens|KEY`; KEY is a key's name
    live#2026112305      answers that expire in that hour: `n|exact`. A replaced answer takes its expiry back, so the
                         sum over this hour and those to come is what lives: no scan, the TTL honoured to the hour

A rollup for each model keeps the items small: an update costs what the whole item weighs. So do the steps' buckets, of
which four are taken as one.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from subsecond.stats.histogram import bucket_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from subsecond.stats.trace import Attempt, Trace

Increment: TypeAlias = tuple[str, str, int]
# The name under which a model is counted: its own, or `other`.
NameOf: TypeAlias = "Callable[[object], str]"

HOUR = 3_600
LIVE = "live#"
STEPS, KEYS = "#steps", "#keys"
OTHER = "other"
# Characters of a model's name that is counted by name, or shown.
LONGEST_NAME = 100
HITS = ("exact", "semantic", "coalesced")
# In the place of a source: one call of a model, whatever became of the request.
OWN = "own"
TOKENS = {"prompt_tokens": "prompt", "completion_tokens": "completion"}
# The client went away: not an error of anybody's.
GONE = frozenset({"CancelledError", "GeneratorExit"})
# A count beyond this is not a count. The upstream sends it, so it is not to be believed blindly.
MOST_TOKENS = 1_000_000_000
# Buckets of a step's time that are counted as their third: a quantile is then wrong by a quarter at the most.
COARSE = 4


@lru_cache(maxsize=256)
def _hour(number: int) -> str:
    return time.strftime("%Y%m%d%H", time.gmtime(number * HOUR))


def hour_of(epoch: float) -> str:
    """`yyyymmddhh` in UTC."""
    return _hour(int(epoch // HOUR))


def increments(trace: Trace, name_of: NameOf, now: float) -> list[Increment]:
    """What this request adds. `name_of` is asked for names of models that gave an answer, and of no others."""
    hour = hour_of(now)
    found = [(hour, name, n) for name, n in _counts(trace)]
    found += [(hour + KEYS, name, n) for name, n in _of_key(trace)]
    answered, model = trace.error is None, trace.counted or trace.model
    if answered and trace.source and model:
        # What the client waited for may be the time of several models: then each has its own below.
        routed = trace.source == "upstream" and trace.attempts
        rollup = hour if routed else f"{hour}|{name_of(model)}"
        found += _latencies(rollup, trace.source, trace.first, trace.total)
        found += _steps(trace, hour + STEPS)
    if trace.usage and trace.source:
        rollup = f"{hour}|{name_of(model) if answered else OTHER}"
        found += _tokens(trace.usage, rollup, _kind(trace))
    if trace.saved and answered:
        found += _tokens(trace.saved, f"{hour}|{name_of(trace.model)}", "saved")
    for attempt in trace.attempts:
        found += _attempted(attempt, trace, hour, f"{hour}|{name_of(attempt.model)}")
    if trace.stored_expiry is not None:
        found.append((LIVE + hour_of(trace.stored_expiry), "n|exact", 1))
        if trace.replaced_expiry is not None:
            found.append((LIVE + hour_of(trace.replaced_expiry), "n|exact", -1))
    return found


def _kind(trace: Trace) -> str:
    """Whether the answer's tokens were spent for this request, or saved."""
    return "upstream" if trace.source == "upstream" or trace.paid else "saved"


def _attempted(attempt: Attempt, trace: Trace, hour: str, rollup: str) -> list[Increment]:
    outcome = _outcome(attempt.outcome)
    found = [(rollup, f"n|calls|{outcome}", 1)]
    found += _latencies(rollup, OWN, attempt.seconds if outcome == "answered" else None, attempt.total)
    if attempt.lost is not None:
        lost = _tokens(_of_lost(trace, attempt.lost), rollup, "upstream")
        found += [*lost, (hour, "n|counts|tokens_estimated", sum(n for _, _, n in lost))]
    return found


def _counts(trace: Trace) -> list[tuple[str, int]]:
    found = [("n|requests", 1)]
    source = trace.source
    if source in HITS:
        found.append((f"n|hits|{source}", 1))
    elif source == "upstream":
        found += [("n|upstream_calls", 1), ("n|misses" if trace.cacheable else "n|bypassed", 1)]
    if trace.error is not None:
        found.append((f"n|errors|{_class(trace.error, trace.status)}", 1))
        if trace.error not in GONE:
            found.append((f"n|codes|{trace.status or 500} {trace.error}", 1))
    if trace.stored_expiry is not None and trace.stored_bytes:
        found += [("n|stored|answers", 1), ("n|stored|bytes", trace.stored_bytes)]
    found += [(f"n|counts|{name}", n) for name, n in trace.counts.items()]
    return found


def _of_key(trace: Trace) -> list[tuple[str, int]]:
    """Who asked how much: the tokens are those that were spent."""
    if trace.key is None:
        return []
    spent = sum(n for _, _, n in _tokens(trace.usage or {}, "", "")) if _kind(trace) == "upstream" else 0
    found = {
        "requests": 1,
        "hits": int(trace.source in HITS),
        "errors": int(trace.error is not None and trace.error not in GONE),
        "tokens": spent,
    }
    return [(f"k|{what}|{trace.key}", n) for what, n in found.items() if n]


def _class(error: str, status: int | None) -> str:
    """`4xx`, `5xx` (ours where there is no status), `closed` where the client hung up."""
    if status is None:
        return "closed" if error in GONE else "5xx"
    return f"{status // 100}xx"


def _outcome(outcome: str) -> str:
    """Of a model's call: `answered`, `cancelled` (another was faster, or nobody waits any more), `refused` (the
    request was wrong) or `failed`."""
    kind = outcome.partition(":")[0]
    return kind if kind in ("answered", "cancelled", "refused") else "failed"


def _of_lost(trace: Trace, said: int) -> dict[str, int]:
    """What a call that was given up has cost, about: its prompt, which is that of the call that answered, and what it
    had said. Providers charge for both, and tell nobody who does not wait for the end."""
    prompt = count_in(trace.usage, "prompt_tokens")
    if prompt is None:
        prompt = trace.prompt_tokens() if trace.prompt_tokens else 0
    return {"prompt_tokens": prompt, "completion_tokens": said}


def count_in(usage: Mapping[str, Any] | None, field: str) -> int | None:
    """What an upstream says it has counted; None where it says nothing, or what is no count: a text, less than nothing.
    Budgets and figures are reckoned with it."""
    count = (usage or {}).get(field)
    return count if type(count) is int and 0 <= count < MOST_TOKENS else None


def _tokens(usage: Mapping[str, Any], rollup: str, kind: str) -> list[Increment]:
    found = []
    for field, name in TOKENS.items():
        if count := count_in(usage, field):
            found.append((rollup, f"n|tokens|{kind}|{name}", count))
    return found


def _latencies(rollup: str, source: str, first: float | None, total: float | None) -> list[Increment]:
    found = []
    for kind, seconds in (("ttft", first), ("total", total)):
        if seconds is not None:
            prefix = f"h|{kind}|{source}|"
            found += [
                (rollup, f"{prefix}{bucket_of(seconds * 1_000)}", 1),
                (rollup, f"{prefix}sum", round(seconds * 1_000_000)),
            ]
    return found


def _steps(trace: Trace, rollup: str) -> list[Increment]:
    """Where the time went, apart for hits and misses: they take other ways."""
    found = []
    kind = "hit" if trace.source in HITS else "miss"
    for step, seconds in trace.steps.items():
        prefix = f"h|{kind}|{step}|"
        bucket = bucket_of(seconds * 1_000) // COARSE * COARSE + COARSE // 2
        found += [(rollup, f"{prefix}{bucket}", 1), (rollup, f"{prefix}sum", round(seconds * 1_000_000))]
    return found
