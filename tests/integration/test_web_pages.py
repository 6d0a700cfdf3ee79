"""What a web page may do with a running stack: nothing, at any port but the gateway's own."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from subsecond_local.emulator.aws_emulator import UNINSTALLED, access
from subsecond_local.run import model_server

MODEL = pytest.mark.skipif(model_server.missing() is not None, reason=str(model_server.missing()))
STACKS = [
    pytest.param({}, id="lambda"),
    pytest.param({"MODE": "app"}, id="app"),
    pytest.param({"STORES": "memory"}, id="memory"),
    pytest.param({"STORES": "memory", "MODE": "lambda"}, id="lambda in memory"),
    pytest.param({"STORES": "memory", "UPSTREAM": "model"}, id="model", marks=MODEL),
]
INVOKE = "/2015-03-31/functions/indexer/invocations"
# One that each of the services would serve.
PATHS = (
    ("GET", "/health"),
    ("GET", "/_ministack/health"),
    ("POST", "/_ministack/reset"),
    ("POST", "/_subsecond/save"),
    ("POST", "/"),
    ("POST", INVOKE),
    ("GET", "/2018-06-01/runtime/invocation/next"),
    ("POST", "/2018-06-01/runtime/init/error"),
    ("POST", "/stats/reset"),
    ("GET", "/v1/models"),
    ("POST", "/v1/chat/completions"),
)
SIGNED = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"
# The most that a page could send if its browser let it.
SENT = {
    "content-type": "text/plain",
    "x-amz-target": "DynamoDB_20120810.ListTables",
    "authorization": SIGNED.format("dynamodb"),
}
PAGES = (
    {"origin": "https://example.org"},
    {"origin": "null"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"host": "rebound.example.org"},
    {"host": "rebound.example.org:{port}"},
    {"host": "localhost:1"},
)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def told(port, method, path, headers):
    """Status, headers and body, from a connection of its own."""
    headers = {**SENT, **{name: value.format(port=port) for name, value in headers.items()}}
    with closing(HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request(method, path, "{}", headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()


def refused(port, method, path, headers):
    status, answered, body = told(port, method, path, headers)
    allowed = [name for name in answered if name.lower().startswith("access-control")]
    assert (status, allowed) == (403, []), (port, method, path, headers, body)


@pytest.mark.parametrize("environ", STACKS)
def test_every_port_but_the_gateways_refuses_web_pages(stack, environ):
    with stack(**environ) as it:
        # The indexer starts with the first record, and it is one of those that listen.
        assert environ.get("UPSTREAM") == "model" or it.chat()[0] == 200
        ports = it.listening()
        assert it.port in ports
        assert len(ports) > 1
        for port in set(ports) - {it.port}:
            for method, path in PATHS:
                for page in PAGES:
                    refused(port, method, path, page)
                refused(port, "OPTIONS", path, {"access-control-request-method": "POST"})
        for page in PAGES:
            # In one plain process there is no Invoke API.
            assert told(it.port, "POST", INVOKE, page)[0] == (403 if it.mode == "lambda" else 404)
            _, answered, _ = told(it.port, "POST", "/v1/chat/completions", page)
            assert "access-control-allow-origin" not in answered
        assert environ.get("UPSTREAM") == "model" or it.chat()[0] == 200


def test_ministack_serves_the_gateways_needs_alone(stack):
    with stack() as it:
        assert it.chat()[0] == 200
        noted = json.loads((it.data / "run.json").read_text())["stores"]
        port = int(noted["endpoint"].rpartition(":")[2])
        reached = access(port)

        def client(service):
            return boto3.client(
                service,
                endpoint_url=reached["AWS_ENDPOINT_URL"],
                region_name=reached["AWS_REGION"],
                aws_access_key_id="local",
                aws_secret_access_key="local",
                config=Config(retries={"total_max_attempts": 1}, proxies={}, s3={"addressing_style": "path"}),
            )

        for forbidden in (
            client("lambda").list_functions,
            client("iam").list_roles,
            client("secretsmanager").list_secrets,
            client("cloudformation").list_stacks,
            client("sts").get_caller_identity,
            client("s3").list_buckets,
            lambda: client("s3").create_bucket(Bucket="another"),
        ):
            with pytest.raises((ClientError, ResponseParserError), match=r"Only DynamoDB|403"):
                forbidden()
        assert set(client("dynamodb").list_tables()["TableNames"]) == {noted["answers_table"], noted["state_table"]}
        assert client("dynamodbstreams").list_streams()["Streams"]
        assert client("s3").list_objects_v2(Bucket=noted["bucket"])["Name"] == noted["bucket"]
        for path in ("/_ministack/reset", "/_ministack/config", "/2015-03-31/functions"):
            plain = {"authorization": SIGNED.format("s3")}
            assert told(port, "POST", path, plain)[0] == 403
        assert it.chat()[0] == 200


def test_with_every_service_ministack_refuses_web_pages_too(emulator):
    """As `make deploy-local` starts it."""
    port = int(emulator["AWS_ENDPOINT_URL"].rpartition(":")[2])
    paths = (*PATHS, ("GET", "/2015-03-31/functions"), ("POST", "/_aws/lambda-url/a"), ("POST", "/?Action=CreateRole"))
    for method, path in paths:
        for page in PAGES:
            refused(port, method, path, page)
        refused(port, "OPTIONS", path, {"access-control-request-method": "POST"})
    assert told(port, "GET", "/2015-03-31/functions", {})[0] == 200


def test_ministack_is_closed_where_this_project_is_not_installed():
    """Without site packages: what fails is ministack's own import, after all of ours."""
    command = [sys.executable, "-I", "-S", "-c", UNINSTALLED]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'ministack'"
