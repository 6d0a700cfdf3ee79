"""The format: what was written is read, numpy can read it too, and what was damaged in any way is refused."""

import io
import json
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subsecond.semantic.index.segments import (
    IDS,
    Damaged,
    IndexId,
    Manifest,
    Part,
    decode_ids,
    decode_manifest,
    decode_matrix,
    encode,
    encode_manifest,
    index_id_of,
    size_of,
)

ID = "0" * 32
FIXTURES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def part(merged, change):
    rows = [change(f"r{n}", scope=f"s{n % 3}") for n in range(7)]
    return merged([*rows, change("gone", row=False), change("hit", row=False, used=4)])


@pytest.fixture
def encoded(part):
    return encode(part, ID)


def test_a_segment_comes_back(part, encoded):
    segment, matrix, ids = encoded
    assert (segment.rows, segment.tombstones) == (7, 1)  # the hit of an unknown entry is not kept
    assert segment.bytes == len(matrix) + len(ids) == size_of(7, 1, 16)
    assert np.array_equal(decode_matrix(segment, 16, matrix), part.vectors)
    assert decode_ids(segment, ids).tolist() == part.ids.tolist()


def test_numpy_reads_it_without_pickle(part, encoded):
    _, matrix, ids = encoded
    assert np.array_equal(np.load(io.BytesIO(matrix), allow_pickle=False), part.vectors)
    loaded = np.load(io.BytesIO(ids), allow_pickle=False)
    assert loaded.dtype == IDS
    assert loaded.tolist() == part.ids.tolist()


def test_data_lies_aligned(encoded):
    for data in encoded[1:]:
        assert (10 + int.from_bytes(data[8:10], "little")) % 64 == 0


def test_a_segment_of_tombstones_alone_comes_back(merged, change):
    segment, matrix, ids = encode(merged([change("gone", row=False)]), ID)
    assert decode_matrix(segment, 16, matrix).shape == (0, 16)
    assert len(decode_ids(segment, ids)) == 1


@FIXTURES
@given(data=st.data())
def test_any_changed_byte_is_noticed(encoded, data):
    segment, matrix, ids = encoded
    which = data.draw(st.sampled_from(["matrix", "ids"]))
    blob = bytearray(matrix if which == "matrix" else ids)
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Damaged):
        decode_matrix(segment, 16, bytes(blob)) if which == "matrix" else decode_ids(segment, bytes(blob))


@FIXTURES
@given(cut=st.integers(0, 400), more=st.binary(max_size=8))
def test_cut_and_lengthened_objects_are_noticed(encoded, cut, more):
    segment, matrix, ids = encoded
    with pytest.raises(Damaged):
        decode_matrix(segment, 16, matrix[:-1][:cut] + more)
    with pytest.raises(Damaged):
        decode_ids(segment, ids + b"\0" + more)


def test_another_shape_or_type_under_a_right_hash_is_noticed(part, encoded):
    segment, matrix, ids = encoded
    pickled = io.BytesIO()
    np.save(pickled, np.array([{"a": 1}], object), allow_pickle=True)
    turned = encode(Part(part.vectors.reshape(14, 8), part.ids), ID)[1]
    for forged in (pickled.getvalue(), turned, ids):
        claimed = replace(segment, sha256=sha256(forged).hexdigest(), ids_sha256=sha256(forged).hexdigest())
        with pytest.raises(Damaged):
            decode_matrix(claimed, 16, forged)
    claimed = replace(segment, ids_sha256=sha256(matrix).hexdigest())
    with pytest.raises(Damaged):
        decode_ids(claimed, matrix)


def test_rows_that_are_not_sorted_by_scope_are_noticed(part):
    segment, _, ids = encode(Part(part.vectors, part.ids[::-1]), ID)
    with pytest.raises(Damaged, match="sorted"):
        decode_ids(segment, ids)


def test_a_manifest_comes_back(index_id, encoded):
    manifest = Manifest(index_id, (encoded[0],), revision=3, rebuild=True)
    data = encode_manifest(manifest)
    assert decode_manifest(data, index_id) == manifest
    assert json.loads(data)["tombstones"] == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 2),
        ("dtype", "<f4"),
        ("dim", 17),
        ("embedder", "another"),
        ("partition", "umbrella:prod"),
        ("revision", -1),
        ("revision", True),
        ("segments", None),
        ("segments", [{}]),
        ("segments", 5),
    ],
)
def test_a_manifest_of_another_kind_is_refused(index_id, encoded, field, value):
    found = json.loads(encode_manifest(Manifest(index_id, (encoded[0],))))
    with pytest.raises(Damaged):
        decode_manifest(json.dumps({**found, field: value}).encode(), index_id)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "../../secret"),
        ("id", ID[:-1]),
        ("sha256", "x"),
        ("rows", 8),
        ("rows", -7),
        ("bytes", 1 << 40),
        ("rows", 7.0),
    ],
)
def test_a_segment_with_strange_values_is_refused(index_id, encoded, field, value):
    found = json.loads(encode_manifest(Manifest(index_id, (encoded[0],))))
    found["segments"][0][field] = value
    with pytest.raises(Damaged):
        decode_manifest(json.dumps(found).encode(), index_id)


def test_a_segment_named_twice_is_refused(index_id, encoded):
    with pytest.raises(Damaged):
        decode_manifest(encode_manifest(Manifest(index_id, (encoded[0], encoded[0]))), index_id)


@given(st.binary(max_size=200))
def test_other_bytes_are_no_manifest(data):
    with pytest.raises(Damaged):
        decode_manifest(data, IndexId("a:b", "m", 16))


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    st.integers(8, 4096),
)
def test_every_place_has_a_prefix_of_its_own(partition, embedder, dim):
    index_id = IndexId(partition, embedder, dim)
    assert index_id_of(index_id.prefix) == index_id
    assert index_id.prefix.count("/") == 3


def test_other_prefixes_are_no_place():
    for prefix in ("index/", "index/a/", "index/a/b/c/", "index/a/b/", "answers/a:b/m-16/", "index/a:b/m-016/"):
        with pytest.raises(ValueError):  # noqa: PT011 -- which one does not matter
            index_id_of(prefix)
