"""Any OpenAI-compatible `/v1/embeddings`, through the project's own upstream client.

It asks for base64, as OpenAI's own clients do: a quarter of the bytes. Lists of numbers are read too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from subsecond.aio.batcher import Batcher
from subsecond.config import Settings
from subsecond.errors import UpstreamError
from subsecond.semantic.embedders.support import remote
from subsecond.upstreams import openai
from subsecond.upstreams.openai import OpenAIUpstream

if TYPE_CHECKING:
    from subsecond.semantic.embedders.support.hashed import Floats

MODEL = "text-embedding-3-small"
# Half a megabyte of index for 256 entries. These models are made to be shortened (62.3 -> 61.6 of MTEB, by OpenAI).
DIM = 512
SHORTENED = "text-embedding-3"
# 8,191 tokens are the limit of OpenAI's models, and a character is hardly ever more than one.
MAX_CHARS = 8_000
# Texts in one call; OpenAI takes 2,048 and 300,000 tokens.
BATCH = 32


def build(settings: Settings) -> OpenAIEmbedder:
    """Without SUBSECOND_EMBEDDER_URL it is the upstream's server, with its key; no key goes to a server it is not for.

    Raises ValueError when the address is none, or the dimension is not told and not known.
    """
    model = settings.embedder_model or MODEL
    dim = settings.embedder_dim or (DIM if model.startswith(SHORTENED) else 0)
    if dim <= 0:
        raise ValueError(f"SUBSECOND_EMBEDDER_DIM must say how many numbers a vector of {model!r} has")
    if settings.embedder_url:
        key = settings.embedder_key
        settings = replace(settings, upstream_url=settings.embedder_url, upstream_key=key, upstream_secret="")
    return OpenAIEmbedder(openai.build(settings), model, dim)


class OpenAIEmbedder:
    """The port `Embedder`. What the server refuses, or answers wrongly, is an UpstreamError."""

    max_chars = MAX_CHARS

    def __init__(self, upstream: OpenAIUpstream, model: str, dim: int) -> None:
        self.id = f"openai-{remote.slug(model)}-{dim}-r1"
        self.dim = dim
        self._upstream = upstream
        self._model = model
        # The prompts of a list, and requests of the same moment, share a call.
        self._batcher: Batcher[str, Floats] = Batcher(self._ask, most=BATCH)

    async def embed(self, texts: Sequence[str]) -> Floats:
        """(n, dim)."""
        return await remote.around_blanks(texts, self.dim, self._batches)

    async def warm(self) -> None:
        """Open a connection. Raises UpstreamError."""
        await self._upstream.warm()

    async def aclose(self) -> None:
        await self._upstream.aclose()

    async def _batches(self, texts: Sequence[str]) -> list[Floats]:
        return await asyncio.gather(*map(self._batcher.ask, texts))

    async def _ask(self, texts: Sequence[str]) -> list[Floats]:
        body: dict[str, object] = {"model": self._model, "input": list(texts), "encoding_format": "base64"}
        # Other servers refuse the field, or ignore it and send what they have.
        if self._model.startswith(SHORTENED):
            body["dimensions"] = self.dim
        reply = await self._upstream.fetch("/embeddings", body, None)
        return [remote.row(value, self.dim) for value in _vectors(reply.body, len(texts))]


def _vectors(body: bytes, count: int) -> list[object]:
    """The `embedding` of each text in the order asked. UpstreamError when the reply has another form."""
    try:
        items = json.loads(body)["data"]
        found = {int(item["index"]): item["embedding"] for item in items}
    except (ValueError, TypeError, KeyError):
        raise UpstreamError("The embedder's reply is not an OpenAI embeddings object.") from None
    if len(items) != count or sorted(found) != list(range(count)):
        raise UpstreamError(f"The embedder's reply does not hold one vector for each of {count} texts.")
    return [found[index] for index in range(count)]
