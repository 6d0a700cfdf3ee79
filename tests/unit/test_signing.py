"""Our signatures are botocore's."""

from datetime import UTC, datetime
from time import gmtime, strftime

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as TheirCredentials

from subsecond.aws.signing import Credentials, Signer

NOW = 1_790_000_000.0


class Theirs(AWSRequest):
    """A request that is signed at NOW."""

    def __init__(self, *args, **fields):
        super().__init__(*args, **fields)
        self.context["timestamp"] = strftime("%Y%m%dT%H%M%SZ", gmtime(NOW))


def theirs(service, method, url, fields, content, token):
    """botocore takes its own clock, so its parts are used."""
    request = Theirs(method, url, headers=fields, data=content)
    signer = SigV4Auth if service != "s3" else S3SigV4Auth
    auth = signer(TheirCredentials("AKID", "secret/+", token), service, "eu-west-1")
    request.headers["X-Amz-Date"] = request.context["timestamp"]
    if token:
        request.headers["X-Amz-Security-Token"] = token
    canonical = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, canonical), request)
    return f"SignedHeaders={auth.signed_headers(auth.headers_to_sign(request))}, Signature={signature}"


@pytest.mark.parametrize("token", ["", "a token/+="])
@pytest.mark.parametrize(
    ("service", "method", "path", "fields", "content"),
    [
        ("dynamodb", "POST", "/", {"content-type": "application/x-amz-json-1.0", "x-amz-target": "A.GetItem"}, b"{}"),
        (
            "s3",
            "GET",
            "/answers/a%3Ab/k%20%2B~",
            {"x-amz-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
            b"",
        ),
        (
            "bedrock",
            "POST",
            "/model/anthropic.claude%3A0/converse-stream",
            {"content-type": "application/json"},
            "ü".encode(),
        ),
    ],
)
def test_a_signature_is_botocores(service, method, path, fields, content, token):
    url = "https://example.amazonaws.com"
    signer = Signer(Credentials("AKID", "secret/+", token), url, service, "eu-west-1", lambda: NOW)
    fields = {"host": "example.amazonaws.com", **fields}
    found = signer.headers(method, path, content, fields)
    assert found["authorization"].endswith(
        theirs(service, method, f"https://example.amazonaws.com{path}", fields, content, token)
    )
    assert found["x-amz-date"] == datetime.fromtimestamp(NOW, UTC).strftime("%Y%m%dT%H%M%SZ")
    assert found.get("x-amz-security-token", "") == token


def test_credentials_do_not_show():
    assert "secret" not in repr(Credentials("AKID", "secret", "secret"))
