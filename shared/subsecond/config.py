"""The only place that reads the environment, and never at import."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

PREFIX = "SUBSECOND_"


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, with its default. The variable is the field's name in capitals behind `SUBSECOND_`.

    Times in seconds, sizes in bytes.
    """

    # Adapters, by file name in their folder.
    upstream: str = "openai"
    keys: str = "memory"
    exact: str = "memory"
    ledger: str = "memory"

    # The upstream.
    upstream_url: str = ""
    # The key itself, or where it lies: `secretsmanager:NAME`, `ssm:NAME`, with `#FIELD` for a field of a JSON secret.
    upstream_key: str = ""
    upstream_secret: str = ""
    secret_max_age: float = 300.0
    default_model: str = ""
    upstream_connections: int = 256
    connect_timeout: float = 5.0
    first_token_timeout: float = 60.0
    idle_timeout: float = 30.0
    total_timeout: float = 600.0
    upstream_retries: int = 2

    # The stores.
    answers_table: str = "subsecond-answers"
    state_table: str = "subsecond-state"
    bucket: str = "subsecond-index"
    store_threads: int = 8
    store_timeout: float = 1.0
    ttl: float = 86_400.0
    memory_bytes: int = 64 * 1024 * 1024

    # The semantic cache: `off`, or the policy that says when a neighbour may answer. Off, because a plain threshold
    # answers wrong questions too ("not", another number); `similarity` is the cosine that `threshold` wants.
    semantic: str = "off"
    similarity: float = 0.9
    embedder: str = "static"
    objects: str = "memory"
    # Seconds for the search and for what it waits for; past it the stage is a counted miss.
    semantic_timeout: float = 0.025
    index_memory: int = 256 * 1024 * 1024
    embedder_model: str = ""
    embedder_dim: int = 0
    embedder_url: str = ""
    embedder_key: str = ""
    embedder_threads: int = 1

    # Keys: how long a looked-up key is believed, which bounds how late a revocation takes effect.
    key_ttl: float = 30.0
    # One key known from the start, for STORES=memory and tests; tables hold the others.
    api_key: str = ""

    # The face.
    max_body: int = 6 * 1024 * 1024
    max_batch: int = 64
    batch_concurrency: int = 8

    # Statistics.
    flush_interval: float = 5.0

    # The simulator adapter.
    simulator_seed: int = 0

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Settings from `environ` (default: the process's). ValueError names the variable that does not fit."""
        source = os.environ if environ is None else environ
        types = get_type_hints(cls)
        found: dict[str, Any] = {}
        for field in fields(cls):
            name = PREFIX + field.name.upper()
            if name in source:
                found[field.name] = _read(name, source[name], types[field.name])
        return cls(**found)


def _read(name: str, text: str, kind: type) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{name}={text!r} is not {'a whole number' if kind is int else 'a number'}") from None
