"""When a prepared commit still fits, when it is too old, and what the writer keeps of what it has read."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from subsecond.semantic.index.segments import IndexId, Manifest, Segment, ids_name, size_of
from subsecond.semantic.index.writer import Contended, Draft, ManifestView, Writer, WriterLimits, _Cache
from subsecond.stores.memory.objects import MemoryObjects

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
