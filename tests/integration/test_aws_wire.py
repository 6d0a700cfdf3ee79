"""A function's own way to the tables and the bucket: it says what boto3 says, and lives through as much."""

import http.server
import threading
import time
from contextlib import closing, contextmanager

import boto3
import pytest
from botocore.exceptions import ClientError

from subsecond.aws.access import Access, WireError, access_of
from subsecond.aws.client import Aws, code_of
from subsecond.aws.dynamodb_wire import DynamoWire
from subsecond.aws.signing import Credentials
from subsecond.aws.wire import KEEP, Answer, Wire
from subsecond.config import Settings

FUNCTION = {"AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "k"}
FUNCTION |= {"AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}


@pytest.fixture
def both(emulator, monkeypatch):
    """The clients of a function, and boto3's: `(dynamodb, s3), (dynamodb, s3)`."""
    for name, value in (emulator | {"AWS_LAMBDA_FUNCTION_NAME": "f"}).items():
        monkeypatch.setenv(name, value)
    aws = Aws(Settings(store_timeout=5.0))
    assert isinstance(aws.dynamodb, DynamoWire)
    yield (aws.dynamodb, aws.s3), (boto3.client("dynamodb"), boto3.client("s3"))
    aws.close()


def said(call, *args, **named):
    """What the call returns, without what boto3 adds; or the code of its refusal."""
    try:
        found = call(*args, **named)
    except (WireError, ClientError) as error:
        return code_of(error)
    return {name: value for name, value in found.items() if name != "ResponseMetadata"}


PLACE = {"pk": {"S": "wire"}, "sk": {"S": "1"}}
ITEM = {**PLACE, "bytes": {"B": b"\x00\xff"}, "words": {"SS": ["a", "ü"]}, "n": {"N": "1.5"}, "B": {"S": "no bytes"}}
CALLS = [
    ("put_item", {"Item": ITEM}),
    ("get_item", {"Key": PLACE, "ConsistentRead": True}),
    ("get_item", {"Key": {**PLACE, "sk": {"S": "2"}}}),
    ("put_item", {"Item": ITEM, "ConditionExpression": "attribute_not_exists(pk)"}),
    (
        "update_item",
        {
            "Key": PLACE,
            "UpdateExpression": "SET #n = :n",
            "ExpressionAttributeNames": {"#n": "n"},
            "ExpressionAttributeValues": {":n": {"B": bytearray(b"x")}},
            "ReturnValues": "ALL_OLD",
        },
    ),
    ("query", {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": "wire"}}}),
    ("get_item", {"Key": {"pk": {"S": "no sort key"}}}),
    ("delete_item", {"Key": PLACE}),
]


def test_calls_of_dynamodb_are_boto3s(both):
    (ours, _), (theirs, _) = both
    found = {}
    for client in (theirs, ours):
        found[client] = [said(getattr(client, name), TableName="subsecond-state", **call) for name, call in CALLS]
        keys = {"subsecond-state": {"Keys": [PLACE], "ConsistentRead": True}}
        client.put_item(TableName="subsecond-state", Item=ITEM)
        found[client].append(said(client.batch_get_item, RequestItems=keys))
        found[client].append(said(client.get_item, TableName="none", Key=PLACE))
        client.delete_item(TableName="subsecond-state", Key=PLACE)
    assert found[ours] == found[theirs]
    assert "ConditionalCheckFailedException" in found[ours]


def test_a_refused_condition_is_the_clients_own_exception(both):
    (ours, _), _ = both
    with pytest.raises(ours.exceptions.ConditionalCheckFailedException):
        ours.delete_item(TableName="subsecond-state", Key=PLACE, ConditionExpression="attribute_exists(pk)")


def test_pages_are_read_to_the_last(both):
    (ours, _), _ = both
    for at in range(5):
        ours.put_item(TableName="subsecond-state", Item={"pk": {"S": "pages"}, "sk": {"S": str(at)}})
    pages = ours.get_paginator("query").paginate(
        TableName="subsecond-state",
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": "pages"}},
        Limit=2,
    )
    assert [item["sk"]["S"] for page in pages for item in page["Items"]] == ["0", "1", "2", "3", "4"]


def test_calls_of_s3_are_boto3s(both):
    (_, ours), (_, theirs) = both
    name = {"Bucket": "subsecond-index", "Key": "a:b/k ü+~.json"}
    found = {}
    for client in (theirs, ours):
        put = client.put_object(**name, Body=b"one")
        etag = put["ETag"]
        read = client.get_object(**name)
        found[client] = [
            etag,
            (read["ETag"], read["Body"].read()),
            said(client.get_object, **name, IfNoneMatch=etag),
            said(client.put_object, **name, Body=b"two", IfNoneMatch="*"),
            said(client.put_object, **name, Body=b"two", IfMatch='"other"'),
            client.put_object(**name, Body=b"two", IfMatch=etag)["ETag"],
            said(client.get_object, Bucket=name["Bucket"], Key="none"),
        ]
    assert found[ours] == found[theirs]
    assert found[ours][2:5] == ["304", "PreconditionFailed", "PreconditionFailed"]
    with pytest.raises(ours.exceptions.NoSuchKey):
        ours.get_object(Bucket=name["Bucket"], Key="none")
    # What the wire has not is boto3's.
    listed = ours.get_paginator("list_objects_v2").paginate(Bucket=name["Bucket"], Prefix="a:b/")
    assert [one["Key"] for page in listed for one in page["Contents"]] == [name["Key"]]


@pytest.mark.parametrize(
    "without",
    [
        {"AWS_LAMBDA_FUNCTION_NAME": None},
        {"AWS_ACCESS_KEY_ID": None},
        {"HTTPS_PROXY": "http://proxy"},
        {"AWS_REGION": "cn-north-1"},
        {"AWS_USE_FIPS_ENDPOINT": "true"},
    ],
)
def test_only_a_function_with_credentials_in_its_environment_goes_by_the_wire(without):
    assert access_of(FUNCTION) == Access(Credentials("k", "s", "t"), "eu-west-1")
    own = FUNCTION | {"AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_S3": "http://s3"}
    assert [access_of(own).url(service, "r") for service in ("s3", "dynamodb")] == ["http://s3", "http://all"]
    changed = {name: value for name, value in (FUNCTION | without).items() if value is not None}
    assert access_of(changed) is None


class Server(http.server.ThreadingHTTPServer):
    """Answers with these statuses; None hangs up without an answer. Notes what came."""

    def __init__(self, *steps):
        self.steps, self.seen = list(steps), []
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @contextmanager
    def wire(self):
        access, url = Access(Credentials("k", "s"), "eu-west-1"), f"http://127.0.0.1:{self.server_port}"
        with self, closing(Wire(access, "dynamodb", url, 2.0)) as wire:
            yield wire
            self.shutdown()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        content = self.rfile.read(int(self.headers["content-length"]))
        self.server.seen.append((self.client_address, content))
        status = self.server.steps.pop(0)
        if status is None:
            self.close_connection = True
            return
        body = b"{}" if status == 200 else b'{"__type": "x#ThrottlingException"}'
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(
    ("steps", "last"), [((200,), 200), ((500, 200), 200), ((400, 200), 200), ((None, 200), 200), ((500, 500), 500)]
)
def test_a_call_that_may_pass_is_tried_twice(steps, last):
    server = Server(*steps)
    with server.wire() as wire:
        assert wire.ask("POST", "/", {}, b"x").status == last
    assert [content for _, content in server.seen] == [b"x"] * len(steps)


def test_a_connection_is_kept_until_it_is_closed():
    server = Server(200, 200, 200)
    with server.wire() as wire:
        for content in (b"1", b"2"):
            wire.ask("POST", "/", {}, content)
        assert len({address for address, _ in server.seen}) == 1
        wire.close()
        wire.ask("POST", "/", {}, b"3")
    assert len({address for address, _ in server.seen}) == 2


def test_a_connection_that_was_long_unused_is_not_trusted():
    server = Server(200, 200)
    with server.wire() as wire:
        wire.ask("POST", "/", {}, b"1")
        wire._idle[0] = (wire._idle[0][0], time.time() - KEEP)
        wire.ask("POST", "/", {}, b"2")
    assert len({address for address, _ in server.seen}) == 2


def test_what_an_object_says_is_no_refusal():
    with Server(200).wire() as wire:
        assert not wire.passes(Answer(200, None, b"ThrottlingException"))
        assert wire.passes(Answer(400, None, b"ThrottlingException"))


def test_a_server_that_is_away_is_an_error_with_a_code():
    with Server(None, None).wire() as wire, pytest.raises(WireError) as raised:
        wire.ask("POST", "/", {}, b"x")
    assert code_of(raised.value) == "RemoteDisconnected"
