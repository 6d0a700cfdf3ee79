"""The stream in all the ways in which it may come."""

import random

import pytest

from subsecond.ports import ObjectsFailed
from subsecond.semantic.index.compaction import CompactionLimits
from subsecond.semantic.index.segments import IndexId, matrix_name


async def test_a_new_entry_is_found_by_a_fresh_environment(table, index, clock):
    one = index()
    assert await one.handle([table.put("a"), table.put("b")]) == []
    assert await one.found(clock, "ab") == table.live()
    assert one.indexer.counts == {"written": 2, "repeated": 0}


async def test_a_replaced_entry_counts_once_with_its_new_date(table, index, clock):
    one = index()
    for _ in range(3):
        await one.handle([table.put("a")])
    assert await one.found(clock, "a") == table.live()


async def test_a_batch_that_comes_twice_writes_nothing_the_second_time(table, index, clock, mortal):
    batch = [table.put("a"), table.put("b"), table.put("a"), table.remove("b")]
    await index().handle(batch)
    watched = mortal(-1)
    again = index(watched)
    assert await again.handle(batch) == []
    assert watched.writes == []
    assert again.indexer.counts == {"repeated": 4}
    assert await again.found(clock, "ab") == table.live()


@pytest.mark.parametrize("seed", range(8))
async def test_any_order_gives_the_same_index(table, index, clock, seed):
    for step in range(30):
        name = f"n{step % 7}"
        table.remove(name) if step % 5 == 4 and name in table.items else table.put(name)
    records = table.stream * 2
    random.Random(seed).shuffle(records)
    environments = [index(), index()]
    while records:
        await environments[len(records) % 2].handle(records[:5])
        records = records[5:]
    assert await environments[0].found(clock, table.items) == table.live()
    assert (await environments[0].compactor.verify(IndexId("acme:prod", "hashing-16", 16), table)).is_right


async def test_deletions_and_expiries_are_found_no_more(table, index, clock):
    one = index()
    await one.handle([table.put("a"), table.put("b", ttl=10), table.put("c")])
    await one.handle([table.remove("a")])
    clock.now += 10
    assert await one.found(clock, "abc") == table.live()
    await one.handle(table.expire())
    assert await one.found(clock, "abc") == table.live() == {"c": table.live()["c"]}


async def test_a_deletion_by_ttl_is_one_whenever_it_comes(table, index, clock):
    """DynamoDB's own clock may be ahead of ours."""
    one = index()
    await one.handle([table.put("a")])
    removed = table.remove("a") | {"userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"}}
    await one.handle([removed])
    assert await one.found(clock, "a") == {}


async def test_poisoned_records_are_skipped_and_block_nothing(table, index, clock):
    one = index()
    good = table.put("a")
    poison = [
        {},
        {"dynamodb": None},
        {"dynamodb": {"SequenceNumber": "9", "NewImage": {"vector": 5, "embedder": 5}}},
        {"dynamodb": {"SequenceNumber": "9", "NewImage": {**good["dynamodb"]["NewImage"], "vector": {"B": b"12"}}}},
        {"dynamodb": {"SequenceNumber": "9", "NewImage": {**good["dynamodb"]["NewImage"], "pk": {"S": "x"}}}},
        "not a record",
    ]
    assert await one.handle([*poison, good, *poison]) == []
    assert one.indexer.counts["poisoned"] == 12
    assert await one.found(clock, "a") == table.live()


async def test_a_vector_of_another_size_does_not_meet_the_others(table, index, clock, vector):
    one = index()
    short = table.put("short", vector={"B": b"\xff\x7f" + bytes(14)})
    assert await one.handle([table.put("a"), short, table.put("b")]) == []
    table.items.pop("short")
    assert await one.found(clock, "ab") == table.live()


async def test_a_failing_store_gives_the_records_back(table, index, clock, objects):
    class Failing:
        def __getattr__(self, name):
            return getattr(objects, name)

        async def put_if(self, name, data, etag):
            if "other" in name:
                raise ObjectsFailed("SlowDown")
            return await objects.put_if(name, data, etag)

    one = index(Failing())
    batch = [table.put("a"), table.put("b", embedder="other"), table.put("c", embedder="other")]
    assert await one.handle(batch) == ["2", "3"]
    assert one.indexer.counts["failed"] == 2
    assert await one.found(clock, "a") == {"a": table.live()["a"]}
    assert await index().handle(batch) == []


async def test_an_entry_of_another_embedder_is_indexed_apart(table, index, clock):
    one = index()
    await one.handle([table.put("a"), table.put("b", embedder="other")])
    assert set(await one.found(clock, "ab")) == {"a"}
    await one.handle([table.update("a", embedder={"S": "other"})])
    assert await one.found(clock, "ab") == {}
    assert {index_id.embedder for index_id in await one.compactor.indexes()} == {"hashing-16", "other"}


async def test_segments_stay_few_while_entries_come_one_by_one(table, index, clock, index_id):
    one = index()
    for n in range(150):
        await one.handle([table.put(f"n{n}")])
    manifest, _ = await one.writer.manifest(index_id)
    assert len(manifest.segments) <= 5
    assert manifest.rows == 150
    assert await one.found(clock, table.items) == table.live()


async def test_hits_reach_the_index_and_save_their_entry_from_eviction(table, index, clock, index_id):
    row_bytes = 2 * 16 + 80
    one = index(limits=CompactionLimits(index_bytes=10 * row_bytes))
    await one.handle([table.put(f"n{n}") for n in range(10)])
    clock.now += 100
    await one.handle([table.update("n0", used={"N": str(int(clock.now))})])
    assert one.indexer.counts["used"] == 1
    await one.handle([table.update("n0", text={"S": "other words"})])
    assert one.indexer.counts["used"] == 1, "nothing new for the index"
    clock.now += 1
    await one.handle([table.put(f"m{n}") for n in range(4)])
    await one.compactor.merge_and_evict(index_id)
    left = set(await one.found(clock, table.items))
    assert left == {"n0", "n6", "n7", "n8", "n9", "m0", "m1", "m2", "m3"}
    assert one.compactor.counts["evicted"] == 5


async def test_a_full_place_is_relieved_without_waiting_for_the_schedule(table, index, clock, index_id):
    one = index(limits=CompactionLimits(index_bytes=20 * 112, segment_bytes=5 * 112))
    for start in range(0, 100, 10):
        await one.handle([table.put(f"n{n}") for n in range(start, start + 10)])
    left = await one.found(clock, table.items)
    assert len(left) <= 36
    assert {f"n{n}" for n in range(90, 100)} <= set(left), "the newest are there"


@pytest.fixture(params=[(step, after) for step in range(4) for after in (False, True)], ids=str)
def dying(request, mortal):
    step, after = request.param
    return mortal(step, after=after)


async def test_whatever_kills_the_indexer_the_next_batch_puts_right(table, index, dying, killed, objects):
    """Steps of a commit: 0 the vectors, 1 the entries, 2 the manifest; then those of the next batch."""
    clock, index_id = table.clock, IndexId("acme:prod", "hashing-16", 16)
    one = index()
    await one.handle([table.put("a"), table.put("b")])
    batch = [table.put("c"), table.put("a"), table.remove("b")]
    try:
        await index(dying).handle(batch)
    except killed:
        assert dying.is_dead
    else:
        assert len(dying.writes) == 3, "it had no more to do"
    # A reader in between finds all of the batch or nothing of it.
    between = await index().found(clock, "abc")
    assert set(between) in ({"a", "b"}, {"a", "c"})
    # Lambda sends the batch again, with what came since, to a fresh environment.
    fresh = index()
    assert await fresh.handle([*batch, table.put("d")]) == []
    assert await fresh.found(clock, "abcd") == table.live()
    clock.now += 100_000
    await fresh.compactor.delete_orphans(index_id)
    manifest, _ = await fresh.writer.manifest(index_id)
    assert len(await objects.listed(index_id.prefix)) == 1 + 2 * len(manifest.segments), "every segment is referenced"


async def test_a_commit_whose_reply_was_lost_is_not_done_twice(table, index, clock, objects, index_id):
    class Forgetful:
        lost = 0

        def __getattr__(self, name):
            return getattr(objects, name)

        async def put_if(self, name, data, etag):
            """The SDK asks a second time, and is told that somebody was first."""
            done = await objects.put_if(name, data, etag)
            self.lost += 1
            return None if self.lost % 2 else done

    one = index(Forgetful())
    for name in "abc":
        assert await one.handle([table.put(name)]) == []
    report = await one.compactor.verify(index_id, table)
    assert report.is_right
    assert report.rows == 3


async def test_a_damaged_manifest_is_replaced_and_asks_for_a_rebuild(table, index, clock, objects, index_id):
    one = index()
    await one.handle([table.put("a")])
    await objects.put(f"{index_id.prefix}manifest.json", b'{"version": 1, "segm')
    assert await one.handle([table.put("b")]) == []
    assert set(await one.found(clock, "ab")) == {"b"}
    await one.compactor.compact(index_id, table)
    assert await one.found(clock, "ab") == table.live()


@pytest.mark.parametrize("suffix", [".npy", ".ids.npy"])
@pytest.mark.parametrize("how", ["damaged", "gone"])
async def test_a_bad_segment_does_not_stop_the_indexer(table, index, clock, objects, index_id, suffix, how):
    await index().handle([table.put("a")])
    manifest, _ = await index().writer.manifest(index_id)
    name = matrix_name(index_id.prefix, manifest.segments[0].id).replace(".npy", suffix)
    await (objects.delete([name]) if how == "gone" else objects.put(name, b"\x93NUMPY"))
    one = index()
    assert await one.handle([table.put("b")]) == []
    assert set(await one.found(clock, "ab")) == {"b"}
    await one.compactor.compact(index_id, table)
    assert await one.found(clock, "ab") == table.live()
    assert (await one.compactor.verify(index_id, table)).is_right
