import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.semantic.index.vectors import SCALE, pack, quantise, unpack


def test_a_vector_comes_back_from_its_bytes(unit):
    vector = unit(1, 384)[0]
    packed = pack(vector)
    assert len(packed) == 2 * 384
    assert np.allclose(unpack(packed) / SCALE, vector, atol=0.5 / SCALE + 1e-7)


def test_a_cosine_is_off_by_a_hundred_thousandth(unit):
    a, b = unit(500, 256, seed=1), unit(500, 256, seed=2)
    errors = np.vecdot(quantise(a) / SCALE, b) - np.vecdot(a, b)
    assert np.abs(errors).max() < 5e-5


def test_components_beyond_one_do_not_wrap_round():
    assert quantise(np.array([1.0000001, -1.0000001], np.float32)).tolist() == [SCALE, -SCALE]


@given(st.binary(max_size=300))
def test_other_bytes_are_refused_or_have_length_one(data):
    try:
        row = unpack(data)
    except ValueError:
        return
    assert np.linalg.norm(row.astype(float)) / SCALE == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("dim", [0, 4, 5000])
def test_strange_sizes_are_refused(dim):
    with pytest.raises(ValueError, match="size"):
        unpack(bytes(2 * dim))


def test_a_zero_vector_is_refused():
    with pytest.raises(ValueError, match="normalised"):
        unpack(bytes(32))
