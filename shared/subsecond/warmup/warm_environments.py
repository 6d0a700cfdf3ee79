"""Many environments at the same time: what the prewarming function sends to those that answer.

Lambda gives an event to any environment that is free. So N events warm N environments only while each is kept busy
until the last one has arrived: they meet in the state table (`prewarm.Rendezvous`).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import uuid4

from subsecond.aws.client import Aws, aws_of, code_of
from subsecond.config import Settings
from subsecond.pipeline import Gateway
from subsecond.warmup.prewarm import prewarm

# Environments of one function at the most: each is a thread here, and an environment that no user can have meanwhile.
MOST = 50
# Failures in a row after which the rest of a list is left for the next time.
MOST_FAILURES = 3
# Seconds of the function's 900 after which no other prompt is begun: one may take SUBSECOND_TOTAL_TIMEOUT.
LONGEST_S = 240.0


async def run(gateway: Gateway, event: Any) -> dict[str, Any]:
    """What a schedule or a hand has asked for: `{"prewarm": true}`, `{"prewarm": {"environments": 5}}` or
    `{"prewarm": {"prompts": true}}`. The report; or `error`, what is wrong with the order."""
    order = event.get("prewarm") if isinstance(event, Mapping) else None
    order = order if isinstance(order, Mapping) else {}
    settings = gateway.settings
    if order.get("prompts"):
        return {"prompts": [await answered(settings, partition) for partition in _names(settings.warm_prompts)]}
    number = order.get("environments") or settings.warm_environments
    if not isinstance(number, int):
        return {"error": f"environments: {number!r} is not a whole number"}
    return {**await prewarm(gateway), **await warmed(settings, max(1, min(MOST, number)))}


async def warmed(settings: Settings, number: int) -> dict[str, Any]:
    """Warm `number` environments of each function. `ms`: until the last one had answered."""
    names = _names(settings.warm_functions)
    begun = time.monotonic()
    # A client of its own: these calls take as long as a start does, and all at the same time.
    aws = _patient(settings, max(1, number * len(names)), settings.warm_wait + 30)
    functions = await asyncio.gather(*(_function(aws, settings, name, number) for name in names))
    return {"functions": functions, "ms": round((time.monotonic() - begun) * 1000)}


async def _function(aws: Aws, settings: Settings, name: str, number: int) -> dict[str, Any]:
    order = {"rendezvous": uuid4().hex, "environments": number, "wait": settings.warm_wait}
    send = partial(_invoke, aws, name, {"prewarm": order})
    reports = await asyncio.gather(*(aws.run(send) for _ in range(number)))
    return summary(name, reports)


def summary(name: str, reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of one function. `environments`: distinct ones that answered, `cold` of them for the first time. `failed`: parts
    that did not answer, and in how many environments. `errors`: events that came to nothing, by their kind."""
    told = {report["environment"]: report for report in reports if "environment" in report}
    return {
        "function": name.rpartition("function:")[2],
        "asked": len(reports),
        "environments": len(told),
        "cold": sum(any(one["cold"] for one in reports if one.get("environment") == who) for who in told),
        "failed": dict(Counter(part for report in told.values() for part in report["failed"])),
        "errors": dict(Counter(report["error"] for report in reports if "error" in report)),
    }


async def answered(settings: Settings, partition: str) -> dict[str, Any]:
    """The partition's list, `prewarm/<partition>.jsonl` in the bucket: a request's body on each line, asked one after
    the other until the list or the budget ends. `asked`: calls of the model; `known`: answers that were there."""
    counts, tokens, in_a_row = Counter(asked=0, known=0, failed=0), 0, 0
    aws = _patient(settings, 1, settings.total_timeout + 30)
    lines = await aws.run(partial(_list, aws, settings.bucket, f"prewarm/{partition}.jsonl"))
    function, end = _names(settings.warm_functions)[0], time.monotonic() + LONGEST_S
    for line in lines:
        spent = counts["asked"] >= settings.warm_calls or tokens >= settings.warm_tokens
        if spent or in_a_row >= MOST_FAILURES or time.monotonic() > end:
            break
        found = await aws.run(partial(_asked, aws, function, partition, line))
        failed = bool(found.get("error"))
        counts["failed" if failed else "asked" if found["source"] == "upstream" else "known"] += 1
        tokens += found.get("tokens", 0)
        in_a_row = in_a_row + 1 if failed else 0
    left = len(lines) - counts.total()
    return {"partition": partition, **counts, "left": left, "tokens": tokens}


def _asked(aws: Aws, function: str, partition: str, line: bytes) -> dict[str, Any]:
    """The report of one line; what is no JSON is that line's failure, and no other's."""
    try:
        body = json.loads(line)
    except (ValueError, RecursionError) as error:
        return {"error": type(error).__name__}
    return _invoke(aws, function, {"prewarm": {"partition": partition, "body": body}})


def _list(aws: Aws, bucket: str, name: str) -> list[bytes]:
    """Empty where nobody has put one there yet: the other lists are asked all the same."""
    s3 = aws.s3
    try:
        data = s3.get_object(Bucket=bucket, Key=name)["Body"].read()
    except s3.exceptions.NoSuchKey:
        return []
    return [line for line in data.splitlines() if line.strip()]


def _invoke(aws: Aws, name: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """The function's own report, or `error`: that it was throttled, has failed, or could not be reached."""
    try:
        reply = aws.functions.invoke(FunctionName=name, Payload=json.dumps(event).encode())
        found: dict[str, Any] = json.loads(reply["Payload"].read())
    except aws.errors as error:
        return {"error": code_of(error)}
    return {"error": str(found.get("errorType", "unknown"))} if "FunctionError" in reply else found


def _patient(settings: Settings, threads: int, seconds: float) -> Aws:
    return aws_of(replace(settings, store_threads=threads, store_timeout=seconds))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
