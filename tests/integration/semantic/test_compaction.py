"""Merging, eviction, rebuilding, sweeping, checking."""

import asyncio
from contextlib import suppress

import pytest

from subsecond.aws.client import aws_of
from subsecond.config import Settings
from subsecond.semantic.index.answers_scan import AnswersScan
from subsecond.semantic.index.compaction import CompactionLimits
from subsecond.semantic.index.segments import IndexId
from subsecond.semantic.index.vectors import pack


async def test_merging_drops_what_counts_no_more(table, index, clock, index_id):
    one = index()
    await one.handle([table.put(f"n{n}") for n in range(40)])
    await one.handle([table.remove(f"n{n}") for n in range(0, 40, 2)])
    clock.now += 1
    await one.compactor.merge_and_evict(index_id)
    manifest, _ = await one.writer.manifest(index_id)
    assert [segment.rows for segment in manifest.segments] == [20]
    assert await one.found(clock, [f"n{n}" for n in range(40)]) == table.live()
    clock.now += table.ttl
    table.expire()
    await one.compactor.merge_and_evict(index_id)
    manifest, _ = await one.writer.manifest(index_id)
    assert manifest.segments == ()


async def test_a_tidy_index_is_left_alone(table, index, index_id, mortal):
    one = index()
    await one.handle([table.put(f"n{n}") for n in range(40)])
    watched = mortal(-1)
    await index(watched).compactor.compact(index_id, table)
    assert watched.writes == []


async def test_merged_segments_have_a_largest_size(table, index, clock, index_id):
    limits = CompactionLimits(segment_bytes=30 * 112 + 500)
    one = index(limits=limits)
    for n in range(12):
        await one.handle([table.put(f"n{n}-{m}") for m in range(8)])
    await one.compactor.merge_and_evict(index_id)
    manifest, _ = await one.writer.manifest(index_id)
    assert manifest.rows == 96
    assert await one.found(clock, table.items) == table.live()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(12))
async def test_upkeep_may_die_anywhere(table, index, mortal, killed, index_id, step, after):
    clock = table.clock
    limits = CompactionLimits(index_bytes=60 * 112, segment_bytes=20 * 112 + 500, orphan_age_s=60)
    writer = index()
    for n in range(5):
        await writer.handle([table.put(f"n{n}-{m}") for m in range(20)])
    await writer.handle([table.remove(f"n4-{m}") for m in range(10)])
    clock.now += 100
    with suppress(killed):
        await index(mortal(step, after=after), limits=limits).compactor.compact(index_id, table)
    found = await index().found(clock, table.items)
    assert found.items() <= table.live().items(), "nothing that is not there"
    await index(limits=limits).compactor.compact(index_id, table)
    report = await index().compactor.verify(index_id, table)
    assert (report.bad, report.double, report.surplus) == ((), 0, 0)
    assert 45 <= report.rows <= 60
    newest = {f"n4-{m}" for m in range(10, 20)}
    assert newest <= set(await index().found(clock, table.items))


async def test_a_rebuild_is_the_table_and_what_came_meanwhile(table, index, clock, index_id):
    one = index()
    await one.handle([table.put(f"n{n}") for n in range(20)])
    # The index has lost its mind, and the stream is long gone.
    table.put("unseen")
    table.items.pop("n3")
    await one.handle([table.put("other", embedder="other")])

    class Busy:
        """Between two pages of the scan, others write, delete and index."""

        async def entries(self, where):
            async for page in table.entries(where):
                yield page
                await index().handle([table.put(f"late{len(table.items)}")])
                await index().handle([table.remove("n5")] if "n5" in table.items else [])

    await one.compactor.rebuild(index_id, Busy())
    table.items.pop("other")
    assert await one.found(clock, [*table.items, "n3", "n5"]) == table.live()


async def test_a_rebuild_keeps_deletions_that_may_still_be_overtaken(table, index, clock, index_id):
    one = index()
    insert = table.put("a")
    await one.handle([table.remove("a")])
    await one.compactor.rebuild(index_id, table)
    await index().handle([insert])
    assert await one.found(clock, "a") == {}


async def test_a_rebuild_from_an_empty_table_is_an_empty_index(table, index, clock, index_id):
    one = index()
    await one.handle([table.put("a")])
    table.items.clear()
    assert await one.compactor.rebuild(index_id, table) == 0
    assert await one.found(clock, "a") == {}


async def test_rebuilding_at_once_does_not_double(table, index, clock, index_id):
    await index().handle([table.put(f"n{n}") for n in range(20)])
    await asyncio.gather(*(index().compactor.rebuild(index_id, table) for _ in range(3)))
    one = index()
    assert await one.found(clock, table.items) == table.live()
    await one.compactor.merge_and_evict(index_id)
    assert (await one.compactor.verify(index_id, table)).is_right


async def test_sweeping_spares_what_is_young_or_named(table, index, clock, index_id, objects):
    one = index()
    for n in range(6):
        await one.handle([table.put(f"n{n}")])
    total = len(await objects.listed(index_id.prefix))
    await one.compactor.delete_orphans(index_id)
    assert len(await objects.listed(index_id.prefix)) == total
    clock.now += 4 * 3600 + 1
    await one.compactor.delete_orphans(index_id)
    manifest, _ = await one.writer.manifest(index_id)
    assert len(await objects.listed(index_id.prefix)) == 1 + 2 * len(manifest.segments) < total


async def test_a_check_says_what_is_wrong(table, index, clock, index_id, objects):
    one = index()
    await one.handle([table.put(f"n{n}") for n in range(20)])
    assert (await one.compactor.verify(index_id, table)).is_right
    table.items.pop("n3")
    table.put("unseen")
    report = await one.compactor.verify(index_id, table)
    assert (report.missing, report.surplus, report.rows) == (1, 1, 20)
    (matrix, *_) = [one.name for one in await objects.listed(index_id.prefix) if one.name.endswith(".npy")]
    await objects.put(matrix, b"")
    report = await index().compactor.verify(index_id)
    assert len(report.bad) == 1
    assert not report.is_right


async def test_one_place_that_fails_does_not_hold_up_the_others(table, index, objects):
    one = index(max_wait_s=0)
    await one.handle([table.put("a"), table.put("b", embedder="other")])
    indexes = await one.compactor.indexes()
    assert {index_id.embedder for index_id in indexes} == {"hashing-16", "other"}
    await objects.put("index/strange", b"")
    await objects.put(f"{indexes[0].prefix}manifest.json", b"damaged")
    await one.compactor.compact_all(table)
    assert one.compactor.counts["rebuilt"] == 1


@pytest.fixture
def dynamo(aws_tables):
    aws = aws_of(Settings())
    yield AnswersScan(aws, "subsecond-answers"), aws.dynamodb
    aws.close()


async def test_the_table_is_read_page_by_page_and_place_by_place(table, dynamo, index, clock, index_id):
    answers, client = dynamo
    for n in range(30):
        table.put(f"n{n}", answer={"B": b"x" * 100_000})
    table.put("other", embedder="other")
    table.put("poisoned", vector={"B": b"1"})
    for item in table.items.values():
        client.put_item(TableName="subsecond-answers", Item=item)
    client.put_item(TableName="subsecond-answers", Item={**table.items["n0"], "pk": {"S": "acme:prod2#" + "00" * 32}})
    pages = [page async for page in answers.entries(index_id)]
    assert len(pages) > 1
    assert sum(map(len, pages)) == 30
    one = index()
    assert await one.compactor.rebuild(index_id, answers) == 30
    assert set(await one.found(clock, table.items)) == {f"n{n}" for n in range(30)}


async def test_a_new_embedder_gives_every_text_a_new_vector(table, dynamo, vector):
    answers, client = dynamo

    class New:
        id = "new"

        async def embed(self, texts):
            return [vector(text + "!") for text in texts]

    for name in ("a", "b"):
        table.put(name)
    table.put("current", embedder="new")
    table.put("plain")
    del table.items["plain"]["text"], table.items["plain"]["vector"], table.items["plain"]["embedder"]
    for item in table.items.values():
        client.put_item(TableName="subsecond-answers", Item=item)
    assert await answers.embed_anew("acme:prod", New()) == 2
    found = [change async for page in answers.entries(IndexId("acme:prod", "new", 16)) for change in page]
    assert {one.row.tobytes() for one in found} == {pack(vector(text)) for text in ("a!", "b!", "current")}
    assert await answers.embed_anew("acme:prod", New()) == 0
