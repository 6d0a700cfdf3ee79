"""The corpus of replies, streams and errors of known servers: every shape says all that a test of the relay needs."""

import json
from collections import Counter
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parents[1] / "data" / "shapes").glob("*.json"))
FIELDS = {"name", "kinds", "source", "endpoint", "request", "status", "headers", "expect"}
WHOLE, STREAMED = {"json", "body"}, {"events", "raw_stream"}
SERVERS = """
    azure bedrock cohere deepseek fireworks gemini groq llamacpp lmstudio mistral ollama openai openrouter
    others perplexity sglang tgi together vllm xai
"""
KINDS = """
    annotations arguments-object audio bom broken-off charset choice-extras choices-null citations
    citations-last comments content-filter-results content-parts crlf detail-error done-with-blanks
    duplicate-keys embeddings-base64 embeddings-float empty empty-body empty-first-chunk error-body error-event
    error-in-a-list error-in-disguise error-mid-stream event-lines extra-content filtered finish-empty
    finish-missing finish-null finish-word framing function-call html huge-int id-empty-later id-lines
    id-only-first images index-missing json-to-a-stream-request leading-blanks logprobs lone-surrogates
    message-beside-delta multi-line-data no-blank no-choice no-delta no-done no-final-newline not-finite
    not-json obfuscation object-error odd-content-type odd-object parallel-tool-calls plain rate-limit-headers
    reasoning reasoning-content reasoning-details reasoning-tags refusal role-chunk service-tier several-choices
    shared-index stats stream-to-a-whole-request string-error system-fingerprint system-fingerprint-null
    text-best-of text-completion text-echo text-logprobs text-suffix thinking-blocks timings tool-calls
    tool-calls-object tool-without-id unfinished unicode-escapes usage-chunk usage-every-chunk usage-last-choice
    whole-call-in-a-chunk x-groq
"""
WORDS = """
    stop length tool_calls function_call content_filter end_turn eos STOP error insufficient_system_resource
"""
STATUSES = {400, 401, 403, 404, 413, 422, 429, 500, 502, 503, 529}


def strict(pairs):
    """An object of the corpus itself, in which no key may stand twice."""
    assert len(dict(pairs)) == len(pairs), pairs
    return dict(pairs)


def refuse(constant):
    pytest.fail(f"{constant} is no JSON")


def read(path):
    return json.loads(path.read_text(), object_pairs_hook=strict, parse_constant=refuse)


def shapes():
    return [shape for path in FILES for shape in read(path)]


def form(shape):
    (found,) = (WHOLE | STREAMED) & shape.keys()
    return found


def finish_words(shape):
    payloads = shape.get("events", [shape.get("json")])
    return {c.get("finish_reason") for p in payloads if isinstance(p, dict) for c in p.get("choices") or []}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_shape_says_all_that_a_test_needs(path):
    for shape in read(path):
        name = shape["name"]
        assert shape.keys() == FIELDS | {form(shape)}, name
        assert name.startswith(f"{path.stem}-"), name
        assert shape["source"].startswith("https://"), name
        assert shape["endpoint"] in ("chat", "text", "embeddings"), name
        assert shape["headers"].keys() >= {"content-type"}, name
        assert shape["expect"].keys() == {"cached", "converts", "why"}, name
        assert shape["expect"]["why"], name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_can_be_read(path):
    assert path.read_text().count("\n") <= 400


def test_the_corpus_is_large_and_has_no_name_twice():
    names = Counter(shape["name"] for shape in shapes())

    assert names.total() >= 200
    assert not [name for name, n in names.items() if n > 1]


def test_every_server_and_every_kind_is_there():
    assert [path.stem for path in FILES] == SERVERS.split()
    assert {kind for shape in shapes() for kind in shape["kinds"]} == set(KINDS.split())


def test_every_word_for_the_end_and_every_status_is_there():
    assert set().union(*(finish_words(shape) for shape in shapes())) >= {*WORDS.split(), "", None}
    assert {shape["status"] for shape in shapes()} >= STATUSES


def test_the_name_says_the_form():
    for shape in shapes():
        ends = {"whole": WHOLE, "stream": STREAMED}.get(shape["name"].rpartition("-")[2])
        assert ends is None or form(shape) in ends, shape["name"]
        assert form(shape) in WHOLE or shape["request"]["stream"] in (True, False), shape["name"]


def test_what_is_not_kept_converts_to_nothing():
    for shape in shapes():
        cached, converts = shape["expect"]["cached"], shape["expect"]["converts"]
        assert (converts is None) == (cached is not True), shape["name"]
        assert (cached is None) == (shape["endpoint"] == "embeddings" and shape["status"] == 200), shape["name"]


def test_no_error_is_kept():
    signs = (
        "error-body",
        "error-in-disguise",
        "error-mid-stream",
        "error-event",
        "no-choice",
        "unfinished",
        "broken-off",
    )
    signs += ("filtered", "refusal", "empty", "empty-body", "not-json", "not-finite")
    for shape in shapes():
        if shape["status"] >= 400 or set(signs) & set(shape["kinds"]):
            assert shape["expect"]["cached"] is False, shape["name"]
