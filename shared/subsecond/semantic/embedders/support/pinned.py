"""Reads weights of third parties, and refuses them unless they are byte for byte the tested ones."""

from __future__ import annotations

import hashlib
from pathlib import Path

from subsecond.errors import Unavailable

DATA = Path(__file__).parent.parent / "data"


def pinned(path: Path, sha256: str) -> bytes:
    """The file's bytes. Unavailable when it is missing or another one. Hashing costs about 1 ms for each 2 MB."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Unavailable(f"The embedder's file {path.name} cannot be read.") from error
    check(path.name, content, sha256)
    return content


def check(name: str, content: bytes | memoryview, sha256: str) -> None:
    if hashlib.sha256(content).hexdigest() != sha256:
        raise Unavailable(f"The embedder's file {name} is not the one that is pinned.")
