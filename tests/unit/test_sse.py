"""The splitter: however a stream of events is cut, the chunks are the same."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.model import Chunk
from subsecond.streaming.sse import DONE, Splitter, encode, is_done

# An event without data: a sign of life.
EMPTY = Chunk(b"", comment=True)
# Payloads as servers send them (JSON without line breaks, non-ASCII, empty) and as the format allows (several lines).
LINE = st.one_of(
    st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=("Cs",)), max_size=20),
    st.sampled_from(['{"a": 1}', "[DONE]", "data: data", ": x", "é\N{GRINNING FACE}", "\ufeff"]),
).map(str.encode)
PAYLOAD = st.lists(LINE, min_size=1, max_size=3).map(b"\n".join)
SAID = st.one_of(
    PAYLOAD.filter(bytes.strip).map(Chunk),
    st.builds(Chunk, PAYLOAD.filter(bytes.strip), name=st.sampled_from([b"error", b"response.created", b"x y"])),
    LINE.map(lambda line: Chunk(line, comment=True)),
)
END = st.sampled_from([b"\n", b"\r\n", b"\r"])
IGNORED = st.sampled_from([b"event: message", b"id: 7", b"retry: 10", b"unknown", b"dat: x", b"DATA: x"])


def event(payload):
    return Chunk(payload) if payload.strip() else EMPTY


@st.composite
def streams(draw):
    """(bytes, chunks) of a stream: any line ends, with and without the space, comments and other fields between."""
    sent, chunks = b"", []
    for payload in draw(st.lists(PAYLOAD, max_size=6)):
        # A line end of "\r" before one of "\n" would be read as one "\r\n", so an event keeps to one kind; so do
        # neighbours, because the border between them is made of both.
        end = draw(END) if not sent.endswith(b"\r") else b"\r"
        lines = [
            b"data:" + (b" " if line[:1] == b" " or draw(st.booleans()) else b"") + line
            for line in payload.split(b"\n")
        ]
        at = draw(st.integers(0, len(lines)))
        lines[at:at] = draw(st.lists(IGNORED, max_size=2))
        if draw(st.booleans()):
            lines[at:at] = [b": ping"]
            chunks.append(Chunk(b" ping", comment=True))
        sent += b"".join(line + end for line in [*lines, b""])
        chunks.append(event(payload))
    return sent, chunks


def pieces(data, cuts):
    borders = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(borders)]


def chunks_of(parts, **limits):
    splitter = Splitter(**limits)
    return [chunk for part in parts for chunk in splitter.feed(part)]


def ended(parts):
    """What is left at the end of the body."""
    splitter = Splitter()
    for part in parts:
        splitter.feed(part)
    return splitter.finish()


def told(parts):
    splitter = Splitter()
    said = [chunk for part in parts for chunk in splitter.feed(part)]
    try:
        return said, splitter.finish()
    except ValueError as error:
        return said, str(error)


def singly(data):
    return [data[at : at + 1] for at in range(len(data))]


@given(streams(), st.lists(st.integers(0, 10_000), max_size=20))
def test_any_cut_of_any_stream_gives_the_same_chunks(stream, cuts):
    data, chunks = stream
    assert chunks_of(pieces(data, cuts)) == chunks
    assert ended(pieces(data, cuts)) == []


@given(streams())
def test_single_bytes_give_the_same_chunks(stream):
    data, chunks = stream
    assert chunks_of(singly(data)) == chunks


@given(st.lists(SAID, max_size=6), st.lists(st.integers(0, 10_000), max_size=9))
def test_what_is_encoded_is_split_again(chunks, cuts):
    assert chunks_of(pieces(b"".join(map(encode, chunks)), cuts)) == chunks


@given(st.binary(max_size=60).map(lambda data: data.replace(b"x", b"data:")), st.lists(st.integers(0, 99), max_size=6))
def test_cuts_do_not_matter_even_in_rubbish(data, cuts):
    assert told(pieces(data, cuts)) == told([data])


@given(st.integers(1, 40), st.integers(0, 40), st.lists(st.integers(0, 99), max_size=6))
def test_the_bound_is_on_the_payload_and_exact(size, limit, cuts):
    parts = pieces(b"data: " + b"x" * size + b"\n\n", cuts)
    if size <= limit:
        assert chunks_of(parts, limit=limit) == [Chunk(b"x" * size)]
    else:
        with pytest.raises(ValueError, match=f"more than {limit} bytes"):
            chunks_of(parts, limit=limit)


def test_the_bound_holds_for_an_event_of_many_lines():
    with pytest.raises(ValueError, match="event of more than 10 bytes"):
        chunks_of([b"data: 12345\n"] * 3, limit=10)


@pytest.mark.parametrize("part", [b": 12345678", b"data: 123", b"event: 12"])
def test_the_bound_holds_for_a_line_that_never_ends(part):
    with pytest.raises(ValueError, match="line of more than 10 bytes"):
        chunks_of([part] * 3, limit=10)


def test_many_small_events_in_one_read_may_be_more_than_the_bound_together():
    assert chunks_of([b"data: 12345678\n\n" * 5], limit=10) == [Chunk(b"12345678")] * 5


@pytest.mark.parametrize(
    ("data", "chunks"),
    [
        (b"data: a\n\ndata: b\n\n", [Chunk(b"a"), Chunk(b"b")]),
        (b"data:a\n\n", [Chunk(b"a")]),
        (b"data:  a\n\n", [Chunk(b" a")]),
        (b"data: a\ndata: b\n\n", [Chunk(b"a\nb")]),
        (b"data: a\r\ndata: b\r\n\r\n", [Chunk(b"a\nb")]),
        (b"data: a\rdata: b\r\r", [Chunk(b"a\nb")]),
        (b": ping\n\ndata: a\n\n", [Chunk(b" ping", comment=True), Chunk(b"a")]),
        (b":\n\n", [EMPTY]),
        (b"data: a\n: in between\n\n", [Chunk(b" in between", comment=True), Chunk(b"a")]),
        (b"event: message\nid: 1\ndata: a\n\n", [Chunk(b"a")]),
        (b"event: error\ndata: a\n\ndata: b\n\n", [Chunk(b"a", name=b"error"), Chunk(b"b")]),
        (b"data: a\nevent:error\n\n", [Chunk(b"a", name=b"error")]),
        (b"data: \n\n", [EMPTY]),
        (b"data\n\n", [EMPTY]),
        (b"data:   \n\n", [EMPTY]),
        (b"event: ping\n\ndata: a\n\n", [EMPTY, Chunk(b"a")]),
        (b"id: 1\n\n", []),
        (b"\n\n\ndata: a\n\n", [Chunk(b"a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [Chunk(b"a")]),
        (b"data: a\n\ndata: unfinished", [Chunk(b"a")]),
        (b"data: a\n\ndata: unfinished\n", [Chunk(b"a")]),
        (b"data: a\x0bb\x0cc\x1cd\xc2\x85e\n\n", [Chunk(b"a\x0bb\x0cc\x1cd\xc2\x85e")]),
        (DONE, [Chunk(b"[DONE]")]),
        (b"", []),
    ],
)
def test_the_format_is_read_as_it_is_defined(data, chunks):
    assert chunks_of([data]) == chunks
    assert chunks_of(singly(data)) == chunks


def test_an_event_is_given_out_as_soon_as_its_last_byte_is_there():
    for end in (b"\n\n", b"\r\r"):
        splitter = Splitter()
        assert splitter.feed(b"data: a" + end[:1]) == []
        assert splitter.feed(end[1:]) == [Chunk(b"a")]


def test_a_comment_is_given_out_with_its_line():
    assert Splitter().feed(b": thinking\n") == [Chunk(b" thinking", comment=True)]


@pytest.mark.parametrize(
    ("data", "left"),
    [
        (b'data: {"a": 1}\n', [Chunk(b'{"a": 1}')]),
        (b"data: error: out of memory\n", [Chunk(b"error: out of memory")]),
        (b'data: {"a": 1}', [Chunk(b'{"a": 1}')]),
        (b'data: {"a":\ndata: 1}', [Chunk(b'{"a":\n1}')]),
        (b'event: error\ndata: {"a": 1}\n', [Chunk(b'{"a": 1}', name=b"error")]),
        (b"data: [DONE]", [Chunk(b"[DONE]")]),
        (b"data: [DONE] ", [Chunk(b"[DONE] ")]),
        (b'\xef\xbb\xbfdata: {"a": 1}', [Chunk(b'{"a": 1}')]),
        (b"data: a\n\n", []),
        (b"data: a\n\n: pin", []),
        (b"data: a\n\nevent: x\n", []),
        (b"data: a\n\nretry: 1", []),
        (b"", []),
    ],
)
def test_the_end_of_the_body_ends_the_last_event(data, left):
    assert ended([data]) == left
    assert ended(singly(data)) == left


@pytest.mark.parametrize("data", [b'data: {"a": 1', b'data: {"a": 1}\nda', b"data: ", b"data", b"data: [DON", b"d"])
def test_a_body_that_ends_inside_an_event_is_broken(data):
    with pytest.raises(ValueError, match="ends inside an event"):
        ended([data])


def test_too_deep_a_last_line_is_broken_too():
    with pytest.raises(ValueError, match="ends inside an event"):
        ended([b"data: " + b"[" * 100_000])


def test_a_line_break_in_a_payload_cannot_end_its_event():
    assert encode(Chunk(b'{\n"a": 1}')) == b'data: {\ndata: "a": 1}\n\n'
    assert encode(Chunk(b"a\r\nb")) == b"data: a\ndata: b\n\n"
    assert encode(Chunk(b" a\nb", comment=True)) == b": a\n:b\n\n"


def test_comments_and_names_are_written_as_they_came():
    assert encode(Chunk(b" ping", comment=True)) == b": ping\n\n"
    assert encode(Chunk(b"{}", name=b"error")) == b"event: error\ndata: {}\n\n"


@pytest.mark.parametrize("payload", [b"[DONE]", b"[DONE] ", b"  [DONE]\t", b"\n[DONE]"])
def test_done_may_have_blanks_around_it(payload):
    assert is_done(payload)


@pytest.mark.parametrize("payload", [b"", b"[]", b'"[DONE]"', b"{}", b"[DON"])
def test_what_is_json_is_not_done(payload):
    assert not is_done(payload)


@pytest.mark.parametrize("more", [b"", b"data: [DONE]\n\n"])
def test_a_field_named_error_is_an_event_of_that_name(more):
    assert Splitter().feed(b'error: {"code":400}\n\n' + more)[0] == Chunk(b'{"code":400}', name=b"error")
