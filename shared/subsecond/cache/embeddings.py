"""A request for embeddings taken apart into its items, and a reply put together from what is kept of each.

Vectors are never parsed: 2,048 of 3,072 numbers would be 200 MB of Python objects. Each is cut out of the reply and
put into another one byte for byte, so that a kept answer has the very digits that the upstream gave.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeAlias, TypeGuard

from subsecond.cache.canonical import canonical, canonical_body
from subsecond.cache.invalidation import Place
from subsecond.errors import UpstreamError, UpstreamUnreachable
from subsecond.streaming.disguise import error_in
from subsecond.streaming.events import parsed
from subsecond.streaming.json_bytes import dump

# A text, or a text as tokens.
Item: TypeAlias = str | list[int]

# Fields that act on each item alone, so that a list may be asked in parts. OpenAI, Mistral and Voyage (dimensions,
# encoding, dtype); NVIDIA NIM, Cohere and Voyage (input_type); TEI, NIM, Voyage and vLLM (truncation, norms); Jina
# (task). Any other field keeps a request whole: Jina's `late_chunking` makes one text out of the list.
PER_ITEM = frozenset({
    "model", "input", "user", "dimensions", "encoding_format", "output_dimension", "output_dtype", "input_type", "task",
    "truncate", "truncation", "truncate_prompt_tokens", "normalize", "normalized",
})  # fmt: skip

_FIELD = re.compile(rb'"embedding"\s*:\s*(?=[\["])')
_CLOSING = {ord("["): b"]", ord('"'): b'"'}
# What a vector is written in: numbers (none of them `NaN`), or base64.
_NUMBERS = b"0123456789+-.eE, \t\r\n"
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_"


@dataclass(frozen=True, slots=True, eq=False)
class ItemEmbedding:
    """One item's embedding. value: its JSON, as the upstream said it; beside: what stood beside it in its list, less
    its index; around: what stood around the list. tokens: of the item, None where nobody counted; estimated: whether
    that is the item's share in the count of a list."""

    value: bytes
    beside: Mapping[str, Any]
    around: Mapping[str, Any]
    tokens: int | None
    estimated: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class KeptEmbedding:
    """An embedding in the cache. `created` (of its request) and `expires` in epoch seconds. places: the kinds and
    values of the rules that cover it."""

    embedding: ItemEmbedding
    created: float
    expires: float
    places: tuple[Place, ...]


def items_of(body: Mapping[str, Any], ignored: Container[str] = ()) -> list[Item] | None:
    """The items, where each may be asked by itself; None where the request goes as it came: pictures, an input of a
    shape that is not known, a field that nobody knows. ignored: the fields that cannot change an answer."""
    if any(not (value is None or name in PER_ITEM or name in ignored) for name, value in body.items()):
        return None
    asked = body.get("input")
    if isinstance(asked, str) or _is_tokens(asked):
        return [asked]
    if isinstance(asked, list) and asked and (all(map(_is_text, asked)) or all(map(_is_tokens, asked))):
        return asked
    return None


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_tokens(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and bool(value) and all(type(one) is int for one in value)


def keys_of(body: Mapping[str, Any], items: Iterable[Item], ignored: Container[str] = ()) -> list[bytes]:
    """A digest for each item, equal where an equal answer is asked for: SHA-256 of the fields that count and the item.
    Whether numbers or base64 are asked for counts, because nothing is converted."""
    start = sha256(canonical_body({name: one for name, one in body.items() if name not in ignored and name != "input"}))
    keys = []
    for item in items:
        digest = start.copy()
        digest.update(canonical({"item": item}))
        keys.append(digest.digest())
    return keys


def refused(body: bytes) -> UpstreamError | None:
    """Why a reply with a good status is none; None where it is one, of whatever shape."""
    if _FIELD.search(body):
        return None
    if not body.strip():
        return UpstreamUnreachable("The upstream answered with an empty body.")
    if (told := parsed(body)) is None:
        return UpstreamUnreachable("The upstream's answer is not JSON.")
    return None if isinstance(told, dict) and told.get("data") else error_in(told)


def taken_apart(body: bytes, items: Sequence[Item]) -> tuple[list[ItemEmbedding] | None, Mapping[str, Any] | None]:
    """The embedding of each item of the request that the reply answers, None where it is not plain whose is which; and
    the reply's own count."""
    plain, values = _cut(body)
    told = parsed(plain)
    if not isinstance(told, dict):
        return None, None
    usage = told.get("usage")
    usage = usage if isinstance(usage, dict) else None
    found = _by_index(told.get("data"), values)
    if found is None or not items or found.keys() != set(range(len(items))):
        return None, usage
    around = {name: value for name, value in told.items() if name not in ("data", "usage")}
    shares, estimated = _shares(usage, items)
    return [
        ItemEmbedding(*found[index], around, tokens, estimated=estimated) for index, tokens in enumerate(shares)
    ], usage


def _by_index(data: object, values: Sequence[bytes]) -> dict[int, tuple[bytes, dict[str, Any]]] | None:
    """Each vector, and what stands beside it, by the index that it has; None where a row has none of either."""
    if not isinstance(data, list) or len(data) != len(values):
        return None
    found: dict[int, tuple[bytes, dict[str, Any]]] = {}
    for at, one in enumerate(data):
        index = one.get("index") if isinstance(one, dict) else None
        if type(index) is not int or one.get("embedding") != at or not _is_vector(values[at]):
            return None
        found[index] = values[at], {name: told for name, told in one.items() if name not in ("embedding", "index")}
    return found if len(found) == len(data) else None


def joined(found: Sequence[ItemEmbedding]) -> bytes:
    """One reply with these embeddings in this order. Its usage is their sum; `estimated` where shares are in it."""
    parts = [_opened(found[-1].around), b'"data":[']
    for index, one in enumerate(found):
        parts += b"," if index else b"", _opened({**one.beside, "index": index}), b'"embedding":', one.value, b"}"
    counted = [one.tokens for one in found if one.tokens is not None]
    parts.append(b"]")
    if len(counted) == len(found):
        usage: dict[str, Any] = {"prompt_tokens": sum(counted), "total_tokens": sum(counted)}
        usage |= {"estimated": True} if any(one.estimated for one in found) else {}
        parts += b',"usage":', dump(usage)
    return b"".join((*parts, b"}"))


def _opened(fields: Mapping[str, Any]) -> bytes:
    """A JSON object to which a field may be added."""
    return dump(fields)[:-1] + (b"," if fields else b"")


def _cut(body: bytes) -> tuple[bytes, list[bytes]]:
    """The reply with the ordinal of each embedding in its place, and the embeddings."""
    rest: list[bytes] = []
    values: list[bytes] = []
    at = 0
    while field := _FIELD.search(body, at):
        start = field.end()
        end = body.find(_CLOSING[body[start]], start + 1) + 1
        if not end:
            break
        rest += body[at:start], b"%d" % len(values)
        values.append(body[start:end])
        at = end
    return b"".join((*rest, body[at:])), values


def _is_vector(value: bytes) -> bool:
    inner, signs = value[1:-1], _NUMBERS if value.startswith(b"[") else _BASE64
    return bool(inner.strip()) and not inner.translate(None, signs)


def _shares(usage: object, items: Sequence[Item]) -> tuple[Sequence[int | None], bool]:
    """The tokens of each item, and whether they are estimated: a reply counts its whole list. Token arrays say their
    own where they add up to it; texts get shares by their length. The sum is what the upstream said in any case."""
    total = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    if type(total) is not int or total < 0:
        return [None] * len(items), False
    if len(items) == 1:
        return [total], False
    weights = [len(one.encode("utf-8", "surrogatepass")) if isinstance(one, str) else len(one) for one in items]
    whole = sum(weights)
    if whole == total and not any(isinstance(one, str) for one in items):
        return weights, False
    shares, before, given = [], 0, 0
    for weight in weights:
        before += weight
        upto = total * before // whole if whole else total
        shares.append(upto - given)
        given = upto
    return shares, True
