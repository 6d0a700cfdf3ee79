"""The semantic index under a command: rebuild it from the answers table, tidy it, check it against the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from subsecond.aws.client import Aws
from subsecond.config import Settings
from subsecond.ports import ObjectsFailed
from subsecond.semantic.index.answers_scan import INDEXED, DynamoTruth
from subsecond.semantic.index.compaction import Upkeep, UpkeepLimits
from subsecond.semantic.index.records import Change, Poisoned, change_of
from subsecond.semantic.index.segments import Place
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

    def has(self, place: Place) -> bool:
        tenant, _, namespace = place.partition.partition(":")
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
        self._truth = DynamoTruth(aws, table)
        self._writer = Writer(S3Objects(aws, bucket))
        self._upkeep = Upkeep(self._writer, UpkeepLimits(place=UNBOUNDED))
        self._bars = bars

    async def rebuild(self, partitions: PartitionFilter, embedder: Embedder | None = None) -> list[dict[str, Any]]:
        """Write the index anew from the table. With an embedder, every entry is given its vector first."""
        counted = await self._places(partitions)
        embedded: Counter[str] = Counter()
        if embedder:
            for partition in dict.fromkeys(place.partition for place in list(counted)):
                embedded[partition] = await self._truth.embed_anew(partition, embedder)
                counted[Place(partition, embedder.id, embedder.dim)] += embedded[partition]
        found = []
        for place, rows in counted.items():
            with self._bars(f"rebuilding {place.partition}", rows) as bar:
                written = await self._upkeep.rebuild(place, _WithProgress(self._truth, bar))
            more = {"embedded": embedded[place.partition]} if embedder and place.embedder == embedder.id else {}
            found.append({**_named(place), "rows": written, **await self._size(place), **more})
        return found

    async def compact(self, partitions: PartitionFilter) -> list[dict[str, Any]]:
        """What the upkeep does by schedule, now: mend, merge, remove what nothing names. It evicts nothing."""
        found = []
        places = [place for place in await self._upkeep.places() if partitions.has(place)]
        with self._bars("compacting", len(places)) as bar:
            for place in places:
                before = await self._size(place)
                self._upkeep.counts.clear()
                await self._upkeep.tidy(place, self._truth)
                bar.advance()
                counts = {name: self._upkeep.counts[name] for name in ("merged", "bad", "swept")}
                found.append({**_named(place), "before": before, "after": await self._size(place), **counts})
        return found

    async def verify(self, partitions: PartitionFilter) -> list[dict[str, Any]]:
        """Every segment loaded and checked, every row compared with the table."""
        found = []
        for place, rows in (await self._places(partitions)).items():
            with self._bars(f"checking {place.partition}", rows) as bar:
                report = await self._upkeep.verify(place, _WithProgress(self._truth, bar))
            found.append({**_named(place), **asdict(report), "is_right": report.is_right})
        return found

    async def _size(self, place: Place) -> dict[str, int]:
        manifest, _ = await self._writer.manifest(place)
        return {"segments": len(manifest.segments), "bytes": manifest.bytes}

    async def _places(self, partitions: PartitionFilter) -> Counter[Place]:
        """Those that the bucket or the table knows of, with the table's rows: an index may be wholly lost."""
        found: Counter[Place] = Counter(dict.fromkeys(await self._upkeep.places(), 0))
        found.update(await self._aws.run(self._scan))
        return Counter({place: rows for place, rows in found.items() if partitions.has(place)})

    def _scan(self) -> Counter[Place]:
        names = {f"#{name}": name for name in INDEXED}
        pages = self._aws.dynamodb.get_paginator("scan").paginate(
            TableName=self._table, ProjectionExpression=",".join(names), ExpressionAttributeNames=names
        )
        found: Counter[Place] = Counter()
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

    truth: DynamoTruth
    bar: Bar

    async def entries(self, place: Place) -> AsyncIterator[Sequence[Change]]:
        async for page in self.truth.entries(place):
            self.bar.advance(len(page))
            yield page


def _named(place: Place) -> dict[str, Any]:
    tenant, _, namespace = place.partition.partition(":")
    return {"tenant": tenant, "namespace": namespace, "embedder": place.embedder, "dim": place.dim}
