"""Commands on the semantic index: rebuild it from the answers table, compact it, check it against the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from subsecond.aws.client import Aws
from subsecond.config import Settings
from subsecond.ports import ObjectsFailed
from subsecond.semantic.index import INDEXED
from subsecond.semantic.index.answers_scan import AnswersScan
from subsecond.semantic.index.compaction import CompactionLimits, Compactor
from subsecond.semantic.index.records import Change, Poisoned, change_of
from subsecond.semantic.index.segments import IndexId
from subsecond.semantic.index.writer import Writer
from subsecond.stores.s3.objects import S3Objects
from subsecond_local.errors import LocalError
from subsecond_local.evaluate.progress import Bar, Bars
from subsecond_local.run.stores import Stores

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

    from subsecond.ports import Embedder

# How large an index may be is a setting of the indexer's function, not known here: eviction is left to its schedule.
UNBOUNDED = 1 << 62


@dataclass(frozen=True, slots=True)
class PartitionFilter:
    """Which partitions; None: all."""

    tenant: str | None = None
    namespace: str | None = None

    def has(self, index_id: IndexId) -> bool:
        tenant, _, namespace = index_id.partition.partition(":")
        return self.tenant in (None, tenant) and self.namespace in (None, namespace)


class StoresAws(Aws):
    """The pool and the clients of stores that were found, wherever they are."""

    def __init__(self, stores: Stores) -> None:
        super().__init__(Settings())
        self._there = stores.dynamodb(), stores.s3()

    @property
    def dynamodb(self) -> DynamoDBClient:
        return self._there[0]

    @property
    def s3(self) -> S3Client:
        return self._there[1]

    def close(self) -> None:
        super().close()
        for client in self._there:
            client.close()


class IndexAdmin:
    """One table and one bucket. What it gives is ready for JSON, a mapping for each place."""

    def __init__(self, aws: Aws, table: str, bucket: str, bars: Bars) -> None:
        self._aws = aws
        self._table = table
        self._answers = AnswersScan(aws, table)
        self._writer = Writer(S3Objects(aws, bucket))
        self._compactor = Compactor(self._writer, CompactionLimits(index_bytes=UNBOUNDED))
        self._bars = bars

    async def rebuild(self, partitions: PartitionFilter, embedder: Embedder | None = None) -> list[dict[str, Any]]:
        """Write the index anew from the table. With an embedder, every entry is given its vector first."""
        counted = await self._indexes(partitions)
        embedded: Counter[str] = Counter()
        if embedder:
            for partition in dict.fromkeys(index_id.partition for index_id in list(counted)):
                embedded[partition] = await self._answers.embed_anew(partition, embedder)
                counted[IndexId(partition, embedder.id, embedder.dim)] += embedded[partition]
        found = []
        for index_id, rows in counted.items():
            with self._bars(f"rebuilding {index_id.partition}", rows) as bar:
                written = await self._compactor.rebuild(index_id, _WithProgress(self._answers, bar))
            more = {"embedded": embedded[index_id.partition]} if embedder and index_id.embedder == embedder.id else {}
            found.append({**_named(index_id), "rows": written, **await self._size(index_id), **more})
        return found

    async def compact(self, partitions: PartitionFilter) -> list[dict[str, Any]]:
        """Run now what the schedule runs: repair, merge, delete orphans. Evicts nothing."""
        found = []
        indexes = [index_id for index_id in await self._compactor.indexes() if partitions.has(index_id)]
        with self._bars("compacting", len(indexes)) as bar:
            for index_id in indexes:
                before = await self._size(index_id)
                self._compactor.counts.clear()
                await self._compactor.compact(index_id, self._answers)
                bar.advance()
                counts = {name: self._compactor.counts[name] for name in ("merged", "bad", "swept")}
                found.append({**_named(index_id), "before": before, "after": await self._size(index_id), **counts})
        return found

    async def verify(self, partitions: PartitionFilter) -> list[dict[str, Any]]:
        """Every segment loaded and checked, every row compared with the table."""
        found = []
        for index_id, rows in (await self._indexes(partitions)).items():
            with self._bars(f"checking {index_id.partition}", rows) as bar:
                report = await self._compactor.verify(index_id, _WithProgress(self._answers, bar))
            found.append({**_named(index_id), **asdict(report), "is_right": report.is_right})
        return found

    async def _size(self, index_id: IndexId) -> dict[str, int]:
        manifest, _ = await self._writer.manifest(index_id)
        return {"segments": len(manifest.segments), "bytes": manifest.bytes}

    async def _indexes(self, partitions: PartitionFilter) -> Counter[IndexId]:
        """Those that the bucket or the table knows of, with the table's rows: an index may be wholly lost."""
        found: Counter[IndexId] = Counter(dict.fromkeys(await self._compactor.indexes(), 0))
        found.update(await self._aws.run(self._scan))
        return Counter({index_id: rows for index_id, rows in found.items() if partitions.has(index_id)})

    def _scan(self) -> Counter[IndexId]:
        names = {f"#{name}": name for name in INDEXED}
        pages = self._aws.dynamodb.get_paginator("scan").paginate(
            TableName=self._table, ProjectionExpression=",".join(names), ExpressionAttributeNames=names
        )
        found: Counter[IndexId] = Counter()
        for page in pages:
            for item in page["Items"]:
                try:
                    located = change_of(item)
                except Poisoned:
                    continue
                if located:
                    found[located[0]] += 1
        return found


@asynccontextmanager
async def administered(stores: Stores, bars: Bars) -> AsyncGenerator[IndexAdmin]:
    """LocalError when the bucket cannot be used; boto3's own errors pass through."""
    aws = StoresAws(stores)
    try:
        yield IndexAdmin(aws, stores.answers_table, stores.bucket, bars)
    except ObjectsFailed as error:
        raise LocalError(
            f"The bucket {stores.bucket} at {stores.endpoint or 'AWS'} cannot be used: {error}."
        ) from error
    finally:
        aws.close()


@dataclass(frozen=True, slots=True)
class _WithProgress:
    """The table, as far as it has been read."""

    answers: AnswersScan
    bar: Bar

    async def entries(self, index_id: IndexId) -> AsyncIterator[Sequence[Change]]:
        async for page in self.answers.entries(index_id):
            self.bar.advance(len(page))
            yield page


def _named(index_id: IndexId) -> dict[str, Any]:
    tenant, _, namespace = index_id.partition.partition(":")
    return {"tenant": tenant, "namespace": namespace, "embedder": index_id.embedder, "dim": index_id.dim}
