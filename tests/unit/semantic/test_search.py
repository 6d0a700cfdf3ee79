"""The search against brute force."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.semantic.index import search
from subsecond.semantic.index.search import Piece, centre_of, nearest, nearest_of_many, sketch_of
from subsecond.semantic.index.vectors import quantise


def brute(vectors, query, hidden):
    cosines = vectors @ query
    cosines[hidden] = -9
    return cosines


def pieces_of(vectors, cuts, hidden, centre):
    rows = quantise(vectors)
    edges = [0, *sorted(cuts), len(rows)]
    return [
        Piece(
            rows[a:b],
            None if centre is None else sketch_of(rows[a:b], centre),
            hidden[a:b] if hidden[a:b].any() else None,
        )
        for a, b in pairwise(edges)
        if a < b
    ]


@given(
    n=st.integers(1, 300),
    dim=st.sampled_from([8, 16, 65, 100]),
    k=st.integers(1, 12),
    cuts=st.lists(st.integers(0, 300), max_size=4),
    seed=st.integers(0, 2**16),
    dead_share=st.sampled_from([0, 0.3, 1]),
)
def test_an_exact_search_is_brute_force(n, dim, k, cuts, seed, dead_share):
    random = np.random.default_rng(seed)
    vectors, query = _unit(random, n, dim), _unit(random, 1, dim)[0]
    hidden = random.random(n) < dead_share
    truth = brute(vectors, query, hidden)
    pieces = pieces_of(vectors, [min(cut, n) for cut in cuts], hidden, None)
    positions, cosines = nearest(pieces, query, k, None)
    assert len(positions) == len(set(positions)) == min(k, n - hidden.sum())
    assert not hidden[positions].any()
    assert np.allclose(cosines, np.sort(truth)[::-1][: len(positions)], atol=1e-4)
    assert np.allclose(truth[positions], cosines, atol=1e-4)


@given(
    queries=st.integers(1, 5), n=st.integers(0, 200), k=st.integers(1, 3), seed=st.integers(0, 99), hidden=st.booleans()
)
def test_many_queries_find_what_each_finds_alone(queries, n, k, seed, hidden):
    random = np.random.default_rng(seed)
    vectors, asked = _unit(random, n, 24), _unit(random, queries, 24)
    mask = random.random(n) < (0.3 if hidden else 0)
    pieces = pieces_of(vectors, [n // 3], mask, None)
    for query, (positions, cosines) in zip(asked, nearest_of_many(pieces, asked, k, None), strict=True):
        alone, alone_cosines = nearest(pieces, query, k, None)
        assert np.allclose(cosines, alone_cosines, atol=1e-5)
        assert len(positions) == len(alone)


def texts_like(random, n, dim):
    """Vectors as embeddings lie: around common directions, with some dimensions that weigh more, in a cone."""
    weights = 1 / np.sqrt(1 + np.arange(dim) / 16)
    topics = random.standard_normal((n // 20, dim)) * weights
    vectors = topics[random.integers(0, len(topics), n)] + 0.9 * random.standard_normal((n, dim)) * weights
    vectors += 1.5 * random.standard_normal(dim) * weights
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("dim", [256, 384])
@pytest.mark.parametrize("cuts", [[], [300, 9000, 11_900]])
def test_two_stages_find_the_nearest(dim, cuts):
    random = np.random.default_rng(dim)
    vectors = texts_like(random, 12_300, dim)
    vectors, queries = vectors[:12_000], vectors[12_000:]
    hidden = random.random(12_000) < 0.1
    centre = centre_of(quantise(vectors))
    assert vectors.size > search.EXACT
    pieces = pieces_of(vectors, cuts, hidden, centre)
    for query in queries:
        truth = brute(vectors, query, hidden)
        positions, cosines = nearest(pieces, query, 3, centre)
        assert not hidden[positions].any()
        assert truth[positions[0]] > truth.max() - 5e-5
        assert cosines == pytest.approx(truth[positions], abs=1e-4)
        assert list(cosines) == sorted(cosines, reverse=True)


def test_a_crowd_of_near_duplicates_does_not_hide_the_nearest():
    """One template that fills most of each text: all rows are nearer than 0.8, and bits hardly tell them apart."""
    random = np.random.default_rng(5)
    template = 3 * _unit(random, 1, 256)[0]
    vectors = _unit(random, 12_050, 256) + template
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    vectors, queries = vectors[:12_000], vectors[12_000:]
    # The centre of another crowd: as wrong as it can be.
    centre = quantise(np.zeros(256, np.float32))
    pieces = pieces_of(vectors, [], np.zeros(12_000, bool), centre)
    for query in queries:
        truth = vectors @ query
        positions, _ = nearest(pieces, query, 1, centre)
        assert truth.min() > 0.8
        assert truth[positions[0]] > truth.max() - 5e-5


def test_pieces_without_a_sketch_are_compared_too():
    random = np.random.default_rng(6)
    vectors = texts_like(random, 12_000, 256)
    rows, own = quantise(vectors), quantise(vectors[:1])
    centre = centre_of(rows)
    positions, cosines = nearest([Piece(rows[1:], sketch_of(rows[1:], centre)), Piece(own)], vectors[0], 1, centre)
    assert positions.tolist() == [11_999]
    assert cosines[0] == pytest.approx(1, abs=1e-4)


def test_the_rows_are_compared_in_memory_that_is_kept():
    random = np.random.default_rng(8)
    pieces, queries = [Piece(quantise(_unit(random, 2_000, 256)))], _unit(random, 2, 256)
    nearest_of_many(pieces, queries, 1, None)
    tracemalloc.start()
    try:
        nearest(pieces, queries[0], 1, None)
        nearest_of_many(pieces, queries, 1, None)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Its results take 30 KB; the float32 rows of one chunk alone take 512.
    assert most < 100_000


def test_when_all_rows_are_dead_nothing_is_found():
    random = np.random.default_rng(7)
    vectors = texts_like(random, 12_000, 256)
    centre = centre_of(quantise(vectors))
    pieces = pieces_of(vectors, [], np.ones(12_000, bool), centre)
    assert nearest(pieces, vectors[0], 3, centre)[0].size == 0


@given(st.integers(1, 200), st.integers(8, 200), st.integers(0, 99))
def test_a_sketch_has_a_bit_for_each_number(n, dim, seed):
    rows = quantise(_unit(np.random.default_rng(seed), n, dim))
    centre = centre_of(rows)
    words = sketch_of(rows, centre)
    assert words.shape == (-(-dim // 64), n)
    bits = np.unpackbits(np.ascontiguousarray(words.T).view(np.uint8), axis=1)
    assert np.array_equal(bits[:, :dim], rows >= centre)
    assert not bits[:, dim:].any()


def _unit(random, n, dim):
    vectors = random.standard_normal((n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
