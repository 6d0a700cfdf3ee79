"""The rule that closes the laptop's inner services to web pages, and what ministack serves beside it."""

import json

import pytest

from subsecond_local.emulator.emulator_persistence import only_stores
from subsecond_local.run.browser_guard import Guard, refusal

PORT = 4566
SIGNED = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"
S3 = ("Authorization", SIGNED.format("s3"))
PUT_ITEM = ("X-Amz-Target", "DynamoDB_20120810.PutItem")


@pytest.mark.parametrize("host", ["127.0.0.1:4566", "localhost:4566", "LOCALHOST:4566", "[::1]:4566"])
@pytest.mark.parametrize("more", [[], [("sec-fetch-site", "none")], [("sec-fetch-mode", "cors")]], ids=str)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_programs_of_this_machine_may_ask(method, host, more):
    assert refusal(method, [("host", host), *more], PORT) is None


def test_the_usual_port_goes_without_saying():
    assert refusal("GET", [("host", "localhost")], 80) is None


@pytest.mark.parametrize(
    "headers",
    [
        [("host", "localhost:4566"), ("origin", "https://example.org")],
        [("host", "localhost:4566"), ("origin", "null")],
        [("host", "localhost:4566"), ("origin", "http://localhost:4566")],
        [("host", "localhost:4566"), ("origin", "")],
        [("host", "localhost:4566"), ("sec-fetch-site", "cross-site")],
        [("host", "localhost:4566"), ("sec-fetch-site", "same-site")],
        [("host", "localhost:4566"), ("sec-fetch-site", "same-origin")],
        [("host", "localhost:4567")],
        [("host", "localhost")],
        [("host", "example.org:4566")],
        [("host", "127.0.0.1.example.org:4566")],
        [("host", "localhost:4566@example.org")],
        [("host", "[bad")],
        [("host", "")],
        [],
        [("host", "localhost:4566"), ("host", "example.org")],
        [("host", "localhost:4566"), ("host", "localhost:4566")],
    ],
    ids=str,
)
def test_web_pages_may_not(headers):
    assert refusal("GET", headers, PORT)
    assert refusal("POST", headers, PORT)


def test_no_preflight_is_answered():
    assert refusal("OPTIONS", [("host", "localhost:4566")], PORT)


class App:
    """An app that notes what it is asked, and answers nothing."""

    def __init__(self):
        self.asked = []

    async def __call__(self, scope, receive, send):
        self.asked.append(scope["type"])


async def through(guard, kind="http", method="GET", path="/", headers=()):
    """What the guard itself sends."""
    sent = []

    async def receive():
        return {"type": f"{kind}.connect"}

    async def send(message):
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in [("Host", f"localhost:{PORT}"), *headers]]
    scope = {"type": kind, "method": method, "path": path, "headers": raw, "server": ("127.0.0.1", PORT)}
    await guard(scope, receive, send)
    return sent


async def test_a_refusal_says_why_and_nothing_is_asked():
    app = App()
    head, body = await through(Guard(app), headers=[("Origin", "null")])
    assert head["status"] == 403
    assert not [name for name, _ in head["headers"] if name.startswith(b"access-control")]
    assert "Web pages" in json.loads(body["body"])["error"]["message"]
    assert app.asked == []


async def test_web_sockets_are_closed_and_the_servers_own_messages_pass():
    app = App()
    assert [message["type"] for message in await through(Guard(app), "websocket")] == ["websocket.close"]
    assert await through(Guard(app), "lifespan") == []
    assert await through(Guard(app)) == []
    assert app.asked == ["lifespan", "http"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "served"),
    [
        ("POST", "/", [PUT_ITEM], True),
        ("POST", "/", [("X-Amz-Target", "DynamoDBStreams_20120810.GetRecords")], True),
        ("PUT", "/ours", [S3], True),
        ("GET", "/ours/index/manifest.json", [S3], True),
        ("GET", "/_ministack/health", [], True),
        ("POST", "/_subsecond/save", [], True),
        ("POST", "/", [], False),
        ("GET", "/", [S3], False),
        ("GET", "/", [PUT_ITEM], False),
        ("POST", "/", [("X-Amz-Target", "secretsmanager.GetSecretValue")], False),
        ("POST", "/", [("X-Amz-Target", "secretsmanager.GetSecretValue"), PUT_ITEM], False),
        ("POST", "/", [("Authorization", SIGNED.format("iam"))], False),
        ("PUT", "/others", [S3], False),
        ("GET", "/ours-too/a", [S3], False),
        ("GET", "/ours/a", [], False),
        ("GET", "/ours/a", [("Authorization", SIGNED.format("lambda"))], False),
        ("POST", "/ours/a", [S3, ("X-Amz-Target", "AWSStepFunctions.StartExecution")], False),
        ("POST", "/2015-03-31/functions", [S3], False),
        ("POST", "/_ministack/reset", [S3], False),
        ("POST", "/_ministack/reset", [PUT_ITEM], False),
        ("POST", "/_ministack/config", [], False),
        ("POST", "/_ministack/health", [], False),
        ("GET", "/_subsecond/save", [], False),
    ],
)
async def test_under_make_run_ministack_serves_the_gateways_needs_alone(method, path, headers, served):
    app = App()
    sent = await through(Guard(app, only_stores("ours")), method=method, path=path, headers=headers)
    assert (app.asked, [message.get("status") for message in sent]) == ((["http"], []) if served else ([], [403, None]))
