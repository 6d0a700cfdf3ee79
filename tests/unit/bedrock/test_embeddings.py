import base64
import json
import struct

import pytest

from subsecond.errors import InvalidRequest, UpstreamError
from subsecond.upstreams.converse.embeddings import embedding_requests, embeddings_reply
from subsecond.upstreams.converse.families import Families

TITAN, OLD_TITAN = "amazon.titan-embed-text-v2:0", "amazon.titan-embed-text-v1"
COHERE, COHERE_4 = "cohere.embed-multilingual-v3", "us.cohere.embed-v4:0"


def requests(model, **fields):
    return embedding_requests({"model": model, **fields}, Families((), {}).find(model))


ROWS = [
    (TITAN, {"input": "a"}, [{"inputText": "a"}]),
    (TITAN, {"input": ["a", "b"], "dimensions": 256},
     [{"inputText": "a", "dimensions": 256}, {"inputText": "b", "dimensions": 256}]),
    (OLD_TITAN, {"input": "a", "encoding_format": "base64"}, [{"inputText": "a"}]),
    (COHERE, {"input": ["a", "b"]},
     [{"texts": ["a", "b"], "input_type": "search_document", "embedding_types": ["float"]}]),
    (COHERE_4, {"input": "a", "dimensions": 512, "input_type": "search_query"},
     [{"texts": ["a"], "input_type": "search_query", "embedding_types": ["float"], "output_dimension": 512}]),
]  # fmt: skip


@pytest.mark.parametrize(("model", "fields", "expected"), ROWS)
def test_requests(model, fields, expected):
    assert requests(model, **fields) == expected


def test_cohere_takes_96_texts_a_call():
    assert [len(one["texts"]) for one in requests(COHERE, input=["a"] * 100)] == [96, 4]


REFUSED = [
    (TITAN, {"input": [1, 2]}, "input"),
    (TITAN, {"input": []}, "input"),
    (TITAN, {"input": [""]}, "input"),
    (OLD_TITAN, {"input": "a", "dimensions": 256}, "dimensions"),
    (COHERE, {"input": "a", "dimensions": 256}, "dimensions"),
    (TITAN, {"input": "a", "truncate": "END"}, "truncate"),
    (TITAN, {"input": "a", "encoding_format": "hex"}, "encoding_format"),
    ("anthropic.claude-opus-5", {"input": "a"}, "model"),
]


@pytest.mark.parametrize(("model", "fields", "param"), REFUSED)
def test_what_cannot_be_carried_is_named(model, fields, param):
    with pytest.raises(InvalidRequest) as caught:
        requests(model, **fields)
    assert caught.value.param == param


SHAPES = [
    [b'{"embedding": [1.0, 0.5], "inputTextTokenCount": 2}', b'{"embedding": [0.0, 2.0]}'],
    [b'{"embeddings": {"float": [[1.0, 0.5], [0.0, 2.0]]}, "response_type": "embeddings_by_type"}'],
    [b'{"embeddings": [[1.0, 0.5], [0.0, 2.0]]}'],
]


@pytest.mark.parametrize("replies", SHAPES)
def test_a_reply(replies):
    body = {"model": TITAN, "input": ["a", "b"]}
    found = json.loads(embeddings_reply(body, [(one, 3) for one in replies]))
    assert [one["embedding"] for one in found["data"]] == [[1.0, 0.5], [0.0, 2.0]]
    assert [one["index"] for one in found["data"]] == [0, 1]
    assert found["usage"] == {"prompt_tokens": 3 * len(replies), "total_tokens": 3 * len(replies)}
    packed = json.loads(embeddings_reply({**body, "encoding_format": "base64"}, [(one, 3) for one in replies]))
    assert struct.unpack("<2f", base64.b64decode(packed["data"][0]["embedding"])) == (1.0, 0.5)


@pytest.mark.parametrize("reply", [b"", b"[]", b'{"embeddings": {"int8": [[1]]}}', b'{"embedding": []}'])
def test_what_is_no_vector_is_an_error(reply):
    with pytest.raises(UpstreamError):
        embeddings_reply({"model": TITAN}, [(reply, 0)])
