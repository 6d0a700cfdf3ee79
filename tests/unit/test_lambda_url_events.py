"""What a Function URL makes of requests and results."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.lambda_runtime.scope import http_body, http_scope
from subsecond_local.lambda_host.function import UrlRoute
from subsecond_local.lambda_host.invocation import UrlStream
from subsecond_local.lambda_host.url_event import ResponseHead, buffered_response, stream_head, url_event
from subsecond_local.lambda_host.wire import Request, head_bytes


def request(method="POST", target="/", *headers):
    sent = [("host", "127.0.0.1:8000"), *headers]
    return Request(method=method, target=target, version="1.1", headers=sent, keep_alive=True, peer="127.0.0.1")


def made(body=b"", *headers, target="/"):
    return url_event(request("POST", target, *headers), body, "id-1", "fn")


def test_an_event_has_the_fields_of_payload_format_2():
    headers = [("user-agent", "curl"), ("x-a", "1"), ("x-a", "2"), ("cookie", "a=1; b=2"), ("connection", "close")]
    event = made(b"", *headers, target="/v1/a%20b?x=1&x=2&y=")
    http = event["requestContext"]["http"]
    assert http == {
        "method": "POST",
        "path": "/v1/a%20b",
        "protocol": "HTTP/1.1",
        "sourceIp": "127.0.0.1",
        "userAgent": "curl",
    }
    assert (event["version"], event["routeKey"], event["isBase64Encoded"]) == ("2.0", "$default", False)
    assert (event["rawPath"], event["rawQueryString"]) == ("/v1/a%20b", "x=1&x=2&y=")
    assert event["queryStringParameters"] == {"x": "1,2", "y": ""}
    assert event["cookies"] == ["a=1", "b=2"]
    assert event["headers"]["x-a"] == "1,2"
    assert event["headers"]["x-forwarded-port"] == "8000"
    assert not {"connection", "cookie"} & event["headers"].keys()
    assert event["requestContext"]["requestId"] == "id-1"
    assert "body" not in event


@pytest.mark.parametrize(
    ("content_type", "body", "encoded"),
    [
        ("application/json; charset=utf-8", b'{"a":"\xc3\xa9"}', False),
        ("text/plain", b"hello", False),
        ("application/json", b"\xff", True),
        ("application/x-www-form-urlencoded", b"a=1", True),
        ("", b"a", True),
    ],
)
def test_a_body_is_base64_unless_its_type_says_text(content_type, body, encoded):
    event = made(body, ("content-type", content_type))
    assert event["isBase64Encoded"] is encoded
    assert (base64.b64decode(event["body"]) if encoded else event["body"].encode()) == body


@given(body=st.binary(), kind=st.sampled_from(["application/json", "application/octet-stream", "text/plain"]))
def test_the_adapter_reads_the_body_that_the_url_wrote(body, kind):
    event = json.loads(json.dumps(made(body, ("content-type", kind), target="/a%2Fb")))
    assert http_body(event) == body
    assert http_scope(event)["path"] == "/a/b"


def test_a_result_with_a_status_is_a_response():
    result = {
        "statusCode": 201,
        "headers": {"X-A": 1},
        "cookies": ["a=1", "b=2"],
        "body": "aGk=",
        "isBase64Encoded": True,
    }
    head, body = buffered_response(json.dumps(result).encode())
    cookies = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    assert head == ResponseHead(201, [("X-A", "1"), ("Content-Type", "application/json"), *cookies])
    assert body == b"hi"


@pytest.mark.parametrize("payload", [b'{"a": 1}', b'"text"', b"[1]", b"null"])
def test_a_result_without_a_status_is_the_body_itself(payload):
    assert buffered_response(payload) == (ResponseHead(200, [("Content-Type", "application/json")]), payload)


@pytest.mark.parametrize(
    "payload",
    [
        b"no json",
        b'{"statusCode": "x"}',
        b'{"statusCode": null}',
        b'{"statusCode": 200, "body": {}}',
        b'{"statusCode": 200, "headers": []}',
        b'{"statusCode": 200, "headers": "x"}',
        b'{"statusCode": 200, "body": "?", "isBase64Encoded": true}',
    ],
)
def test_a_result_that_cannot_be_read_is_an_error(payload):
    with pytest.raises((ValueError, TypeError)):
        buffered_response(payload)


class Written:
    """A responder that keeps what it is given."""

    def __init__(self):
        self.head = None
        self.body = b""

    def start(self, status, headers):
        self.head = ResponseHead(status, headers)

    def write(self, data):
        self.body += data


PRELUDE = b'{"statusCode":418,"headers":{"content-type":"text/plain"},"cookies":["a=1"]}' + bytes(8)
STREAMED = "application/vnd.awslambda.http-integration-response"


@given(st.binary(), st.integers(1, 40))
def test_a_prelude_is_found_however_it_is_cut(body, size):
    written = Written()
    stream = UrlStream(written)
    stream.open(STREAMED, streamed=True)
    sent = PRELUDE + body
    for at in range(0, len(sent), size):
        assert stream.write(sent[at : at + size]) is None
    assert written.head == ResponseHead(418, [("content-type", "text/plain"), ("Set-Cookie", "a=1")])
    assert written.body == body


def test_without_the_integrations_type_the_bytes_are_the_body():
    written = Written()
    stream = UrlStream(written)
    stream.open("application/json", streamed=False)
    stream.write(PRELUDE)
    assert written.head == ResponseHead(200, [("Content-Type", "application/octet-stream")])
    assert written.body == PRELUDE


@pytest.mark.parametrize("prelude", [b"{", b"[]", b'{"statusCode":"x"}'])
def test_a_prelude_that_cannot_be_read_fails_the_invocation(prelude):
    stream = UrlStream(Written())
    stream.open(STREAMED, streamed=True)
    assert "prelude" in stream.write(prelude + bytes(8))
    with pytest.raises((ValueError, TypeError)):
        stream_head(prelude)


def test_a_header_cannot_hold_another_one():
    assert b"\r\nx-b" not in head_bytes(200, [("x-a", "1\r\nx-b: 2")])


def test_a_route_is_a_beginning_or_a_question():
    assert UrlRoute("/v1/cache/", "f").leads("/v1/cache/stats")
    assert not UrlRoute("/v1/cache/", "f").leads("/v1/cache")
    assert UrlRoute(lambda path: path.endswith("/stats"), "f").leads("/v1/cache/stats")
