"""Amazon Titan Text Embeddings V2 on Bedrock, in the threads of `subsecond.aws.client`.

The model takes one text a call. The function's role needs `bedrock:InvokeModel` on the model.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from subsecond.aws.client import Aws, aws_of
from subsecond.config import Settings
from subsecond.errors import UpstreamError
from subsecond.semantic.embedders.support import remote

if TYPE_CHECKING:
    from subsecond.semantic.embedders.support.hashed import Floats

MODEL = "amazon.titan-embed-text-v2:0"
# The sizes that the model can give. 512 keep 99 % of the accuracy of 1,024, by AWS.
DIMS = (256, 512, 1024)
DIM = 512
# The model takes 8,192 tokens.
MAX_CHARS = 8_000


def build(settings: Settings) -> BedrockEmbedder:
    """Raises ValueError when the model has no vectors of the dimension asked for."""
    dim = settings.embedder_dim or DIM
    if dim not in DIMS:
        raise ValueError(f"SUBSECOND_EMBEDDER_DIM={dim}: Titan's vectors have {', '.join(map(str, DIMS))} numbers")
    return BedrockEmbedder(aws_of(settings), settings.embedder_model or MODEL, dim)


class BedrockEmbedder:
    """The port `Embedder`. What Bedrock refuses is raised as botocore raises it; a wrong reply is an UpstreamError."""

    max_chars = MAX_CHARS

    def __init__(self, aws: Aws, model: str, dim: int) -> None:
        self.id = f"bedrock-{remote.slug(model)}-{dim}-r1"
        self.dim = dim
        self._aws = aws
        self._model = model

    async def embed(self, texts: Sequence[str]) -> Floats:
        """(n, dim)."""
        return await remote.around_blanks(texts, self.dim, self._all)

    async def _all(self, texts: Sequence[str]) -> list[Floats]:
        return await asyncio.gather(*(self._aws.run(partial(self._ask, text)) for text in texts))

    def _ask(self, text: str) -> Floats:
        request = {"inputText": text, "dimensions": self.dim, "normalize": True}
        reply = self._aws.bedrock.invoke_model(
            modelId=self._model, contentType="application/json", accept="application/json", body=json.dumps(request)
        )
        try:
            vector = json.loads(reply["body"].read())["embedding"]
        except (ValueError, TypeError, KeyError):
            raise UpstreamError("The embedder's reply is not one of Titan's.") from None
        return remote.row(vector, self.dim)
