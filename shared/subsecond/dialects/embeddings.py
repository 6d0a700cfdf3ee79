"""OpenAI's embeddings: a request has a person and a path. Its answer, which is no text, `cache/embeddings.py` reads."""

from __future__ import annotations

from subsecond.dialects.choices import Choices


class Embeddings(Choices):
    """`POST /v1/embeddings`."""

    endpoint = "embeddings"
    name = "OpenAI's embeddings API"
    path = "/embeddings"


DIALECT = Embeddings()
