"""What a batch changes in the index, which segments it takes in, and what a lost race costs."""

from __future__ import annotations

import pytest

from subsecond.semantic.index.compaction import Compactor
from subsecond.semantic.index.entries import KeyIndex
from subsecond.semantic.index.indexer import ABSORBED, FANOUT, Indexer, segments_to_absorb, unknown_changes
from subsecond.semantic.index.segments import Manifest, Segment
from subsecond.semantic.index.writer import ManifestView, Writer
from subsecond.stores.memory.objects import MemoryObjects

NOW = 50.0


class Raced(MemoryObjects):
    """Before a manifest is written for the first time, somebody else is first: `before` runs. `written`: all names."""

    def __init__(self):
        super().__init__(lambda: NOW)
        self.before = None
        self.written = []

    async def put(self, name, data):
        self.written.append(name)
        return await super().put(name, data)

    async def put_if(self, name, data, etag):
        self.written.append(name)
        if self.before:
            before, self.before = self.before, None
            await before()
        return await super().put_if(name, data, etag)


@pytest.fixture
def objects():
    return Raced()


def indexer(objects):
    writer = Writer(objects, clock=lambda: NOW)
    return Indexer(writer, Compactor(writer))


@pytest.fixture
def view(index_id, merged):
    """`view([changes], ...)`: an index of these segments."""

    def make(*segments, lost=()):
        parts = [merged(changes) for changes in segments]
        named = {str(at): KeyIndex(part.ids, part.rows) for at, part in enumerate(parts)}
        return ManifestView(Manifest(index_id), None, named, frozenset(lost))

    return make


@pytest.fixture
def rows(index_id):
    """`await rows(objects)`: how many rows each segment has, in the manifest's order."""

    async def count(objects):
        manifest, _ = await Writer(objects).manifest(index_id)
        return [segment.rows for segment in manifest.segments]

    return count


def kinds(changes):
    return [("row" if one.row is not None else "hit" if one.used else "deletion", one.created) for one in changes]


@pytest.mark.parametrize(
    ("held", "comes", "new"),
    [
        ([], {"created": 1}, [("row", 1)]),
        ([{"created": 1}], {"created": 1}, []),
        ([{"created": 2}], {"created": 1}, []),
        ([{"created": 1}], {"created": 2}, [("row", 2)]),
        ([{"created": 1}], {"created": 1, "row": False}, [("deletion", 1)]),
        ([{"created": 1, "row": False}], {"created": 1}, []),
        ([{"created": 1, "row": False}], {"created": 1, "used": 9}, []),
        ([], {"created": 1, "expires": 50}, []),
        ([], {"created": 1, "expires": 51}, [("row", 1)]),
        ([{"created": 1, "expires": 50}], {"created": 2, "expires": 50}, []),
        ([{"created": 1, "expires": 51}], {"created": 2, "expires": 50}, [("row", 2)]),
        ([{"created": 1, "used": 3}], {"created": 1, "used": 3}, []),
        ([{"created": 1, "used": 3}], {"created": 1, "used": 4}, [("hit", 1)]),
        ([{"created": 1, "used": 3}], {"created": 1, "used": 2}, []),
        ([{"created": 1, "used": 3, "expires": 50}], {"created": 1, "used": 4}, []),
        ([{"created": 2, "used": 3}], {"created": 1, "used": 4}, []),
    ],
)
def test_new_is_what_is_newer_and_not_expired_and_a_later_hit(change, view, held, comes, new):
    found = unknown_changes([change("a", **comes)], view([change("a", **one) for one in held], []), NOW)
    assert kinds(found) == new


def test_of_a_batch_the_newest_version_of_each_key_counts_with_its_latest_hit(change, view):
    batch = [
        *(change("a", created=1, used=used) for used in (0, 7, 3)),
        *(change("b", created=created) for created in (2, 3, 1)),
    ]
    found = unknown_changes(batch, view([]), NOW)
    assert [(one.created, one.used) for one in found] == [(1, 7), (3, 0)]


def segment(name, entries, size=0):
    return Segment(name, entries, 0, size, "", "")


@pytest.mark.parametrize(
    ("segments", "incoming", "taken"),
    [
        ([("a", FANOUT)], 1, ["a"]),
        ([("a", FANOUT + 1)], 1, []),
        ([("a", FANOUT * (1 + FANOUT)), ("b", FANOUT)], 1, ["b", "a"]),
        ([("a", FANOUT * (1 + FANOUT) + 1), ("b", FANOUT)], 1, ["b"]),
        ([("a", 1), ("b", FANOUT + 1)], 1, []),
        ([("a", 1, ABSORBED // 2), ("b", 1, ABSORBED // 2)], 1, ["b", "a"]),
        ([("a", 1, ABSORBED // 2 + 1), ("b", 1, ABSORBED // 2)], 1, ["b"]),
        ([("a", 1), ("lost", 1), ("b", 1)], 1, ["b"]),
    ],
)
def test_the_newest_segments_are_taken_in_while_they_are_small_few_and_whole(index_id, segments, incoming, taken):
    manifest = Manifest(index_id, tuple(segment(*one) for one in segments))
    assert segments_to_absorb(manifest, ManifestView(manifest, None, {}, frozenset({"lost"})), incoming) == taken


async def test_after_a_lost_race_only_the_manifest_is_written_again(objects, index_id, change, rows):
    one, other = indexer(objects), indexer(objects)

    async def first():
        await other.apply(index_id, [change("b")])
        objects.written.clear()

    objects.before = first
    await one.apply(index_id, [change("a")])
    assert await rows(objects) == [1, 1]
    assert [name.rpartition("/")[2] for name in objects.written] == ["manifest.json"]
    assert one.counts == {"written": 1, "repeated": 0}


async def test_what_the_winner_has_committed_too_is_not_written_twice(objects, index_id, change, rows):
    one, other = indexer(objects), indexer(objects)
    objects.before = lambda: other.apply(index_id, [change("a")])
    await one.apply(index_id, [change("a"), change("b")])
    assert await rows(objects) == [1, 1]
    assert one.counts == {"written": 1, "repeated": 1}


async def test_a_batch_that_the_winner_has_committed_whole_is_a_repetition(objects, index_id, change, rows):
    one, other = indexer(objects), indexer(objects)
    objects.before = lambda: other.apply(index_id, [change("a")])
    await one.apply(index_id, [change("a")])
    assert await rows(objects) == [1]
    assert one.counts == {"repeated": 1}


async def test_where_the_winner_took_in_the_same_segment_the_commit_is_prepared_anew(objects, index_id, change, rows):
    one, other = indexer(objects), indexer(objects)
    await one.apply(index_id, [change("there")])
    objects.before = lambda: other.apply(index_id, [change("b")])
    await one.apply(index_id, [change("a")])
    assert await rows(objects) == [2, 1]
