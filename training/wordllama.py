"""WordLlama's 256-dimensional table, from its wheel, to compare with. None of it is shipped."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from subsecond.semantic.embedders.support import hashed

# wordllama 0.4.0.post1
WEIGHTS = "wordllama/weights/l2_supercat_256.safetensors"
WEIGHTS_SHA256 = "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5"
PIECES = "wordllama/tokenizers/l2_supercat_tokenizer_config.json"
PIECES_SHA256 = "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68"


class WordLlama:
    """The port `Embedder`: the sum of a text's rows, at length 1. The pieces are bytes at worst, so none is unknown."""

    id = "wordllama-256-0.4.0"
    dim = 256
    max_chars = 8_000

    def __init__(self, wheel: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            weights = _pinned(archive.read(WEIGHTS), WEIGHTS_SHA256)
            pieces = _pinned(archive.read(PIECES), PIECES_SHA256)
        # safetensors: the header's length, the header, the numbers.
        length = int.from_bytes(weights[:8], "little")
        (shape,) = (tensor["shape"] for tensor in json.loads(weights[8 : 8 + length]).values() if "shape" in tensor)
        self._table = np.frombuffer(weights, np.float16, offset=8 + length).reshape(shape)
        self._tokenizer = Tokenizer.from_str(pieces.decode())
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, 256)."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        sums = [self._table[np.array(found.ids, np.intp)].astype(np.float32).sum(0) for found in encodings]
        return hashed.stack([hashed.unit(total, text) for total, text in zip(sums, texts, strict=True)], self.dim)


def _pinned(content: bytes, sha256: str) -> bytes:
    if hashlib.sha256(content).hexdigest() != sha256:
        raise SystemExit("the wheel holds other files than the pinned ones")
    return content
