"""OpenAI's embeddings on Titan's and Cohere's models: InvokeModel's bodies, and their replies as one of OpenAI's."""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

from subsecond.errors import InvalidRequest, UpstreamError
from subsecond.streaming.events import parsed
from subsecond.streaming.json_bytes import dump
from subsecond.upstreams.converse.content import unsupported
from subsecond.upstreams.converse.families import Family

TITAN, TITAN_2, COHERE, COHERE_4 = (
    "amazon.titan-embed-text", "amazon.titan-embed-text-v2", "cohere.embed-", "cohere.embed-v4",
)  # fmt: skip
# Texts of one call.
COHERE_BATCH: Final = 96
# What a text is for, where the request does not say (Cohere's `input_type`).
PURPOSE: Final = "search_document"
_CARRIED: Final = frozenset({"model", "input", "encoding_format", "dimensions", "input_type", "user"})


def embedding_requests(body: Mapping[str, Any], family: Family) -> list[dict[str, Any]]:
    """One body for each call of InvokeModel, in the order of the texts. InvalidRequest."""
    for name, value in body.items():
        if name not in _CARRIED and value not in (None, "", [], {}):
            raise unsupported(name, "these models have no such field.")
    if body.get("encoding_format", "float") not in ("float", "base64"):
        raise unsupported("encoding_format", "it is float or base64.")
    texts, dimensions = _texts(body.get("input")), body.get("dimensions")
    if family.name.startswith(TITAN):
        return [_titan(text, dimensions, family) for text in texts]
    if family.name.startswith(COHERE):
        purpose = body.get("input_type") or PURPOSE
        return [_cohere(texts[at : at + COHERE_BATCH], purpose, dimensions, family) for at in _starts(texts)]
    raise unsupported("model", "its embeddings are Titan's (text) and Cohere's.")


def _starts(texts: Sequence[str]) -> range:
    return range(0, len(texts), COHERE_BATCH)


def _texts(given: object) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise InvalidRequest("'input' must be a text or a list of texts.", param="input")
    if not all(isinstance(text, str) and text for text in texts):
        raise unsupported("input", "these models read texts, not tokens, and none that is empty.")
    return texts


def _titan(text: str, dimensions: object, family: Family) -> dict[str, Any]:
    if dimensions is None:
        return {"inputText": text}
    if not family.name.startswith(TITAN_2):
        raise unsupported("dimensions", "this model has vectors of one length.")
    return {"inputText": text, "dimensions": dimensions}


def _cohere(texts: list[str], purpose: object, dimensions: object, family: Family) -> dict[str, Any]:
    asked = {"texts": texts, "input_type": purpose, "embedding_types": ["float"]}
    if dimensions is None:
        return asked
    if not family.name.startswith(COHERE_4):
        raise unsupported("dimensions", "this model has vectors of one length.")
    return {**asked, "output_dimension": dimensions}


def embeddings_reply(body: Mapping[str, Any], replies: Sequence[tuple[bytes, int]]) -> bytes:
    """OpenAI's list. replies: of each call the body, and the tokens that Bedrock counted. UpstreamError."""
    vectors: list[Sequence[float]] = []
    for reply, _ in replies:
        vectors += _vectors(parsed(reply))
    packed = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": at, "embedding": _packed(vector) if packed else vector}
        for at, vector in enumerate(vectors)
    ]
    tokens = sum(count for _, count in replies)
    counted = {"prompt_tokens": tokens, "total_tokens": tokens}
    return dump({"object": "list", "data": data, "model": body["model"], "usage": counted})


def _vectors(reply: Any) -> list[Sequence[float]]:
    try:
        found = [reply["embedding"]] if "embedding" in reply else reply["embeddings"]
        vectors = list(found["float"] if isinstance(found, Mapping) else found)
        if all(isinstance(vector, list) and vector for vector in vectors):
            return vectors
    except (KeyError, TypeError):
        pass
    raise UpstreamError("Bedrock's embeddings are neither Titan's nor Cohere's.", code="upstream_no_answer")


def _packed(vector: Sequence[float]) -> str:
    """As OpenAI packs them: 32-bit floats, little-endian."""
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
