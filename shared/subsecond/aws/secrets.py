"""A secret in AWS by its reference, remembered for a while: the upstream's key. `secret_stores` asks."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from subsecond.clock import within
from subsecond.errors import Unavailable

STORES = ("secretsmanager", "ssm")
# Seconds until a store that failed is asked again, while the last secret known goes on.
RETRY = 10.0
# Seconds between two readings because the upstream refused what was read: each refused call would cost one.
REREAD = 60.0

log = logging.getLogger("subsecond")

# By reference: the secret, when it was read, and for how many seconds it is believed.
_known: dict[str, tuple[str, float, float]] = {}
# By reference: when it was last forgotten, on the same clock.
_forgotten: dict[str, float] = {}
_reading = Lock()


async def secret(reference: str, max_age: float) -> str:
    """The secret, at most `max_age` seconds old while its store answers; when it does not, the last one known.

    reference: see `parse`. Unavailable when nothing was ever read and the store does not give it.
    """
    known = _believed(reference)
    return known if known is not None else await asyncio.to_thread(_refresh, reference, max_age)


def secret_at_start(reference: str) -> str:
    """The secret, or whatever else lies there, for a process that starts: it waits. ValueError without it."""
    parse(reference)
    try:
        # A thread of its own: where an event loop is running already, another one can not be run in this thread.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(secret(reference, math.inf))).result()
    except Unavailable:
        raise ValueError(f"{reference} cannot be read; the log tells more") from None


def forget(reference: str) -> None:
    """Ask the store next time: the upstream refuses what we know, so it may have been rotated. At most once in REREAD:
    a key that is simply wrong is refused with every call."""
    known, now = _known.get(reference), time.time()
    if known and not 0 <= now - _forgotten.get(reference, -REREAD) < REREAD:
        _forgotten[reference] = now
        _known[reference] = (known[0], 0.0, 0.0)


def forget_all() -> None:
    """Know nothing any more: a snapshot holds no secret, and after one each may have been rotated."""
    _known.clear()
    _forgotten.clear()


def parse(reference: str) -> tuple[str, str, str]:
    """Store, name and field of `secretsmanager:NAME_OR_ARN`, `ssm:NAME`, or either with `#FIELD` behind it, which takes
    one field of a JSON object. ValueError when it is none of these."""
    store, _, name_and_field = reference.partition(":")
    name, _, field = name_and_field.partition("#")
    if store not in STORES or not name:
        raise ValueError(f"{reference!r} is not like secretsmanager:NAME, secretsmanager:NAME#FIELD or ssm:NAME")
    return store, name, field


def _believed(reference: str) -> str | None:
    known = _known.get(reference)
    return known[0] if known and within(known[1], known[2], time.time()) else None


def _refresh(reference: str, max_age: float) -> str:
    # One at a time: those who waited find it read.
    with _reading:
        known = _believed(reference)
        if known is not None:
            return known
        found, age = _read(reference), max_age
        if found is None:
            if reference not in _known:
                raise Unavailable("The upstream's key cannot be read from its store. The gateway's log tells more.")
            found, age = _known[reference][0], RETRY
        _known[reference] = (found, time.time(), age)
        return found


def _read(reference: str) -> str | None:
    """What the store gives; None, and a line in the log without the secret, when that is nothing of use."""
    from subsecond.aws.secret_stores import GetParameterError, read  # boto3, 0.4 s, often never needed

    store, name, field = parse(reference)
    try:
        return _plain(read(store, name), field)
    except (GetParameterError, ValueError) as error:
        # Powertools wraps what boto3 raised: that names the secret. What a parser raises may quote it.
        why = str(error) if isinstance(error, GetParameterError) else type(error).__name__
        log.error("the secret %s cannot be read: %s", reference, why)  # noqa: TRY400 - a traceback may quote it, too
        return None


def _plain(text: object, field: str) -> str:
    """The secret itself. ValueError when it is not where `field` says, or is no text."""
    value = text
    if field:
        fields = json.loads(str(text))
        value = fields.get(field) if isinstance(fields, dict) else None
    if not isinstance(value, str) or not value.strip():
        raise ValueError("there is no text")
    return value.strip()
