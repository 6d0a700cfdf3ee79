"""A gateway's view of the index: near the manifest, its own writes at once, within the memory that it may use."""

import asyncio

import pytest

from subsecond.ports import ObjectsFailed
from subsecond.semantic.index.reader import Reader, ReaderLimits
from subsecond.semantic.index.segments import damage_name, ids_name, matrix_name

PARTITION = "acme:prod"


class Watched:
    """Counts what is read; fails, or waits, where it is told to."""

    def __init__(self, inner):
        self._inner = inner
        self.reads = []
        self.fails = ()
        self.gate = None

    def __getattr__(self, name):
        return getattr(self._inner, name)

    async def get(self, name, known=None):
        self.reads.append(name.rpartition("/")[2])
        if self.gate:
            await self.gate.wait()
        if any(part in name for part in self.fails):
            raise ObjectsFailed("SlowDown")
        return await self._inner.get(name, known)


@pytest.fixture
def watched(objects):
    return Watched(objects)


@pytest.fixture
def ticking(watched, clock):
    """A reader whose clock stands still until it is moved."""

    class Ticks:
        now = 0.0

        def __call__(self):
            return self.now

    ticks = Ticks()
    made = Reader(watched, "hashing-16", 16, clock=clock, ticks=ticks)
    return made, ticks


def names_in(reader, seen_by):
    return set(seen_by(reader, "abcdefgh"))


async def test_a_partition_without_an_index_is_empty(reader, vector, key):
    one = reader()
    assert one.search("nobody:here", key("s"), vector("a")) == []
    await one.refresh("nobody:here")
    assert one.search("nobody:here", key("s"), vector("a"), 3) == []
    assert one.figures("nobody:here")["rows"] == 0


async def test_the_nearest_is_found_and_says_how_near(table, index, reader, vector, key, clock):
    await index().handle([table.put("a"), table.put("b")])
    one = reader()
    await one.refresh(PARTITION)
    (found,) = one.search(PARTITION, key("s"), vector("b"))
    assert (found.key, found.expires) == (key("b"), int(clock.now + table.ttl))
    assert found.similarity == pytest.approx(1, abs=1e-4)
    assert found.created == table.live()["b"]
    assert [hits[0].key for hits in one.search_many(PARTITION, key("s"), [vector("a"), vector("b")])] == [
        key("a"),
        key("b"),
    ]


async def test_the_manifest_is_asked_for_once_a_second_and_only_news_are_loaded(
    table, index, ticking, watched, seen_by
):
    one, ticks = ticking
    await index().handle([table.put("a")])
    for _ in range(5):
        await one.refresh(PARTITION)
    assert watched.reads.count("manifest.json") == 1
    assert names_in(one, seen_by) == {"a"}
    await index().handle([table.put("b", scope="t")])
    ticks.now = 0.99
    await one.refresh(PARTITION)
    assert watched.reads.count("manifest.json") == 1
    ticks.now = 1.0
    await one.refresh(PARTITION)
    assert watched.reads.count("manifest.json") == 2
    assert set(seen_by(one, "b", "t")) == {"b"}
    loaded = len(watched.reads)
    ticks.now = 2.0
    await one.refresh(PARTITION)
    assert watched.reads[loaded:] == ["manifest.json"]
    figures = one.figures(PARTITION)
    assert (figures["refreshes"], figures["age"], figures["bad"], figures["failed"]) == (3, 0.0, 0, 0)


async def test_own_writes_are_found_at_once_and_not_twice_later(table, index, reader, seen_by, vector, key, clock):
    one = reader()
    record = table.put("a")
    created = table.live()["a"]
    one.add(PARTITION, key("a"), key("s"), created, created + 50, vector("a"))
    assert seen_by(one, "a") == {"a": created}
    await index().handle([record])
    await one.refresh(PARTITION)
    assert seen_by(one, "a") == {"a": created}
    assert one.figures(PARTITION)["rows"] == 1
    one.forget(PARTITION, key("a"), key("s"), created)
    assert seen_by(one, "a") == {}


async def test_who_waits_no_longer_does_not_stop_the_loading(table, index, ticking, watched, seen_by):
    one, _ = ticking
    await index().handle([table.put("a")])
    watched.gate = asyncio.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await one.refresh(PARTITION)
    assert names_in(one, seen_by) == set()
    waiting = asyncio.create_task(one.refresh(PARTITION))
    await asyncio.sleep(0)
    watched.gate.set()
    await waiting
    assert names_in(one, seen_by) == {"a"}
    assert watched.reads.count("manifest.json") == 1


async def test_a_store_that_fails_leaves_what_is_there(table, index, ticking, watched, seen_by):
    one, ticks = ticking
    await index().handle([table.put("a")])
    await one.refresh(PARTITION)
    watched.fails = ("manifest",)
    ticks.now = 1
    with pytest.raises(ObjectsFailed):
        await one.refresh(PARTITION)
    await one.refresh(PARTITION)  # not asked again within the second
    assert names_in(one, seen_by) == {"a"}
    await index().handle([table.put("b")])
    watched.fails = ("segment",)
    ticks.now = 2
    await one.refresh(PARTITION)
    assert one.figures(PARTITION)["failed"] == 1
    watched.fails = ()
    ticks.now = 3
    await one.refresh(PARTITION)
    assert names_in(one, seen_by) == {"a", "b"}


async def test_an_error_that_nobody_waits_for_is_no_noise(ticking, watched):
    one, _ = ticking
    watched.fails = ("manifest",)
    watched.gate = asyncio.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await one.refresh(PARTITION)
    watched.gate.set()
    for _ in range(5):
        await asyncio.sleep(0)


async def test_closing_ends_what_still_loads(ticking, watched):
    one, _ = ticking
    watched.gate = asyncio.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await one.refresh(PARTITION)
    await one.close()


@pytest.mark.parametrize("which", [matrix_name, ids_name])
async def test_a_damaged_segment_is_skipped_counted_and_mended(
    table, index, ticking, objects, index_id, which, seen_by
):
    one, ticks = ticking
    writer = index()
    await writer.handle([table.put(name) for name in "abcde"])
    await writer.handle([table.put("f")])
    manifest, _ = await writer.writer.manifest(index_id)
    assert len(manifest.segments) == 2
    bad = manifest.segments[0]
    name = which(index_id.prefix, bad.id)
    data = (await objects.get(name)).data
    await objects.put(name, data[:-1] + bytes([data[-1] ^ 1]))
    for ticks.now in (0, 1, 2):
        await one.refresh(PARTITION)
    assert names_in(one, seen_by) == {"f"}
    assert one.figures(PARTITION)["bad"] == 1, "it is not loaded again and again"
    assert [note.name for note in await objects.listed(damage_name(index_id.prefix, ""))] == [
        damage_name(index_id.prefix, bad.id)
    ]
    # The indexer's compaction sees the note, although its own memory still has the segment whole.
    await writer.compactor.compact(index_id, table)
    assert writer.compactor.counts["bad"] == 1
    ticks.now = 3
    await one.refresh(PARTITION)
    assert names_in(one, seen_by) == set("abcdef")
    assert await objects.listed(damage_name(index_id.prefix, "")) == []
    assert (await writer.compactor.verify(index_id, table)).is_right


async def test_a_damaged_manifest_leaves_what_is_there(table, index, ticking, objects, index_id, seen_by):
    one, ticks = ticking
    await index().handle([table.put("a")])
    await one.refresh(PARTITION)
    await objects.put(f"{index_id.prefix}manifest.json", b"{}")
    for ticks.now in (1, 2):
        await one.refresh(PARTITION)
    assert names_in(one, seen_by) == {"a"}
    assert one.figures(PARTITION)["bad"] == 1


async def test_a_segment_that_was_merged_away_while_it_was_loaded_comes_with_the_next_manifest(
    table, index, ticking, objects, index_id, seen_by
):
    one, ticks = ticking
    writer = index()
    await writer.handle([table.put("a")])
    manifest, _ = await writer.writer.manifest(index_id)
    data = await objects.get(matrix_name(index_id.prefix, manifest.segments[0].id))
    await objects.delete([matrix_name(index_id.prefix, manifest.segments[0].id)])
    await one.refresh(PARTITION)
    assert names_in(one, seen_by) == set()
    await objects.put(matrix_name(index_id.prefix, manifest.segments[0].id), data.data)
    ticks.now = 1
    await one.refresh(PARTITION)
    assert names_in(one, seen_by) == {"a"}


async def test_an_index_that_is_gone_is_empty(table, index, reader, objects, index_id, seen_by):
    one = reader()
    await index().handle([table.put("a")])
    await one.refresh(PARTITION)
    await objects.delete([listed.name for listed in await objects.listed(index_id.prefix)])
    await one.refresh(PARTITION)
    assert names_in(one, seen_by) == set()


async def test_partitions_that_were_not_asked_for_longest_make_room(table, index, clock, objects, vector, key):
    one = Reader(objects, "hashing-16", 16, ReaderLimits(memory=40_000), clock=clock)
    for n in range(30):
        one.add(f"p{n}:x", key("a"), key("s"), clock.now, clock.now + 9, vector("a"))
        one.search("p0:x", key("s"), vector("a"))
    assert one.search("p0:x", key("s"), vector("a"))
    assert one.search("p29:x", key("s"), vector("a"))
    assert not one.search("p5:x", key("s"), vector("a"))


async def test_of_an_index_beyond_memory_the_newest_part_is_used(table, index, clock, objects, index_id, seen_by):
    writer = index()
    await writer.handle([table.put(f"n{n}") for n in range(100)])
    await writer.handle([table.put("a")])
    one = Reader(objects, "hashing-16", 16, ReaderLimits(memory=8_000), clock=clock)
    await one.refresh(PARTITION)
    assert set(seen_by(one, "a")) == {"a"}
    assert one.figures(PARTITION)["left_out"] == 1
