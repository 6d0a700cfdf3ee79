"""Function URL events as ASGI scopes: all of the event's fields, as AWS documents them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.lambda_runtime.scope import http_body, http_scope, is_http

HTTP = {"method": "POST", "path": "/a", "protocol": "HTTP/1.1", "sourceIp": "203.0.113.9", "userAgent": "curl"}


def event(**fields):
    context = {"domainName": "abc.lambda-url.eu-central-1.on.aws", "http": HTTP}
    return {"version": "2.0", "rawPath": "/a", "rawQueryString": "", "requestContext": context, **fields}


def test_a_request_becomes_a_scope():
    headers = {"Content-Type": "application/json", "x-forwarded-proto": "https", "x-latin": "é"}
    scope = http_scope(
        event(rawPath="/v1/a%20b%2Fc", rawQueryString="x=1&y=%26", headers=headers, cookies=["a=1", "b=2"])
    )
    assert (scope["type"], scope["method"], scope["scheme"]) == ("http", "POST", "https")
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/v1/a b/c", b"/v1/a%20b%2Fc", b"x=1&y=%26")
    assert dict(scope["headers"]) == {
        b"content-type": b"application/json",
        b"x-forwarded-proto": b"https",
        b"x-latin": "é".encode("latin-1"),
        b"cookie": b"a=1; b=2",
    }
    assert scope["client"] == ("203.0.113.9", 0)
    assert scope["server"] == ("abc.lambda-url.eu-central-1.on.aws", 443)
    assert scope["asgi"]["spec_version"] == "2.4"


def test_the_least_that_an_event_can_hold_is_enough():
    scope = http_scope({"requestContext": {"http": {"method": "get"}}})
    assert (scope["method"], scope["path"], scope["headers"]) == ("GET", "/", [])


@given(st.binary())
def test_a_body_comes_out_as_it_went_in(body):
    assert http_body(event(body=base64.b64encode(body).decode(), isBase64Encoded=True)) == body


@given(st.text())
def test_a_text_body_is_utf_8(text):
    assert http_body(event(body=text, isBase64Encoded=False)) == text.encode()


def test_no_body_is_an_empty_one():
    assert http_body(event()) == b""


@pytest.mark.parametrize("other", [{}, {"prewarm": True}, {"requestContext": None}, {"Records": []}, [], "x", None])
def test_what_is_no_request_is_told_apart(other):
    assert not is_http(other)
    assert is_http(event())


REST = {
    "resource": "/{proxy+}",
    "path": "/v1/chat/completions",
    "httpMethod": "POST",
    "headers": {"Authorization": "Bearer k", "X-Twice": "2"},
    "multiValueHeaders": {"Authorization": ["Bearer k"], "X-Twice": ["1", "2"], "X-Forwarded-Proto": ["https"]},
    "queryStringParameters": {"of": "a b", "n": "2"},
    "multiValueQueryStringParameters": {"of": ["a b"], "n": ["1", "2"]},
    "requestContext": {"identity": {"sourceIp": "203.0.113.9"}, "domainName": "ai.example.com", "stage": "prod"},
    "body": "{}",
    "isBase64Encoded": False,
}


def test_a_rest_apis_event_is_a_request_too():
    assert is_http(REST)
    scope = http_scope(REST)
    assert (scope["method"], scope["path"], scope["query_string"]) == (
        "POST",
        "/v1/chat/completions",
        b"of=a+b&n=1&n=2",
    )
    assert (b"authorization", b"Bearer k") in scope["headers"]
    assert (b"x-twice", b"1, 2") in scope["headers"]
    assert (scope["client"], scope["server"]) == (("203.0.113.9", 0), ("ai.example.com", 443))
    assert http_body(REST) == b"{}"
    bare = {**REST, "multiValueHeaders": None, "multiValueQueryStringParameters": None, "requestContext": None}
    assert http_scope(bare)["headers"] == []


@pytest.mark.parametrize("other", [{"httpMethod": "GET"}, {"path": "/v1"}, {"httpMethod": None, "path": None}])
def test_what_only_looks_like_one_is_none(other):
    assert not is_http(other)
