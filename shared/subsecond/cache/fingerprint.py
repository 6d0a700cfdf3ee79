"""By which fields two requests part, without their values: a short digest of each field, kept with the entry.

`cache explain` compares the digests of a request that nothing answers with those of the stored entries of its text. A
field takes its name and eight bytes: 90 for a request with a system text and three parameters. Digests are keyed by the
partition: equal ones say nothing across tenants. Three bytes part two values all but once in 16 million, and a value
that can be guessed can be tried, as it can with any digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from subsecond.cache.canonical import canonical_body
from subsecond.cache.key import KeyTerms, frame, split
from subsecond.model import Call, Request, Tenant

SIZE = 3
# Fields that are told apart; those beyond have one digest together.
MOST = 40
LONGEST_NAME = 60
REST = "other fields"
SYSTEM, EARLIER, LAST = "messages (system text)", "messages (earlier turns)", "messages (parts of the last turn)"
# Of what counts beside the body: under the names that its reader knows.
_FRAME = {
    "endpoint": "the route",
    "headers": "the headers that are passed on",
    "wall": "the wall (SUBSECOND_SCOPE)",
    "optimise": "x-subsecond-optimise",
    "quality": "subsecond.quality",
    "floor": "subsecond.floor",
    "prefer": "subsecond.prefer",
}
_PLAIN = {"role": "user", "content": None}


def fingerprint(request: Request) -> str:
    """A line for each field, digest first, in the order of the request."""
    key = request.tenant.partition.encode()[:64]
    parts = list(_parts(request.call, request.tenant, request.terms or KeyTerms()))
    if len(parts) > MOST:
        parts[MOST:] = [(REST, [said for _, said in parts[MOST:]])]
    return "\n".join(f"{_digest(key, said)} {' '.join(name[:LONGEST_NAME].split())}" for name, said in parts)


def parting(stored: str, asked: str) -> list[str]:
    """The fields that differ, or that one of the two has not. Empty where nothing was stored to compare with."""
    mine, theirs = _read(asked), _read(stored)
    return [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)] if theirs else []


def _read(text: str) -> dict[str, str]:
    return {name: digest for digest, _, name in (line.partition(" ") for line in text.splitlines())}


def _parts(call: Call, tenant: Tenant, terms: KeyTerms) -> Iterator[tuple[str, Iterable[Any]]]:
    beside = frame(call, tenant, terms)
    yield "model", [call.model]
    for name, told in _FRAME.items():
        if name in beside:
            yield told, [beside[name]]
    shape, _ = split(call, terms)
    for name, value in shape.items():
        if name == "messages":
            yield from _turns(value)
        elif name != "model":
            yield name, [value]
    if call.context is not None:
        yield "subsecond.context", [call.context]
    if call.compared is not None:
        yield "subsecond.compare", [call.compared]


def _turns(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Iterable[Any]]]:
    system = [one for one in messages if one.get("role") in ("system", "developer")]
    turns = [one for one in messages if one.get("role") not in ("system", "developer")]
    if system:
        yield SYSTEM, system
    if turns[:-1]:
        yield EARLIER, turns[:-1]
    if turns and turns[-1] != _PLAIN:
        yield LAST, turns[-1:]


def _digest(key: bytes, said: Iterable[Any]) -> str:
    found = blake2b(digest_size=SIZE, key=key)
    for value in said:
        found.update(_bytes(value))
    return found.hexdigest()


def _bytes(value: Any) -> bytes:
    """Without JSON where there are but texts: writing a conversation as such again costs half of what its key does."""
    if isinstance(value, str):
        return b"%d:" % len(data := value.encode("utf-8", "surrogatepass")) + data
    if isinstance(value, dict) and value.keys() == _PLAIN.keys() and isinstance(value["content"], str):
        return _bytes(value["role"]) + _bytes(value["content"])
    return canonical_body({"value": value})
