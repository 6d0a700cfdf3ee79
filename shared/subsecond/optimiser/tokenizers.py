"""Loads a model's own tokenizer from a file on disk. Nothing is ever fetched.

`.tiktoken`: OpenAI's vocabularies (o200k, cl100k), read with the package `tiktoken`. Its own loader would fetch them at
the first use, which hangs a function without internet access; here they are read from the file that the setting names.
`.json`: a `tokenizer.json`, read with the package `tokenizers`. Neither package is part of the layer.
"""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import Protocol

# How the two families cut a text before they look into the vocabulary (tiktoken's openai_public, MIT).
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_O200K = "|".join(
    [
        rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}]*[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]+{_CONTRACTION}?",
        rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}]+[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]*{_CONTRACTION}?",
        r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ]
)
_CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
    r"|\s+(?!\S)|\s"
)
# cl100k has 100,256 entries, o200k 199,998.
_CL100K_ENTRIES = 150_000


class TokenCounter(Protocol):
    """Counts a text's tokens. `exact`: by the model's own tokenizer, else by an estimate."""

    exact: bool
    name: str

    def count(self, text: str) -> int: ...


def load(path: Path) -> TokenCounter:
    """Raises OSError, ImportError (the package is not installed), ValueError (no vocabulary)."""
    return _Tiktoken(path) if path.suffix != ".json" else _HuggingFace(path)


def vocabulary(path: Path) -> list[bytes]:
    """The tokens of a `.tiktoken` file, by rank."""
    return [b64decode(line.split()[0]) for line in path.read_bytes().splitlines()]


class _Tiktoken:
    exact = True

    def __init__(self, path: Path) -> None:
        import tiktoken  # optional, and only where a file is named

        ranks = {token: rank for rank, token in enumerate(vocabulary(path))}
        large = len(ranks) > _CL100K_ENTRIES
        self.name = "o200k" if large else "cl100k"
        pattern = _O200K if large else _CL100K
        self._encoding = tiktoken.Encoding(self.name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})

    def count(self, text: str) -> int:
        return len(self._encoding.encode_ordinary(text))


class _HuggingFace:
    exact = True

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer

        self.name = path.stem
        self._tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
        self._tokenizer.no_truncation()

    def count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False))
