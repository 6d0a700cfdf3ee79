"""Logs of any common form become requests; what holds none is counted."""

import json

import pytest

from subsecond_local.errors import LocalError
from subsecond_local.replay.log import logged, read

ASKED = [{"role": "user", "content": "Hello?"}]
SAID = {"choices": [{"message": {"content": "Hi."}}], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


@pytest.fixture
def written(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    "row",
    [
        {"model": "m", "messages": ASKED, "temperature": 0},
        {"time": 5, "body": {"model": "m", "messages": ASKED, "temperature": 0, "stream": True}},
        {"request": json.dumps({"model": "m", "messages": ASKED, "temperature": 0})},
        {"model": "m", "messages": json.dumps(ASKED), "optional_params": {"temperature": 0}},
        {"model": "m", "proxy_server_request": {"body": {"model": "m", "messages": ASKED, "temperature": 0}}},
        {"model": "m", "input": ASKED, "modelParameters": {"temperature": 0, "unheard": None}},
        {"model": "m", "input": {"messages": ASKED}, "temperature": 0},
        {"model": "m", "question": "Hello?", "temperature": "0"},
    ],
)
def test_the_request_is_the_same_whatever_the_form(row):
    call = logged(row).call
    assert (call.model, call.body["messages"]) == ("m", ASKED)
    assert call.body.get("temperature", 0) == 0
    assert "stream" not in call.body


@pytest.mark.parametrize(
    ("row", "tokens", "cost"),
    [
        ({"response": SAID}, (3, 2), 0),
        ({"response": json.dumps(SAID), "spend": "0.5"}, (3, 2), 0.5),
        ({"output": {"content": "Hi."}, "usageDetails": {"input": 3, "output": 2}, "totalCost": 0.5}, (3, 2), 0.5),
        ({"response": "Hi.", "prompt_tokens": "3", "completion_tokens": "2"}, (3, 2), 0),
        ({"response": "Hi.", "prompt_tokens": "many", "cost": float("nan")}, (0, 0), 0),
    ],
)
def test_what_was_answered_and_spent_is_read_from_where_the_log_has_it(row, tokens, cost):
    found = logged({"messages": ASKED, **row})
    assert (found.answer, found.tokens_in, found.tokens_out, found.cost) == ("Hi.", *tokens, cost)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ({"time": 1_790_000_000}, 1_790_000_000.0),
        ({"timestamp": 1_790_000_000_000}, 1_790_000_000.0),
        ({"startTime": "2026-09-21T14:13:20.000Z"}, 1_790_000_000.0),
        ({"created_at": "1790000000"}, 1_790_000_000.0),
        ({"time": "yesterday"}, None),
        ({}, None),
    ],
)
def test_times_are_read_in_seconds_milliseconds_and_words(value, seconds):
    assert logged({"messages": ASKED, **value}).at == seconds


@pytest.mark.parametrize("row", [{}, {"messages": []}, {"messages": "Hello?"}, {"body": 1}, {"input": {"a": 1}}])
def test_a_row_without_a_request_is_none(row):
    assert logged(row) is None


def test_rows_come_in_the_order_of_their_times_and_odd_ones_are_counted(written):
    rows = [{"time": 2, "question": "b"}, {"time": 1, "question": "a"}, 7, "{broken", {"else": 1}]
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    found = read(written("log.jsonl", text + "\n\n"))
    assert [one.call.body["messages"][0]["content"] for one in found.requests] == ["a", "b"]
    assert found.unread == 3
    assert len(read(written("log.jsonl", text), limit=1).requests) == 1


def test_a_list_of_json_and_tables_are_read_too(written):
    assert len(read(written("log.json", json.dumps([{"question": "a"}, {"question": "b"}]))).requests) == 2
    assert len(read(written("log.csv", '\ufefftime,question\n1,"a, b"\n2,c\n')).requests) == 2
    assert len(read(written("log.tsv", "question\tmodel\na\tm\n")).requests) == 1


def test_what_cannot_be_read_says_so(written, tmp_path):
    with pytest.raises(LocalError, match="cannot be read"):
        read(tmp_path / "none.jsonl")
    with pytest.raises(LocalError, match="holds no requests"):
        read(written("log.jsonl", '{"a": 1}\n'))


def test_a_row_ends_where_a_json_line_does(written):
    row = '{"model": "m", "question": "one\u2028two\u0085three"}'
    found = read(written("log.jsonl", f"{row}\r\n{row}\n"))
    assert (len(found.requests), found.unread) == (2, 0)


def test_a_table_with_a_byte_that_is_no_utf8_is_read(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(b"model,question\nm,caf\xe9?\n")
    assert len(read(path).requests) == 1
