"""Responses and Messages over HTTP: keys, headers, framing, errors and faults of the simulator's server."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from tests.support.dialects import FAST, asked, words
from tests.support.simulator import SimulatorProcess

VERSION = {"anthropic-version": "2023-06-01"}
PATHS = {"responses": "/v1/responses", "messages": "/v1/messages"}
LAST = {"responses": "response.completed", "messages": "message_stop"}
every = pytest.mark.parametrize("dialect", PATHS)


@pytest.fixture(scope="module")
def server():
    with SimulatorProcess(key="secret") as process:
        yield process


@pytest.fixture
def ask(server):
    """`ask(path, body)`: status, content type and body."""
    server.reset()

    def asking(path, body=None, method=None, **headers):
        sent = VERSION | {"x-api-key": "secret"} | {name.replace("_", "-"): value for name, value in headers.items()}
        data = None if body is None else json.dumps(body)
        with closing(http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)) as connection:
            connection.request(method or ("POST" if body else "GET"), path, data, sent)
            response = connection.getresponse()
            return response.status, response.headers["content-type"], response.read()

    return asking


def events(body):
    """Names and data of the events of a stream."""
    *found, rest = body.decode().split("\n\n")
    assert rest == ""
    pairs = [event.split("\n") for event in found]
    return [(name.removeprefix("event: "), data.removeprefix("data: ")) for name, data in pairs]


@every
def test_events_have_names_and_no_done(ask, dialect):
    status, kind, body = ask(PATHS[dialect], asked(dialect, stream=True))
    assert (status, kind) == (200, "text/event-stream; charset=utf-8")
    told = events(body)
    assert all(json.loads(data)["type"] == name for name, data in told)
    assert told[-1][0] == LAST[dialect]


@every
def test_whole_answers_are_json(ask, dialect):
    status, kind, body = ask(PATHS[dialect], asked(dialect))
    assert (status, kind) == (200, "application/json")
    assert len(words(dialect, json.loads(body)).split()) == 8


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x_api_key": "secret"}, 200),
        ({"x_api_key": "", "authorization": "Bearer secret"}, 200),
        ({"x_api_key": "wrong"}, 401),
        ({"x_api_key": ""}, 401),
        ({"x_api_key": "secret", "authorization": "Bearer wrong"}, 401),
    ],
)
def test_a_key_comes_by_either_header(ask, headers, status):
    assert ask("/v1/messages", asked("messages"), **headers)[0] == status


def test_messages_want_a_version(server):
    with closing(http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)) as connection:
        connection.request("POST", "/v1/messages", json.dumps(asked("messages")), {"x-api-key": "secret"})
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["error"]["type"]) == (400, "invalid_request_error")


def test_errors_have_the_shape_of_their_path(ask):
    status, _, body = ask("/v1/messages", asked("messages", model="claude"))
    assert (status, json.loads(body)["error"]["type"]) == (404, "not_found_error")
    status, _, body = ask("/v1/messages", asked("messages", model=f"{FAST}-fstatus529"))
    assert (status, json.loads(body)["error"]["type"]) == (529, "overloaded_error")
    status, _, body = ask("/v1/messages/batches", {})
    assert (status, json.loads(body)["type"]) == (404, "error")


@every
@pytest.mark.parametrize(("fault", "name"), [("errorevent=3", "error"), ("nodone", None), ("malformed=3", None)])
def test_faults_of_streams(ask, server, dialect, fault, name):
    told = events(ask(PATHS[dialect], asked(dialect, stream=True), x_sim_fault=fault)[2])
    if fault == "malformed=3":
        bad = [data for _, data in told if not data.endswith("}")]
        assert len(bad) == 1
        assert told[-1][0] == LAST[dialect]
        return
    assert told[-1][0] != LAST[dialect]
    assert name in (None, told[-1][0])
    assert server.stats()["broken"] == 1


@every
@pytest.mark.parametrize("streamed", [True, False])
def test_a_connection_that_dies(ask, dialect, streamed):
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        ask(PATHS[dialect], asked(dialect, stream=streamed), x_sim_fault="truncate=3")


@every
def test_slow_writes_say_the_same(ask, dialect):
    plain, slow = (ask(PATHS[dialect], asked(dialect), x_sim_fault=fault)[2] for fault in ("", "slow"))
    assert words(dialect, json.loads(plain)) == words(dialect, json.loads(slow))
    told = events(ask(PATHS[dialect], asked(dialect, stream=True), x_sim_fault="slow")[2])
    assert told[-1][0] == LAST[dialect]


def test_a_response_is_fetched_listed_and_deleted(ask):
    made = json.loads(ask("/v1/responses", asked("responses"))[2])
    path = f"/v1/responses/{made['id']}"
    assert json.loads(ask(path)[2]) == made
    assert json.loads(ask(f"{path}/input_items")[2])["data"][0]["role"] == "user"
    assert ask(f"{path}/input_items", method="DELETE")[0] == 405
    assert json.loads(ask(path, method="DELETE")[2]) == {"id": made["id"], "object": "response", "deleted": True}
    assert ask(path)[0] == 404
    assert ask("/v1/responses/")[0] == 404


def test_models_are_listed_in_the_callers_dialect(ask, server):
    theirs = json.loads(ask("/v1/models")[2])
    assert (theirs["has_more"], theirs["data"][0]["type"]) == (False, "model")
    assert ask("/v1/models/gpt-none")[0] == 404
    assert json.loads(ask("/v1/models/sim-t0-i0-n8")[2])["id"] == "sim-t0-i0-n8"
    with closing(http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)) as connection:
        connection.request("GET", "/v1/models", headers={"authorization": "Bearer secret"})
        ours = json.loads(connection.getresponse().read())
    assert ours["object"] == "list"
    assert [one["id"] for one in ours["data"]] == [one["id"] for one in theirs["data"]]


def test_tokens_are_counted(ask):
    assert json.loads(ask("/v1/messages/count_tokens", asked("messages"))[2])["input_tokens"] > 0
    assert ask("/v1/messages/count_tokens", {"model": FAST})[0] == 400
