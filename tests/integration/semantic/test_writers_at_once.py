"""Sixteen indexers at once over ministack's S3, whose conditional writes hold under concurrency (moto's do not)."""

import asyncio
import random

import pytest

from subsecond.aws.client import Aws
from subsecond.config import Settings
from subsecond.semantic.index.compaction import CompactionLimits
from subsecond.stores.s3.objects import S3Objects

WRITERS, ENTRIES, BATCH = 16, 2000, 25


def fresh_merges(environments):
    return sum(one.compactor.counts["merged"] for one in environments)


@pytest.fixture
def s3(bucket):
    aws = Aws(Settings(bucket=bucket, store_threads=WRITERS, store_timeout=20))
    yield S3Objects(aws, bucket)
    aws.close()


async def work(environment, records):
    """As Lambda does: a batch comes again until nothing of it failed."""
    for start in range(0, len(records), BATCH):
        batch = records[start : start + BATCH]
        while await environment.handle(batch):
            pass


async def test_nothing_is_lost_or_double_and_every_segment_is_referenced(s3, table, index, clock, index_id):
    shards = [[] for _ in range(WRITERS)]
    for n in range(ENTRIES):
        shards[n % WRITERS].append(table.put(f"n{n}", scope=f"s{n % 3}"))
    # One shard's records reach another environment as well, as after a time-out.
    shards[0] += random.Random(1).sample(shards[1], 25)
    environments = [index(s3, max_wait_s=60) for _ in range(WRITERS)]
    await asyncio.gather(*(work(one, records) for one, records in zip(environments, shards, strict=True)))

    fresh = index(s3, limits=CompactionLimits(orphan_age_s=-3600))
    before, _ = await fresh.writer.manifest(index_id)
    report = await fresh.compactor.verify(index_id, table)
    assert (report.rows, report.is_right) == (ENTRIES, True)
    for scope in range(3):
        names = [f"n{n}" for n in range(scope, ENTRIES, 3)]
        assert set(await fresh.found(clock, names, f"s{scope}")) == set(names)

    # Nobody writes any more, so whatever is not named is nobody's; ministack's clock is the real one.
    clock.now = 4e9
    await fresh.compactor.delete_orphans(index_id)
    clock.now = 1_700_000_100.0
    manifest, _ = await fresh.writer.manifest(index_id)
    assert manifest == before
    assert len(await s3.listed(index_id.prefix)) == 1 + 2 * len(manifest.segments)
    assert (await fresh.compactor.verify(index_id, table)).is_right
    commits = sum(-(-len(records) // BATCH) for records in shards)
    assert manifest.revision <= commits + fresh_merges(environments), "a batch is one commit, or none if it is known"


async def test_two_upkeeps_and_a_writer_get_on_with_each_other(s3, table, index, clock, index_id):
    writer, *keepers = (index(s3) for _ in range(3))
    for n in range(6):
        await writer.handle([table.put(f"n{n}{m}") for m in range(5)])
    table.ttl = 50
    more = [table.put(f"m{n}") for n in range(40)]
    await asyncio.gather(
        work(writer, more),
        *(keeper.compactor.merge_and_evict(index_id) for keeper in keepers),
        *(keeper.compactor.rebuild(index_id, table) for keeper in keepers),
    )
    await work(writer, more)
    report = await writer.compactor.verify(index_id, table)
    assert (report.bad, report.missing, report.surplus) == ((), 0, 0)
    await writer.compactor.merge_and_evict(index_id)
    assert await writer.found(clock, table.items) == table.live()
