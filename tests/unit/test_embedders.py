"""Each embedder's own ways: what it refuses, what it loads, what it sends."""

import base64
import io
import json
import shutil
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from subsecond.aws.client import aws_of
from subsecond.config import Settings
from subsecond.errors import Unavailable, UpstreamError
from subsecond.semantic.embedders import bedrock, hashing, openai, static
from subsecond.semantic.embedders.support import hashed, remote, wordpiece
from subsecond.semantic.embedders.support.pinned import DATA
from subsecond.semantic.guards import lexicon

STATIC = static.build(Settings())
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)


async def embed(embedder, texts):
    return await embedder.embed(texts)


@given(st.lists(ANY_TEXT, max_size=5), st.sampled_from([STATIC, hashing.build(Settings())]))
async def test_any_texts_have_vectors_of_length_one_that_company_does_not_change(texts, embedder):
    vectors = await embedder.embed(texts)
    assert vectors.shape == (len(texts), embedder.dim)
    assert np.isfinite(vectors).all()
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for text, vector in zip(texts, vectors, strict=True):
        assert np.array_equal((await embedder.embed([text]))[0], vector)


@given(ANY_TEXT, st.sampled_from([STATIC, hashing.build(Settings())]))
async def test_any_text_and_its_normal_forms_have_one_vector(text, embedder):
    vectors = await embedder.embed([unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)])
    assert np.array_equal(vectors[0], vectors[1])


@given(st.text(), st.text(), st.integers(1, 1024))
def test_directions_are_unit_vectors_and_other_texts_have_others(one, other, dim):
    first, second = hashed.direction(one, dim), hashed.direction(other, dim)
    assert first.shape == (dim,)
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-5)
    if one != other and dim >= 256:
        assert abs(first @ second) < 0.5


def test_directions_stay_what_they_are_because_indexes_hold_them():
    assert np.sign(hashed.direction("🍕", 16)).astype(int).tolist() == [
        -1,
        -1,
        1,
        -1,
        -1,
        1,
        1,
        1,
        1,
        1,
        -1,
        1,
        -1,
        -1,
        1,
        -1,
    ]


async def test_case_and_accents_do_not_count_for_the_static_embedder_and_words_do():
    one, same, other = await STATIC.embed(["Résumé for ANNA", "resume for anna", "resume for otto"])
    assert np.array_equal(one, same)
    assert one @ other < 0.95


@pytest.mark.parametrize("file", [static.TABLE, static.SCALES])
def test_a_table_with_one_changed_byte_is_refused(tmp_path, file):
    folder = shutil.copytree(DATA, tmp_path / "data")
    content = bytearray((folder / file).read_bytes())
    content[-1] ^= 1
    (folder / file).write_bytes(content)
    with pytest.raises(Unavailable, match="pinned"):
        static.load(folder)


@pytest.mark.parametrize("content", [b"", b"nothing", b"\x93NUMPY\x01\x00"])
def test_a_broken_table_is_refused(tmp_path, content):
    folder = shutil.copytree(DATA, tmp_path / "data")
    (folder / static.TABLE).write_bytes(content)
    with pytest.raises(Unavailable):
        static.load(folder)


def test_a_process_has_its_table_and_its_vocabulary_once():
    """Twice they would take 13 MB more, and 17 ms of an environment's first miss."""
    assert lexicon.table() is STATIC
    assert wordpiece.load() is wordpiece.load()


def test_a_table_of_another_shape_or_type_or_with_objects_is_refused(tmp_path):
    folder = shutil.copytree(DATA, tmp_path / "data")
    for array in (np.zeros((2, 256), np.int8), np.zeros((static.ROWS, 256), np.uint8), np.array([{}], dtype=object)):
        np.save(folder / static.TABLE, array)
        with pytest.raises(Unavailable):
            static.load(folder)


def test_the_static_embedder_needs_no_network_and_little_else():
    script = """
import sys, asyncio
def watch(event, arguments):
    if event.startswith("socket.") and event not in ("socket.__new__", "socket.bind"):
        raise SystemExit(event)
from subsecond.config import Settings
from subsecond.semantic.embedders import static
sys.addaudithook(watch)
vector = static.build(Settings()).vector("How do I reset my password?")
assert vector.shape == (256,)
heavy = {"torch", "onnxruntime", "tokenizers", "transformers", "boto3", "openai", "httpx2"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_importing_and_building_load_no_model_and_no_client():
    script = """
import sys
from subsecond.config import Settings
from subsecond.semantic.embedders import bedrock
from subsecond.semantic.embedders import hashing
from subsecond.semantic.embedders import minilm
from subsecond.semantic.embedders import openai
from subsecond.semantic.embedders import static
openai.build(Settings(upstream_url="http://127.0.0.1:9/v1"))
bedrock.build(Settings())
heavy = {"onnxruntime", "tokenizers", "boto3", "botocore", "openai", "httpx2"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_the_dimension_of_an_unknown_model_must_be_told():
    with pytest.raises(ValueError, match="SUBSECOND_EMBEDDER_DIM"):
        openai.build(Settings(upstream_url="http://127.0.0.1:9/v1", embedder_model="nomic-embed-text"))
    with pytest.raises(ValueError, match="SUBSECOND_EMBEDDER_DIM"):
        bedrock.build(Settings(embedder_dim=300))


def test_a_models_name_becomes_part_of_an_object_key():
    made = openai.build(Settings(upstream_url="http://h/v1", embedder_model="BAAI/bge m3:x", embedder_dim=1024))
    assert made.id == "openai-BAAI-bge-m3-x-1024-r1"


async def ask_bedrock(reply, dim=256):
    """One text through a client of botocore's that answers with `reply`."""
    settings = Settings(embedder_dim=dim)
    aws = aws_of(settings)
    request = {
        "modelId": bedrock.MODEL,
        "contentType": "application/json",
        "accept": "application/json",
        "body": json.dumps({"inputText": "hello", "dimensions": dim, "normalize": True}),
    }
    body = StreamingBody(io.BytesIO(reply), len(reply))
    with Stubber(aws.bedrock) as stubber:
        stubber.add_response("invoke_model", {"body": body, "contentType": "application/json"}, request)
        try:
            return await bedrock.build(settings).embed(["hello", " "])
        finally:
            stubber.assert_no_pending_responses()
            aws.close()


async def test_bedrock_is_asked_for_one_text_a_call_and_never_for_a_blank_one():
    vectors = await ask_bedrock(json.dumps({"embedding": [2.0] + [0.0] * 255}).encode())
    assert vectors.shape == (2, 256)
    assert vectors[0, 0] == 1
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"[]",
        b"{}",
        b'{"embedding": null}',
        b'{"embedding": [1, 2]}',
        b'{"embedding": ["x"]}',
        b'{"embedding": "AAAA"}',
        json.dumps({"embedding": [0.0] * 256}).encode(),
        json.dumps({"embedding": [float("nan")] * 256}).encode(),
    ],
)
async def test_a_wrong_reply_of_bedrock_is_an_error(reply):
    with pytest.raises(UpstreamError):
        await ask_bedrock(reply)


def numbers(*values):
    return base64.b64encode(np.array(values, "<f4").tobytes()).decode()


@pytest.mark.parametrize("value", [numbers(3, 4), [3, 4], [3.0, 4.0]])
def test_a_vector_on_the_wire_is_base64_or_a_list(value):
    assert remote.row(value, 2).tolist() == [3, 4]


@pytest.mark.parametrize(
    "value", [None, {}, 1, "", "A", "é", numbers(1), numbers(1, np.nan), [1, None], [[1, 2]], [0, 0]]
)
def test_what_is_no_vector_is_an_error(value):
    with pytest.raises(UpstreamError):
        remote.row(value, 2)
