"""What every embedder promises. A new file in `embedders/` is tested here the day it appears.

The remote ones speak to a server on loopback; those whose weights are not installed are skipped.
"""

import asyncio
import base64
import json
import pkgutil
import re
import unicodedata
from importlib import import_module

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

import subsecond.semantic.embedders
from subsecond.aws.client import aws_of
from subsecond.config import Settings
from subsecond.errors import Unavailable
from subsecond.semantic.embedders import hashing
from tests.support.http import listening

ADAPTERS = [module.name for module in pkgutil.iter_modules(subsecond.semantic.embedders.__path__) if not module.ispkg]
AWKWARD = [
    "",
    " ",
    "\n\t",
    "?",
    "🍕",
    "\x00",
    "a\ud800b",
    "\ufffd",
    "42",
    "密码",
    "كلمة السر",
    "ᚠᚢᚦ",
    "e" * 300,
    "How do I reset my password?",
    "🍕 " * 50,
]


async def embeddings(request):
    """OpenAI's route: base64 where it is asked for, in another order than asked."""
    asked = await request.json()
    assert all(asked["input"])
    rows = await hashing.build(Settings()).embed(asked["input"])
    rows = np.concatenate([rows, rows], axis=1)[:, : asked["dimensions"]] * 3
    data = [
        {"object": "embedding", "index": index, "embedding": base64.b64encode(row.astype("<f4").tobytes()).decode()}
        for index, row in enumerate(rows)
    ]
    return JSONResponse({"object": "list", "data": data[::-1], "model": asked["model"]})


async def invoke(request):
    """Titan's route on Bedrock."""
    asked = json.loads(await request.body())
    assert asked["inputText"]
    (row,) = await hashing.build(Settings()).embed([asked["inputText"]])
    vector = np.concatenate([row, row])[: asked["dimensions"]].tolist()
    return JSONResponse({"embedding": vector, "inputTextTokenCount": 3})


def served():
    """Both servers on one free port; gives the base URL."""
    routes = [
        Route("/v1/embeddings", embeddings, methods=["POST"]),
        Route("/model/{name}/invoke", invoke, methods=["POST"]),
    ]
    return listening(Starlette(routes=routes))


@pytest.fixture(params=ADAPTERS)
async def embedder(request, monkeypatch):
    async with served() as base:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", base)
        settings = Settings(upstream_url=base + "/v1")
        try:
            made = import_module(f"subsecond.semantic.embedders.{request.param}").build(settings)
        except Unavailable as error:
            pytest.skip(error.message)
        yield made
        if hasattr(made, "aclose"):
            await made.aclose()
        aws_of(settings).close()


def test_the_adapters_were_found():
    assert {"static", "minilm", "openai", "bedrock", "hashing"} <= set(ADAPTERS)


async def test_the_id_names_model_dimension_and_revision_and_fits_an_object_key(embedder):
    assert re.fullmatch(rf"[A-Za-z0-9._-]+-{embedder.dim}-r\d+", embedder.id)
    assert embedder.max_chars > 0


async def test_every_text_has_a_finite_vector_of_length_one(embedder):
    vectors = await embedder.embed(AWKWARD)
    assert vectors.shape == (len(AWKWARD), embedder.dim)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)


async def test_no_texts_have_no_vectors(embedder):
    vectors = await embedder.embed([])
    assert vectors.shape == (0, embedder.dim)
    assert vectors.dtype == np.float32


async def test_a_text_has_the_same_vector_alone_and_in_any_company(embedder):
    together = await embedder.embed(AWKWARD)
    for text, vector in zip(AWKWARD, together, strict=True):
        assert np.array_equal((await embedder.embed([text]))[0], vector), repr(text)
    assert np.array_equal((await embedder.embed(AWKWARD[::-1]))[::-1], together)


@pytest.mark.parametrize(
    "text", ["Caf\u00e9 cr\u00e8me", "\uac00\ub098 \ub2e4", "\u1e9b\u0323 \u00c5 \u2126", "nai\u0308ve 🍕\u0308"]
)
async def test_forms_of_unicode_that_look_alike_have_one_vector(embedder, text):
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")]
    first, second = await embedder.embed(forms)
    assert np.array_equal(first, second)


async def test_words_that_no_vocabulary_has_are_told_apart(embedder):
    vectors = await embedder.embed(["🍕", "🚀", "what is 🍕?", "what is 🚀?", "", " "])
    scores = vectors @ vectors.T
    assert scores[0, 1] < 0.9
    assert scores[2, 3] < 0.99


async def test_a_text_is_nearer_to_its_paraphrase_than_to_another_question(embedder):
    asked, like, other = await embedder.embed(
        ["How do I reset my password?", "how can I reset the password", "Which museums in Lisbon open on Mondays?"]
    )
    assert asked @ like > asked @ other + 0.2


async def test_the_longest_text_that_it_affords_is_embedded(embedder):
    text = ("word " * embedder.max_chars)[: embedder.max_chars]
    assert (await embedder.embed([text])).shape == (1, embedder.dim)


async def test_many_callers_at_once_get_their_own_vectors(embedder):
    texts = [f"question number {number}" for number in range(20)]
    alone = await embedder.embed(texts)
    together = await asyncio.gather(*(embedder.embed([text]) for text in texts))
    assert np.array_equal(np.concatenate(together), alone)
