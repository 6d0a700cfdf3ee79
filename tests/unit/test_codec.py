"""Recordings as bytes for the stores."""

import contextlib
import json
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from subsecond.cache.codec import UNPACKED_LIMIT, VERSION, pack, unpack
from subsecond.model import Recording

# Lone surrogates too: JSON's escapes can carry them.
texts = st.text(st.characters(exclude_categories=()))
usages = st.none() | st.dictionaries(texts, st.integers() | st.dictionaries(texts, st.integers(), max_size=2))
recordings = st.builds(
    Recording,
    st.sampled_from(["whole", "stream"]),
    st.lists(st.binary(max_size=50), max_size=8).map(tuple),
    texts,
    texts,
    usages,
    texts,
    st.booleans(),
    texts,
)


@given(recordings)
@example(Recording("stream", (b"", b'{"a":1}', b"\n", b""), "stop", "m", None, "a\ud800b"))
def test_what_was_packed_comes_back(recording):
    assert unpack(pack(recording)) == recording


@given(recordings, st.data())
def test_cut_or_damaged_bytes_are_refused(recording, data):
    blob = pack(recording)
    cut = data.draw(st.integers(0, len(blob) - 1))
    with pytest.raises(ValueError, match="stored answer"):
        unpack(blob[:cut])
    at = data.draw(st.integers(0, len(blob) - 1))
    flipped = blob[:at] + bytes([blob[at] ^ 0x5A]) + blob[at + 1 :]
    with contextlib.suppress(ValueError):
        assert unpack(flipped) == recording  # a bit that does not count (the level in zlib's header)


def packed(head, rest=b""):
    line = head if isinstance(head, bytes) else json.dumps(head).encode()
    return VERSION + zlib.compress(line + b"\n" + rest)


HEAD = {"form": "whole", "finish": "stop", "model": "m", "usage": None, "acts": False, "text": 2, "payloads": [3]}


def test_a_head_as_it_is_written_is_read():
    assert unpack(packed(HEAD, b"Hi{1}")) == Recording("whole", (b"{1}",), "stop", "m", text="Hi")


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"1" + zlib.compress(b'{"pieces":[2],"finish":"stop","model":"m"}\n{}'),
        packed(b"no JSON"),
        packed(b"[" * 100_000),
        packed(b"[]"),
        packed({**HEAD, "form": "other"}, b"Hi{1}"),
        packed({**HEAD, "payloads": [4]}, b"Hi{1}"),
        packed({**HEAD, "payloads": [2]}, b"Hi{1}"),
        packed({**HEAD, "payloads": ["3"]}, b"Hi{1}"),
        packed({**HEAD, "text": "2"}, b"Hi{1}"),
        packed({name: value for name, value in HEAD.items() if name != "acts"}, b"Hi{1}"),
        packed(HEAD, b"\xff\xff{1}"),
        packed(HEAD, b"Hi{1}") + b"more",
        VERSION + zlib.compress(bytes(UNPACKED_LIMIT + 1)),
    ],
    ids=lambda blob: str(blob[:9]),
)
def test_another_version_and_what_no_pack_wrote_are_refused(blob):
    with pytest.raises(ValueError, match="stored answer"):
        unpack(blob)


def test_a_stream_costs_little_more_than_its_text(recording):
    """An event repeats its frame; compressed, that is nearly nothing."""
    text = " ".join(f"word{number}" for number in range(500))
    whole, stream = (recording(text, form=form) for form in ("whole", "stream"))
    assert sum(map(len, stream.payloads)) > 15 * len(whole.payloads[0])
    assert len(pack(stream)) < 4 * len(pack(whole))
