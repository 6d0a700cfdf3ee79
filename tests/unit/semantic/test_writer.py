"""When a prepared commit still fits, when it is too old, and what the writer keeps of what it has read."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise

import pytest

from subsecond.semantic.index.segments import IndexId, Manifest, Segment, ids_name, manifest_name, matrix_name, size_of
from subsecond.semantic.index.writer import Contended, Draft, ManifestView, Writer, WriterLimits, _Cache
from subsecond.stores.memory.objects import MemoryObjects
from tests.support import virtual_time

INDEX = IndexId("acme:prod", "static-1", 4)


def segment(name, rows=1):
    return Segment(name * 32, rows, 0, size_of(rows, 0, INDEX.dim), "a" * 64, "b" * 64)


A, B, C = (segment(name) for name in "abc")


@pytest.mark.parametrize(
    ("replaced", "there", "fits"),
    [
        ((), (), True),
        ((), (A,), True),
        ((A,), (A,), True),
        ((A,), (A, B), True),
        ((A, B), (A,), False),
        ((A,), (B,), False),
        ((A,), (), False),
    ],
)
def test_a_draft_fits_while_all_that_it_replaces_is_there(replaced, there, fits):
    draft = Draft.of([one.id for one in replaced])
    assert draft.fits(Manifest(INDEX, there)) == fits


def test_a_draft_is_in_a_manifest_that_names_its_segment():
    draft = Draft(frozenset(), C, 0.0)
    assert draft.is_in(Manifest(INDEX, (A, C)))
    assert not draft.is_in(Manifest(INDEX, (A,)))
    assert not draft.is_in(Manifest(INDEX, (replace(C, rows=2),)))
    assert not Draft.of(()).is_in(Manifest(INDEX, (A,)))


@pytest.fixture
def writer():
    return Writer(MemoryObjects(), WriterLimits(max_wait_s=0.0, stale_after_s=100.0))


async def committed(writer):
    manifest, etag = await writer.manifest(INDEX)
    return manifest, ManifestView(manifest, etag, {}, frozenset())


async def test_a_commit_adds_its_segment_and_takes_out_what_it_replaces_and_what_is_lost(writer):
    _, view = await committed(writer)
    assert await writer.commit_manifest(view, Manifest(INDEX, (A, B)), time.monotonic())
    manifest, view = await committed(writer)
    assert (manifest.segments, manifest.revision, manifest.rebuild) == ((A, B), 1, False)
    lost = replace(view, lost=frozenset((B.id,)))
    assert await writer.commit(lost, Draft(frozenset((A.id,)), C, time.monotonic()))
    manifest, _ = await committed(writer)
    assert (manifest.segments, manifest.revision, manifest.rebuild) == ((C,), 2, True)


async def test_one_that_adds_nothing_takes_out_alone(writer):
    _, view = await committed(writer)
    await writer.commit_manifest(view, Manifest(INDEX, (A, B)), time.monotonic())
    _, view = await committed(writer)
    assert await writer.commit(view, Draft.of([A.id]))
    assert (await committed(writer))[0].segments == (B,)


async def test_a_view_that_another_writer_has_overtaken_commits_nothing(writer):
    _, view = await committed(writer)
    for segments, done in (((A,), True), ((B,), False)):
        assert await writer.commit_manifest(view, Manifest(INDEX, segments), time.monotonic()) == done
    assert (await committed(writer))[0].segments == (A,)


@pytest.mark.parametrize(("age", "done"), [(99.0, True), (101.0, False)])
async def test_a_segment_that_was_written_long_ago_is_not_committed(writer, age, done):
    _, view = await committed(writer)
    draft = Draft(frozenset(), A, time.monotonic() - age)
    assert await writer.commit(view, draft) == done


async def test_a_segment_that_was_found_damaged_stays_lost_until_it_is_checked(writer):
    _, view = await committed(writer)
    await writer.commit_manifest(view, Manifest(INDEX, (A,)), time.monotonic())
    await writer.objects.put(ids_name(INDEX.prefix, A.id), b"nonsense")
    for _ in range(2):
        assert (await writer.view(INDEX)).lost == {A.id}
    assert not await writer.check(INDEX, A)
    assert await writer.part(INDEX, A) is None
    assert (await writer.view(INDEX)).lost == {A.id}


async def test_attempts_end_with_the_time(writer):
    views = writer.views(INDEX)
    assert (await anext(views)).manifest == Manifest(INDEX)
    with pytest.raises(Contended):
        await anext(views)


def test_attempts_come_at_random_times_ever_further_apart_up_to_a_second():
    async def moments():
        views, seen = Writer(MemoryObjects()).views(INDEX), []
        for _ in range(50):
            await anext(views)
            seen.append(virtual_time.now())
        await views.aclose()
        return seen

    seen = virtual_time.run(moments(), patience=0.01)
    pauses = [later - earlier for earlier, later in pairwise(seen)]
    assert all(pause <= min(1.0, 0.01 * 2**number) + 1e-6 for number, pause in enumerate(pauses))
    assert 10 < sum(pauses[10:]) < 30  # 20 are expected of 39 that lie between 0 and 1
    assert len(set(pauses)) > 20


def test_the_least_recently_used_goes_first_and_what_is_too_large_is_not_kept():
    kept = _Cache(10)
    for name, size in (("a", 4), ("b", 4), ("too large", 11)):
        kept.put(name, name.upper(), size)
    assert (kept.get("a"), kept.get("too large")) == ("A", None)
    kept.put("c", "C", 4)
    assert [kept.get(name) for name in "abc"] == ["A", None, "C"]
    kept.put("a", "another", 4)
    assert kept.get("a") == "A"
    kept.put("whole", "W", 10)
    assert [kept.get(name) for name in ("a", "c", "whole")] == [None, None, "W"]


class Counted(MemoryObjects):
    """read: the names of what was asked for, since it was last cleared."""

    def __init__(self):
        super().__init__(lambda: 50.0)
        self.read = []

    async def get(self, name, known=None):
        self.read.append(name)
        return await super().get(name, known)


@pytest.fixture
def objects():
    return Counted()


@pytest.fixture
def written(objects, index_id, merged, change):
    """`await written(["a", "b"], ...)`: an index of these segments, and the environment that wrote them."""

    async def make(*segments):
        one = Writer(objects, WriterLimits(), lambda: 50.0)
        made = [await one.write(index_id, merged([change(name) for name in names])) for names in segments]
        view = ManifestView(Manifest(index_id), None, {}, frozenset())
        assert await one.commit_manifest(view, Manifest(index_id, tuple(made)), time.monotonic())
        objects.read.clear()
        return one, made

    return make


async def test_who_has_written_a_segment_reads_the_manifest_alone(objects, index_id, written):
    one, made = await written("ab", "c")
    view = await one.view(index_id)
    assert objects.read == [manifest_name(index_id.prefix)]
    assert [view.key_indexes[segment.id].rows for segment in made] == [2, 1]
    assert [len(await one.part(index_id, segment)) for segment in made] == [2, 1]
    assert objects.read == [manifest_name(index_id.prefix)]


async def test_who_has_not_reads_each_object_once(objects, index_id, written):
    _, (segment,) = await written("ab")
    other = Writer(objects)
    ids, matrix = ids_name(index_id.prefix, segment.id), matrix_name(index_id.prefix, segment.id)
    for _ in range(2):
        assert (await other.view(index_id)).key_indexes[segment.id].rows == 2
    assert objects.read == [manifest_name(index_id.prefix), ids, manifest_name(index_id.prefix)]
    objects.read.clear()
    for _ in range(2):
        assert len(await other.part(index_id, segment)) == 2
    assert sorted(objects.read) == sorted((ids, matrix))


async def test_a_segment_that_is_whole_again_is_lost_until_somebody_checks_it(objects, index_id, written):
    _, (segment,) = await written("a")
    name = ids_name(index_id.prefix, segment.id)
    whole = (await objects.get(name)).data
    await objects.put(name, b"nonsense")
    other = Writer(objects)
    assert (await other.view(index_id)).lost == {segment.id}
    await objects.put(name, whole)
    assert (await other.view(index_id)).lost == {segment.id}
    assert await other.check(index_id, segment)
    view = await other.view(index_id)
    assert (view.lost, set(view.key_indexes)) == (frozenset(), {segment.id})


async def test_a_draft_merges_what_it_replaces_with_what_is_new(objects, index_id, written, merged, change):
    one, (first, second, third) = await written("a", "b", "c")
    draft = await one.draft(await one.view(index_id), (first.id, third.id), merged([change("d")]))
    assert (draft.replaced, draft.segment.rows) == ({first.id, third.id}, 3)
    assert await one.commit(await one.view(index_id), draft)
    assert (await one.manifest(index_id))[0].segments == (second, draft.segment)


async def test_a_draft_of_a_segment_that_cannot_be_read_is_none(objects, index_id, written, merged, change):
    _, (first, second) = await written("a", "b")
    await objects.delete([matrix_name(index_id.prefix, first.id)])
    one = Writer(objects, clock=lambda: 50.0)
    view = await one.view(index_id)
    assert await one.draft(view, (first.id, second.id), merged([change("d")])) is None
    assert (await one.draft(view, (second.id,), None)).segment.rows == 1


async def test_a_draft_of_which_nothing_is_left_adds_no_segment(objects, index_id, written, merged, change):
    one, (segment,) = await written("a")
    there = set(objects._objects)
    view = await one.view(index_id)
    assert (await one.draft(view, (), None)).segment is None
    assert (await one.draft(view, (), merged([change("d", expires=50)]))).segment is None
    deletion = await one.draft(view, (segment.id,), merged([change("a", row=False, expires=50)]))
    assert (deletion.replaced, deletion.segment) == ({segment.id}, None)
    assert set(objects._objects) == there


async def test_a_deletion_of_what_stays_beside_the_draft_is_kept_in_it(objects, index_id, written, merged, change):
    one, _ = await written("a")
    draft = await one.draft(await one.view(index_id), (), merged([change("a", row=False, expires=50)]))
    assert (draft.segment.rows, draft.segment.tombstones) == (0, 1)


async def test_a_damaged_manifest_is_an_empty_one_that_is_overwritten(objects, index_id, written):
    one, (segment,) = await written("a")
    await objects.put(manifest_name(index_id.prefix), b"nonsense")
    view = await one.view(index_id)
    assert (view.manifest.segments, view.manifest.rebuild) == ((), True)
    assert await one.commit(view, Draft(frozenset(), segment, time.monotonic()))
    manifest, _ = await one.manifest(index_id)
    assert (manifest.segments, manifest.rebuild) == ((segment,), True)
