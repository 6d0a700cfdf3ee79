"""The parser of HTTP responses: any cut gives what h11 gives, and what is doubtful is refused."""

from itertools import pairwise

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.upstreams.http.response_parser import MAX_LINES, Response

BODIES = st.lists(st.binary(min_size=1, max_size=30), max_size=5)
INTERIM = st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"])


def chunked(pieces, *, extension=b"", trailer=b""):
    sent = b"".join(b"%X%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces)
    return sent + b"0\r\n" + trailer + b"\r\n"


@st.composite
def responses(draw):
    """(bytes of a response that ends by itself, whether another may follow it)"""
    pieces, status = (
        draw(BODIES),
        draw(st.sampled_from([b"200 OK", b"200", b"404 Not Found", b"529 \xff", b"204 None"])),
    )
    headers, reusable = [b"Content-Type: text/event-stream", b"x-empty:", b"X-Odd:\t a: b \t"], True
    if draw(st.booleans()):
        headers.append(b"Connection: Close")
        reusable = False
    if status.startswith(b"204"):
        body = b""
    elif draw(st.booleans()):
        headers.insert(draw(st.integers(0, 2)), b"Transfer-Encoding: Chunked")
        extension, trailer = draw(st.sampled_from([b"", b";a=b"])), draw(st.sampled_from([b"", b"x-sum: 1\r\n"]))
        body = chunked(pieces, extension=extension, trailer=trailer)
    else:
        body = b"".join(pieces)
        headers.append(b"content-length: %d" % len(body))
    return draw(INTERIM) + b"\r\n".join([b"HTTP/1.1 " + status, *headers, b"", body]), reusable


def pieces_of(data, cuts):
    borders = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(borders)]


def parsed(*parts):
    response = Response()
    for part in parts:
        response.feed(part)
    return response


def by_h11(data):
    """(status, headers, body) as h11 reads it."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    status, headers, body = 0, [], b""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        if isinstance(event, h11.Response):
            status, headers = event.status_code, list(event.headers)
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
    return status, headers, body


@given(responses(), st.lists(st.integers(0, 10_000), max_size=20))
def test_any_cut_of_any_response_gives_what_h11_gives(response, cuts):
    data, reusable = response
    ours = parsed(*pieces_of(data, cuts))
    headers = [(name.lower(), value) for name, value in ours.headers if name.lower() != b"transfer-encoding"]
    status, theirs, body = by_h11(data)
    assert (ours.status, headers) == (status, [pair for pair in theirs if pair[0] != b"transfer-encoding"])
    assert b"".join(ours.body) == body
    assert ours.complete
    assert ours.reusable == reusable


@given(responses())
def test_single_bytes_give_the_same_and_completeness_comes_with_the_last(response):
    data, reusable = response
    ours = parsed(data[:-1])
    assert not ours.complete
    ours.feed(data[-1:])
    byte_by_byte = parsed(*(data[at : at + 1] for at in range(len(data))))
    assert (byte_by_byte.status, byte_by_byte.headers) == (ours.status, ours.headers)
    assert b"".join(byte_by_byte.body) == b"".join(ours.body)
    assert byte_by_byte.complete
    assert byte_by_byte.reusable == ours.reusable == reusable


RUBBISH = st.text(st.sampled_from("0123aF;\r\n "), max_size=40).map(str.encode)


def outcome(parts):
    response = Response()
    try:
        for part in parts:
            response.feed(part)
    except ValueError:
        return "refused"
    return b"".join(response.body), response.complete, response.reusable


@given(RUBBISH, st.lists(st.integers(0, 99), max_size=8))
def test_cuts_do_not_matter_even_in_rubbish(rubbish, cuts):
    data = b"HTTP/1.1 200\r\ntransfer-encoding: chunked\r\n\r\n" + rubbish
    assert outcome(pieces_of(data, cuts)) == outcome([data])


@given(responses(), st.binary(min_size=1, max_size=5).filter(bytes.strip))
def test_bytes_after_the_end_make_the_connection_unusable(response, extra):
    data, _ = response
    assert not parsed(data + extra).reusable
    assert not parsed(data, extra).reusable
    assert b"".join(parsed(data + extra).body) == b"".join(parsed(data).body)


def test_a_body_without_a_length_ends_with_the_connection():
    response = parsed(b"HTTP/1.1 200 OK\r\n\r\n", b"some", b"thing")
    assert not response.complete
    response.end()
    assert response.complete
    assert b"".join(response.body) == b"something"
    assert not response.reusable


@pytest.mark.parametrize("head", [b"content-length: 5", b"transfer-encoding: chunked"])
def test_a_body_with_a_length_does_not_end_with_the_connection(head):
    response = parsed(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n", b"5\r\n")
    response.end()
    assert not response.complete


def test_a_head_without_end_does_not_end_with_the_connection():
    response = parsed(b"HTTP/1.1 200 OK\r\n")
    response.end()
    assert not response.complete
    assert response.begun


def test_an_old_server_closes_after_each_answer():
    assert not parsed(b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n").reusable


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nname : value\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na: b\r\n folded: c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: value\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0x5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\n",
    ],
)
def test_a_doubtful_head_is_refused(data):
    with pytest.raises(ValueError, match=r"."):
        parsed(data)


@pytest.mark.parametrize("size", [b"", b"-1", b"+1", b"0x1", b"1_0", b" 1", b"g", b"1" * 17, b"1 1"])
def test_a_doubtful_chunk_size_is_refused(size):
    with pytest.raises(ValueError, match=r"not HTTP/1\.1"):
        parsed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + size + b"\r\n")


def test_a_chunk_that_does_not_end_where_it_says_is_refused():
    with pytest.raises(ValueError, match=r"not HTTP/1\.1"):
        parsed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n")


def test_a_length_and_a_coding_together_are_read_by_the_coding_and_not_trusted_further():
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n"
    response = parsed(head + chunked([b"abcde"]))
    assert b"".join(response.body) == b"abcde"
    assert response.complete
    assert not response.reusable


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 OK\r\nx: ", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;"]
)
def test_lines_without_end_are_bounded(start):
    with pytest.raises(ValueError, match="without end"):
        parsed(start, *[b"x" * 1000] * (MAX_LINES // 1000 + 1))
