"""The index's form in the object store. One prefix for each index, which is a partition, embedder and dimension:

    manifest.json            the segments in force, with their sizes and SHA-256
    segment-<id>.npy         the vectors: (rows, dim), 16-bit fractions, L2-normalised, sorted by scope
    segment-<id>.ids.npy     the entries: (rows + tombstones,), in the order of the vectors, then the tombstones

Segments are immutable; the manifest alone is replaced, conditionally. A tombstone has no vector: it says that an entry
was deleted (`used` is 0), or when it last served a hit (`used` is that time). In one segment a key occurs once. Of all
segments the newest `created` of a key is live.

Only the manifest is parsed. Sizes and headers of the other objects follow from it, so they are compared with that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeAlias
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import DTypeLike, NDArray

from subsecond.semantic.index.vectors import DTYPE, SCALE, Rows

ROOT = "index/"
VERSION = 1
# More than any index can have: a manifest that claims it is damaged.
MOST_ROWS = 1 << 31

# key: the entry's exact key (SHA-256). created: epoch microseconds. expires, used: epoch seconds; used: the last hit.
IDS = np.dtype([("key", "V32"), ("scope", "V32"), ("created", "<i8"), ("expires", "<u4"), ("used", "<u4")])
Ids: TypeAlias = NDArray[np.void]

_ID = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Damaged(Exception):
    """Bytes that are not what the manifest says, or a manifest that says nothing sensible."""


@dataclass(frozen=True, slots=True)
class Part:
    """Entries in memory: vectors (n, dim), and ids (n + tombstones,), whose first n belong to the vectors."""

    vectors: Rows
    ids: Ids

    @property
    def rows(self) -> int:
        return len(self.vectors)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment as the manifest names it. `bytes`: of both objects together. The manifest calls tombstones `marks`."""

    id: str
    rows: int
    tombstones: int
    bytes: int
    sha256: str
    ids_sha256: str

    @property
    def entries(self) -> int:
        return self.rows + self.tombstones


@dataclass(frozen=True, slots=True)
class IndexId:
    """One index: a tenant's vectors of one embedder. Vectors of two indexes are never compared."""

    partition: str
    embedder: str
    dim: int

    @property
    def prefix(self) -> str:
        return f"{ROOT}{quote(self.partition, safe=':')}/{quote(self.embedder, safe='')}-{self.dim}/"


def index_id_of(prefix: str) -> IndexId:
    """The index of a prefix; ValueError when it is none."""
    partition, model = prefix.removeprefix(ROOT).removesuffix("/").split("/")
    embedder, _, dim = model.rpartition("-")
    index_id = IndexId(unquote(partition), unquote(embedder), int(dim))
    if index_id.prefix != prefix:
        raise ValueError("not an index")
    return index_id


@dataclass(frozen=True, slots=True)
class Manifest:
    """`revision` counts the commits. `rebuild`: rows were lost that only the answers table still has."""

    index_id: IndexId
    segments: tuple[Segment, ...] = ()
    revision: int = 0
    rebuild: bool = False

    @property
    def rows(self) -> int:
        return sum(segment.rows for segment in self.segments)

    @property
    def bytes(self) -> int:
        return sum(segment.bytes for segment in self.segments)


def manifest_name(prefix: str) -> str:
    return f"{prefix}manifest.json"


def matrix_name(prefix: str, segment_id: str) -> str:
    return f"{prefix}segment-{segment_id}.npy"


def ids_name(prefix: str, segment_id: str) -> str:
    return f"{prefix}segment-{segment_id}.ids.npy"


def damage_name(prefix: str, segment_id: str) -> str:
    """A reader's note that it found this segment damaged."""
    return f"{prefix}damaged-{segment_id}"


def encode_manifest(manifest: Manifest) -> bytes:
    """The bytes of `manifest.json`, which `decode_manifest` reads."""
    segments = [
        {
            "id": one.id,
            "rows": one.rows,
            "marks": one.tombstones,
            "bytes": one.bytes,
            "sha256": one.sha256,
            "ids_sha256": one.ids_sha256,
        }
        for one in manifest.segments
    ]
    head = {
        "version": VERSION,
        "partition": manifest.index_id.partition,
        "embedder": manifest.index_id.embedder,
        "dim": manifest.index_id.dim,
        "dtype": DTYPE,
        "scale": SCALE,
        "revision": manifest.revision,
        "rebuild": manifest.rebuild,
        # Deletions and hits' dates that are not merged into their rows yet.
        "tombstones": sum(one.tombstones for one in manifest.segments),
    }
    return json.dumps({**head, "segments": segments}, separators=(",", ":")).encode()


def decode_manifest(data: bytes, index_id: IndexId) -> Manifest:
    """The manifest. Raises Damaged when it is not one of this version and index."""
    try:
        found = json.loads(data)
        known = found["version"], found["dtype"], found["scale"]
        named = IndexId(found["partition"], found["embedder"], found["dim"])
        segments = tuple(_segment(one) for one in found["segments"])
        revision = _whole(found["revision"], 1 << 53)
        rebuild = found["rebuild"] is True
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"the manifest: {type(error).__name__}") from None
    if known != (VERSION, DTYPE, SCALE) or named != index_id:
        raise Damaged("a manifest of another version or index")
    if len({one.id for one in segments}) != len(segments):
        raise Damaged("a manifest that names a segment twice")
    if any(one.bytes != size_of(one.rows, one.tombstones, index_id.dim) for one in segments):
        raise Damaged("a manifest whose sizes contradict each other")
    return Manifest(index_id, segments, revision, rebuild)


def _segment(found: Mapping[str, Any]) -> Segment:
    if not (
        _ID.fullmatch(found["id"]) and _SHA256.fullmatch(found["sha256"]) and _SHA256.fullmatch(found["ids_sha256"])
    ):
        raise ValueError("a name or a hash")
    rows, tombstones, size = (_whole(found[field], MOST_ROWS) for field in ("rows", "marks", "bytes"))
    return Segment(found["id"], rows, tombstones, size, found["sha256"], found["ids_sha256"])


def _whole(value: object, stop: int) -> int:
    if type(value) is not int or not 0 <= value < stop:
        raise ValueError("a number")
    return value


def encode(part: Part, segment_id: str) -> tuple[Segment, bytes, bytes]:
    """The segment, and the bytes of its two objects. The part is sorted and merged already."""
    matrix = _header(DTYPE, part.vectors.shape) + part.vectors.tobytes()
    ids = _header(IDS.descr, part.ids.shape) + part.ids.tobytes()
    tombstones = len(part) - part.rows
    hashes = sha256(matrix).hexdigest(), sha256(ids).hexdigest()
    return Segment(segment_id, part.rows, tombstones, len(matrix) + len(ids), *hashes), matrix, ids


def decode_matrix(segment: Segment, dim: int, data: bytes) -> Rows:
    """The vectors, without a copy. Raises Damaged."""
    return _array(data, DTYPE, DTYPE, (segment.rows, dim), segment.sha256)


def decode_ids(segment: Segment, data: bytes) -> Ids:
    """The entries, without a copy. Raises Damaged, for rows that are not sorted by scope too."""
    ids: Ids = _array(data, IDS, IDS.descr, (segment.entries,), segment.ids_sha256)
    scopes, _ = scopes_of(ids[: segment.rows])
    if (scopes[1:] <= scopes[:-1]).any():
        raise Damaged("rows that are not sorted by scope")
    return ids


def scopes_of(ids: Ids) -> tuple[NDArray[np.bytes_], NDArray[np.uint32]]:
    """The scopes of sorted rows, each once, and where each begins; the last number is the end."""
    column = np.ascontiguousarray(ids["scope"])
    words = column.view(np.uint64).reshape(len(ids), 4)
    first = np.ones(len(ids), bool)
    first[1:] = (words[1:] != words[:-1]).any(axis=1)
    starts = np.append(np.flatnonzero(first), len(ids)).astype(np.uint32)
    # NumPy can compare `S`, not `V`. All have 32 bytes, so the NULs that it ignores at the end do no harm.
    return column[starts[:-1]].view("S32"), starts


def _array(data: bytes, dtype: DTypeLike, descr: object, shape: tuple[int, ...], digest: str) -> NDArray[Any]:
    header = _header(descr, shape)
    dtype = np.dtype(dtype)
    if len(data) != len(header) + dtype.itemsize * int(np.prod(shape)):
        raise Damaged("a size")
    if sha256(data).hexdigest() != digest or not data.startswith(header):
        raise Damaged("a hash or a header")
    return np.frombuffer(data, dtype, offset=len(header)).reshape(shape)


def size_of(rows: int, tombstones: int, dim: int) -> int:
    """Bytes of a segment's two objects."""
    matrix = len(_header(DTYPE, (rows, dim))) + rows * dim * np.dtype(DTYPE).itemsize
    return matrix + len(_header(IDS.descr, (rows + tombstones,))) + (rows + tombstones) * IDS.itemsize


def _header(descr: object, shape: tuple[int, ...]) -> bytes:
    """The head of a `.npy` file, version 1.0. Written here and not by NumPy, so that every release gives the same
    bytes."""
    text = repr({"descr": descr, "fortran_order": False, "shape": shape})
    # The data begins at a multiple of 64 bytes; magic, version and length take ten, the line break one.
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("ascii")
