"""The streamed response on the wire, read by a real HTTP parser."""

from __future__ import annotations

import base64
import json

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.lambda_runtime.http_stream import DELIMITER, HttpStream, ending, frame, prelude, request_head


class Parsed:
    """What an HTTP parser makes of the bytes, however they were cut."""

    def __init__(self, *pieces):
        self.headers = {}
        self.body = b""
        self.chunks = 0
        self.complete = False
        self.parser = httptools.HttpRequestParser(self)
        for piece in pieces:
            self.parser.feed_data(piece)

    def on_header(self, name, value):
        self.headers[name.decode().lower()] = value.decode()

    def on_chunk_header(self):
        self.chunks += 1

    def on_body(self, body):
        self.body += body

    def on_message_complete(self):
        self.complete = True


def failure():
    """An exception that was raised, with its traceback."""
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError("broken\r\nX-Injected: 1")
    return caught.value


HEAD = request_head("127.0.0.1:9001", "id-1", "proof-1")


def test_the_request_is_what_the_runtime_api_asks_for():
    parsed = Parsed(HEAD, ending(None))
    assert parsed.parser.get_method() == b"POST"
    assert HEAD.startswith(b"POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1\r\n")
    assert parsed.headers["lambda-runtime-function-response-mode"] == "streaming"
    assert parsed.headers["content-type"] == "application/vnd.awslambda.http-integration-response"
    assert parsed.headers["lambda-runtime-invocation-id"] == "proof-1"
    assert "lambda-runtime-function-error-type" in parsed.headers["trailer"].lower()
    assert b"Invocation-Id" not in request_head("127.0.0.1:9001", "id-1", None)


@given(
    status=st.integers(200, 599),
    headers=st.dictionaries(st.text(), st.text()),
    cookies=st.lists(st.text()),
    chunks=st.lists(st.binary(min_size=1, max_size=300)),
    size=st.integers(1, 100),
)
def test_what_is_framed_is_what_is_read(status, headers, cookies, chunks, size):
    stream = HttpStream(status, headers, cookies)
    sent = HEAD + frame(prelude(stream)) + b"".join(map(frame, chunks)) + ending(None)
    parsed = Parsed(*(sent[at : at + size] for at in range(0, len(sent), size)))
    assert parsed.complete
    assert parsed.chunks == len(chunks) + 2  # the prelude and the last, empty one
    head, _, body = parsed.body.partition(DELIMITER)
    assert json.loads(head) == {"statusCode": status, "headers": headers, "cookies": cookies}
    assert body == b"".join(chunks)
    assert "lambda-runtime-function-error-type" not in parsed.headers


def test_an_error_is_told_in_trailers():
    parsed = Parsed(HEAD, frame(b"half"), ending(failure()))
    assert parsed.complete
    assert parsed.body == b"half"
    assert parsed.headers["lambda-runtime-function-error-type"] == "RuntimeError"
    report = json.loads(base64.b64decode(parsed.headers["lambda-runtime-function-error-body"]))
    assert report["errorType"] == "RuntimeError"
    assert report["errorMessage"].startswith("broken")
    assert "in failure" in report["stackTrace"][0]
    assert "x-injected" not in parsed.headers


def test_a_long_error_stays_within_what_a_header_may_hold():
    assert len(ending(RuntimeError("x" * 1_000_000))) < 8_000
