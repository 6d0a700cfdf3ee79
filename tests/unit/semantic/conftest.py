"""Builders for vectors, changes and segments."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pytest

from subsecond.semantic.index.entries import merge
from subsecond.semantic.index.partition_index import block_of
from subsecond.semantic.index.records import Change, part_of
from subsecond.semantic.index.segments import IndexId
from subsecond.semantic.index.vectors import quantise


@pytest.fixture
def index_id():
    return IndexId("acme:prod", "hashing-16", 16)


@pytest.fixture
def unit():
    """`unit(n, dim, seed)`: random vectors of length 1, float32."""

    def make(n, dim=16, seed=0):
        vectors = np.random.default_rng(seed).standard_normal((n, dim))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    return make


@pytest.fixture
def change(unit):
    """`change("a", created=1)`: an entry; `row=False`: its deletion; `used=5` with it: a mark of its hit."""

    def make(name, *, created=1, expires=100, used=0, scope="s", row=True, vector=None):
        if vector is None:
            vector = unit(1, seed=sha256(name.encode()).digest()[0])[0]
        return Change(
            sha256(name.encode()).digest(),
            sha256(scope.encode()).digest(),
            created,
            expires,
            used,
            quantise(vector) if row else None,
        )

    return make


@pytest.fixture
def merged():
    """`folded([changes], others, now)`: a part as a segment holds it."""

    def make(changes, others=(), now=0.0, dim=16, **options):
        return merge([part_of(changes, dim)], list(others), now, **options)

    return make


@pytest.fixture
def block(merged):
    """`block("id", [changes])`: a segment in memory."""

    def make(name, changes, dim=16):
        part = merged(changes, dim=dim)
        return block_of(name, part.vectors, part.ids)

    return make
