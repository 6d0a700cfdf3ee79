"""The splitter: however a stream of events is cut, the payloads are the same."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.streaming.sse import DONE, Splitter, encode

# Payloads as servers send them (JSON without line breaks, non-ASCII, empty) and as the format allows (several lines).
LINE = st.one_of(
    st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=("Cs",)), max_size=20),
    st.sampled_from(['{"a": 1}', "[DONE]", "data: data", ": x", "é\N{GRINNING FACE}", "\ufeff"]),
).map(str.encode)
PAYLOAD = st.lists(LINE, min_size=1, max_size=3).map(b"\n".join)
END = st.sampled_from([b"\n", b"\r\n", b"\r"])
IGNORED = st.sampled_from(
    [b": ping", b":", b"event: message", b"id: 7", b"retry: 10", b"unknown", b"dat: x", b"DATA: x"]
)


@st.composite
def streams(draw):
    """(bytes, payloads) of a stream: any line ends, with and without the space, comments and other fields between."""
    sent, payloads = b"", draw(st.lists(PAYLOAD, max_size=6))
    for payload in payloads:
        # A line end of "\r" before one of "\n" would be read as one "\r\n", so an event keeps to one kind; so do
        # neighbours, because the border between them is made of both.
        end = draw(END) if not sent.endswith(b"\r") else b"\r"
        lines = [
            b"data:" + (b" " if line[:1] == b" " or draw(st.booleans()) else b"") + line
            for line in payload.split(b"\n")
        ]
        ignored = draw(st.lists(IGNORED, max_size=2))
        at = draw(st.integers(0, len(lines)))
        lines[at:at] = ignored
        sent += b"".join(line + end for line in [*lines, b""])
    return sent, payloads


def pieces(data, cuts):
    borders = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(borders)]


def payloads_of(parts, **limits):
    splitter = Splitter(**limits)
    return [payload for part in parts for payload in splitter.feed(part)]


@given(streams(), st.lists(st.integers(0, 10_000), max_size=20))
def test_any_cut_of_any_stream_gives_the_same_payloads(stream, cuts):
    data, payloads = stream
    assert payloads_of(pieces(data, cuts)) == payloads


@given(streams())
def test_single_bytes_give_the_same_payloads(stream):
    data, payloads = stream
    assert payloads_of([data[at : at + 1] for at in range(len(data))]) == payloads


@given(st.lists(PAYLOAD, max_size=6), st.lists(st.integers(0, 10_000), max_size=9))
def test_what_is_encoded_is_split_again(payloads, cuts):
    assert payloads_of(pieces(b"".join(map(encode, payloads)), cuts)) == payloads


@given(st.binary(max_size=60).map(lambda data: data.replace(b"x", b"data:")), st.lists(st.integers(0, 99), max_size=6))
def test_cuts_do_not_matter_even_in_rubbish(data, cuts):
    assert payloads_of(pieces(data, cuts)) == payloads_of([data])


@given(st.integers(0, 40), st.integers(0, 40), st.lists(st.integers(0, 99), max_size=6))
def test_the_bound_is_on_the_payload_and_exact(size, limit, cuts):
    parts = pieces(b"data: " + b"x" * size + b"\n\n", cuts)
    if size <= limit:
        assert payloads_of(parts, limit=limit) == [b"x" * size]
    else:
        with pytest.raises(ValueError, match=f"more than {limit} bytes"):
            payloads_of(parts, limit=limit)


def test_the_bound_holds_for_an_event_of_many_lines():
    with pytest.raises(ValueError, match="event of more than 10 bytes"):
        payloads_of([b"data: 12345\n"] * 3, limit=10)


def test_the_bound_holds_for_a_line_that_never_ends():
    with pytest.raises(ValueError, match="line of more than 10 bytes"):
        payloads_of([b": 12345678"] * 3, limit=10)


def test_many_small_events_in_one_read_may_be_more_than_the_bound_together():
    assert payloads_of([b"data: 12345678\n\n" * 5], limit=10) == [b"12345678"] * 5


@pytest.mark.parametrize(
    ("data", "payloads"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: \n\n", [b""]),
        (b"data\n\n", [b""]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data: a\r\ndata: b\r\n\r\n", [b"a\nb"]),
        (b"data: a\rdata: b\r\r", [b"a\nb"]),
        (b": ping\n\ndata: a\n\n", [b"a"]),
        (b"event: message\nid: 1\ndata: a\n\n", [b"a"]),
        (b"\n\n\ndata: a\n\n", [b"a"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data: a\n\ndata: unfinished", [b"a"]),
        (b"data: a\n\ndata: unfinished\n", [b"a"]),
        (b"data: a\x0bb\x0cc\x1cd\xc2\x85e\n\n", [b"a\x0bb\x0cc\x1cd\xc2\x85e"]),
        (DONE, [b"[DONE]"]),
        (b"", []),
    ],
)
def test_the_format_is_read_as_it_is_defined(data, payloads):
    assert payloads_of([data]) == payloads
    assert payloads_of([data[at : at + 1] for at in range(len(data))]) == payloads


def test_an_event_is_given_out_as_soon_as_its_last_byte_is_there():
    for end in (b"\n\n", b"\r\r"):
        splitter = Splitter()
        assert splitter.feed(b"data: a" + end[:1]) == []
        assert splitter.feed(end[1:]) == [b"a"]


def test_a_line_break_in_a_payload_cannot_end_its_event():
    assert encode(b'{\n"a": 1}') == b'data: {\ndata: "a": 1}\n\n'
    assert encode(b"a\r\nb") == b"data: a\ndata: b\n\n"
